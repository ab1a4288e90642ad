"""What a page says, line by line: read in the browser, compared with what it should say, and searched for anything else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Locator, Page

NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
_ATTRIBUTES = ("aria-label", "aria-valuetext", "alt", "title", "placeholder", "value")
"""What a reader can meet besides the text; the value of a field only."""

_LINES = """(nodes, attribute) => {
  const notes = (words) => words.split(",").map((number) => `[${number}]`).join("");
  const marked = (words) => ({ SUP: notes(words), B: `*${words}*` });
  const spelled = ({ nodeName, textContent }) => marked(textContent)[nodeName] ?? textContent;
  const cell = (node) => [...node.childNodes].map(spelled).join(" ");
  const line = (node) => {
    if (attribute) return node[attribute] ?? node.getAttribute(attribute);
    return node.cells ? [...node.cells].map(cell).join(" | ") : node.textContent;
  };
  return nodes.map(line).map((words) => words.replace(/\\s+/g, " ").replaceAll("−", "-").trim());
}"""

_ELSEWHERE = """([texts, labels, attributes]) => {
  const found = [];
  const known = ["script", "style", "noscript", ...texts].join();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (/\\d/.test(data) && !parentElement.closest(known)) found.push(data.trim());
  }
  for (const node of document.body.querySelectorAll("*")) {
    for (const attribute of attributes) {
      if (attribute === "value" && !node.matches("input[type=number]")) continue;
      const words = attribute === "value" ? node.value : node.getAttribute(attribute);
      const isKnown = labels.some(([selector, name]) => name === attribute && node.matches(selector));
      if (/\\d/.test(words ?? "") && !isKnown) found.push(`${attribute}: ${words}`);
    }
  }
  return found;
}"""


def lines(page: Page, place: str) -> list[str]:
    """What each element at a place says: `selector`, or `selector@attribute` for an attribute instead of its text.

    A row is its cells with bars between; in a cell, bold is between asterisks and the numbers of notes are in brackets.
    """
    selector, _, attribute = place.partition("@")
    found: list[str] = page.locator(selector).evaluate_all(_LINES, attribute)
    return found


def elsewhere(page: Page, places: Iterable[str]) -> list[str]:
    """Every text, and every label of an element, that has a digit and is at none of these places."""
    split = [place.partition("@") for place in places]
    texts = [selector for selector, _, attribute in split if not attribute]
    labels = [[selector, attribute] for selector, _, attribute in split if attribute]
    found: list[str] = page.evaluate(_ELSEWHERE, [texts, labels, _ATTRIBUTES])
    return found


# ----------------------------------------------------------------------------------------------------------- comparing


def assert_says(shown: Iterable[str], expected: Iterable[str]) -> None:
    """Fail unless the lines have the expected words, and between them the expected numbers, rounded."""
    for line, wanted in zip_longest(shown, expected, fillvalue="no line"):
        assert NUMBER.split(line) == NUMBER.split(wanted), f"{line!r} is shown for {wanted!r}"
        for number, exact in zip(NUMBER.findall(line), NUMBER.findall(wanted), strict=True):
            assert is_rounded(number, exact), f"{number} is shown for {exact} in {line!r}"


def is_rounded(shown: str, exact: str) -> bool:
    """Whether a decimal is the number to as many digits as it has."""
    shown, exact = shown.replace(",", ""), exact.replace(",", "")
    step = 10.0 ** int(Decimal(shown).as_tuple().exponent)
    return float(shown) == pytest.approx(float(exact), abs=0.5001 * step, rel=1e-9)


def assert_numbers(shown: Iterable[str], expected: Mapping[str, Iterable[float]]) -> None:
    """Fail unless each line begins with one of the keys, of which there is one for each, and has its numbers alone."""
    for line, (key, numbers) in zip(shown, expected.items(), strict=True):
        assert line.startswith(key)
        assert [float(number.replace(",", "")) for number in NUMBER.findall(line.removeprefix(key))] == list(numbers), line


def full(number: float, interval: tuple[float, float] | None = None) -> str:
    """A cell with all digits: a dash for what is not finite, and with an interval, of which an end may be missing."""
    value = repr(float(number)) if math.isfinite(number) else "–"
    if interval is None or not math.isfinite(number) or not np.isfinite(interval).any():
        return value
    return f"{value} {full(interval[0])} to {full(interval[1])}"


def row(*cells: str) -> str:
    """A row as `lines` has it."""
    return " | ".join(cells)


# -------------------------------------------------------------------------------------------------------------- charts


def places_by_axes(figure: Locator, *, logarithmic: bool = False) -> npt.NDArray[np.float64]:
    """Where a chart's points are (P×2), read off against the ticks of its axes.

    Fails unless the ticks of each axis lie on one line, or on one over their logarithms.
    """
    ticks: list[tuple[str, float, float, str]] = figure.locator(".axes text").evaluate_all(
        """all => all.slice(0, -1).map((text) => {
          const [anchor, x, y] = ["text-anchor", "x", "y"].map((name) => text.getAttribute(name));
          return [anchor, Number(x), Number(y), text.textContent];
        })"""
    )
    points: list[tuple[float, float]] = figure.locator(".point").evaluate_all(
        "points => points.map(point => point.getAttribute('transform').match(/-?[\\d.]+(e-?\\d+)?/g).map(Number))"
    )
    found = []
    for axis, anchor in enumerate(("middle", "end")):
        places, values = zip(*((tick[1 + axis], float(tick[3])) for tick in ticks if tick[0] == anchor), strict=True)
        is_log = logarithmic and axis == 0
        straight = np.log(values) if is_log else np.array(values)
        shift = 4 if anchor == "end" else 0  # of a label's foot below its line
        line = np.polyfit(np.array(places) - shift, straight, 1)
        np.testing.assert_allclose(np.polyval(line, np.array(places) - shift), straight, atol=1e-6 * np.ptp(straight))
        read = np.polyval(line, [point[axis] for point in points])
        found.append(np.exp(read) if is_log else read)
    return np.array(found).T
