"""Every number on the page of one run, recomputed from the run's Parquet files without vcmbench.

A place is where lines stand on the page, as `golden_page.lines` reads them. Each has a function here that says what should
stand there, in the words of the page and with all digits. Whatever has a digit and is at none of these places fails, in each
state that the tests bring the page into; no number is exempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pytest
from golden import Golden
from golden_compared import comparisons, titles_of_comparisons
from golden_images import Choice, meetings, notes
from golden_page import assert_numbers, assert_says, elsewhere, lines, places_by_axes
from golden_run import ANCHOR, SCALABLE, write_golden_run
from golden_tables import SLICES, details, facts, failures, layers, points, rate_performance, sliced
from golden_trade_off import TradeOff
from golden_words import (
    caption,
    conventions,
    directed,
    labels_of_charts,
    notes_on_slices,
    provenance,
    shards,
    sliced_images,
    titles_of_charts,
)
from playwright.sync_api import Browser, Page
from report_browser import TALL, settle

ALWAYS: Mapping[str, Callable[[Golden], Iterable[str]]] = {
    ".notice[role=note]": shards,
    ".facts li": facts,
    "#table1 tr": rate_performance,
    "ul.caption li": caption,
    "#legend button": lambda golden: golden.curves,
    "#slice option": sliced_images,
    "figure[data-column] figcaption": titles_of_charts,
    "figure[data-column] svg@aria-label": labels_of_charts,
    "#human-metric option": partial(directed, kind="human"),
    "#machine-metric option": partial(directed, kind="machine"),
    "section[aria-labelledby=compared] :is(summary, tr, p, li)": partial(comparisons, anchor=ANCHOR),
    "section[aria-labelledby=compared] [role=region]@aria-label": partial(titles_of_comparisons, anchor=ANCHOR),
    "section[aria-labelledby=layers] :is(summary, tr)": partial(layers, curve=SCALABLE),
    "#sliced option": lambda golden: map(golden.head, golden.columns),
    "section[aria-labelledby=slices-title] > p": notes_on_slices,
    "#images-metric option": lambda golden: [golden.head(name) for name in ranked_columns(golden)],
    "section[aria-labelledby=images-title] > p": partial(notes, anchor=ANCHOR),
    "#details tr": details,
    "#failures tr": failures,
    ".tree :is(dd, li):not(:has(*))": provenance,
}
PROSE: Mapping[str, Callable[[Golden], Mapping[str, Iterable[float]]]] = {
    "section[aria-labelledby=layers] > p": lambda _: {"A setting's bitstream is the beginning": [0.01, 95]},
    "section[aria-labelledby=conventions] dl > div": conventions,
}
"""Places whose words are free and whose numbers are not: how a line begins → its numbers."""
SLICED = {"#slices tr": sliced}
CHARTED = {"figure[data-column] .point@aria-label": points}
TRADED_OFF: Mapping[str, Callable[[TradeOff], Iterable[str]]] = {
    "#front": TradeOff.front,
    "#trade-off tr": TradeOff.table,
    "#trade-off .point@aria-label": TradeOff.points,
    "#trade-off svg@aria-label": TradeOff.label,
    "#vertical": TradeOff.vertical,
    "#rate-slider@aria-valuetext": TradeOff.slider,
    "#rate@value": TradeOff.field,
}
LISTED: Mapping[str, Callable[[Choice], Iterable[str]]] = {"#images-told": Choice.told, "#images tr": Choice.listed}
DRAWN = ["figure .axes text", "#tooltip"]
"""Ticks, by which the places of points are read, and what repeats the label of the point in focus."""
PLACES = [*ALWAYS, *PROSE, *SLICED, *CHARTED, *TRADED_OFF, *LISTED, *DRAWN]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Golden]:
    """The run with its report."""
    folder = tmp_path_factory.mktemp("run")
    write_golden_run(folder)
    golden = Golden(folder)
    yield golden
    golden.close()


@pytest.fixture(scope="module")
def opened(browser: Browser, golden: Golden) -> Iterator[Page]:
    """The report in a browser."""
    page = browser.new_page(viewport={"width": 1280, "height": TALL})
    page.goto((golden.folder / "report" / "index.html").as_uri())
    yield page
    page.close()


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The report as it opens; what a test brings it to has no number but at the places."""
    opened.evaluate("() => { location.hash = ''; }")
    settle(opened)
    yield opened
    settle(opened)
    assert elsewhere(opened, PLACES) == []


def ranked_columns(golden: Golden) -> list[str]:
    """The metrics of which single images have values, one of them better."""
    return [name for name, column in golden.columns.items() if column.sign and not column.is_of_sets]


# --------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("place", ALWAYS)
def test_what_always_stands_there(page: Page, golden: Golden, place: str) -> None:
    """The words and every number in them."""
    assert_says(lines(page, place), ALWAYS[place](golden))


@pytest.mark.parametrize("place", PROSE)
def test_numbers_of_the_method(page: Page, golden: Golden, place: str) -> None:
    """The numbers that the page says it computes with are those that everything is recomputed with."""
    assert_numbers(lines(page, place), PROSE[place](golden))


def test_slices(page: Page, golden: Golden) -> None:
    """For every metric, each slice's n, means and intervals."""
    for column in golden.columns:
        page.locator("#sliced").select_option(column)
        for place, told in SLICED.items():
            assert_says(lines(page, place), told(golden, column))


@pytest.mark.parametrize("images", ["", *SLICES])
def test_points_of_the_charts(page: Page, golden: Golden, images: str) -> None:
    """What every point of every chart says, over all images and over a slice."""
    page.locator("#slice").select_option(images)
    condition = SLICES.get(images, "true")
    for place, told in CHARTED.items():
        assert_says(lines(page, place), chain.from_iterable(told(golden, column, condition) for column in golden.columns))


@pytest.mark.parametrize("axis", ["linear", "logarithmic"])
def test_places_of_points(page: Page, golden: Golden, axis: str) -> None:
    """Read off against the ticks of its axes, each point is where its rate and value are; so are those of the trade-off."""
    page.get_by_label(axis).check()
    figures = dict(zip(golden.columns, page.locator("figure[data-column]").all(), strict=True))
    for column, figure in figures.items():
        rates, means = golden.means("bpp")[golden.variants], golden.means(column)[golden.variants]
        places = np.column_stack([rates, means])[means.notna()]
        if not len(places):
            assert figure.locator("svg").text_content() == "no values to show"
            continue
        assert figure.locator(".axes text").last.text_content() == "bits per pixel"
        np.testing.assert_allclose(places_by_axes(figure, logarithmic=axis == "logarithmic"), places, rtol=1e-6)


def trade_off_of(page: Page, golden: Golden, pair: tuple[str, str], rate: float | None, images: str) -> TradeOff:
    """The page's trade-off after these choices."""
    for kind, column in zip(("human", "machine"), pair, strict=True):
        page.locator(f"#{kind}-metric").select_option(column)
    page.locator("#slice").select_option(images)
    if rate is not None:
        page.locator("#rate").fill(str(rate))
        page.locator("#rate").press("Enter")
    return TradeOff(golden, *pair, rate, images)


@pytest.mark.parametrize("pair", [("psnr_rgb", "nme_box"), ("fid", "tar_at_far_1e_2"), ("psnr_y", "tar_at_far_1e_3")])
@pytest.mark.parametrize("images", ["", "gender: f"])
@pytest.mark.parametrize("rate", [None, 0.15, 0.4, 99])
def test_the_trade_off(page: Page, golden: Golden, pair: tuple[str, str], rate: float | None, images: str) -> None:
    """At rates of which some are beyond a curve, over all images and over some: values, front, and curves without."""
    expected = trade_off_of(page, golden, pair, rate, images)
    for place, told in TRADED_OFF.items():
        assert_says(lines(page, place), told(expected))
    figure = page.locator("#trade-off figure")
    if expected.values:
        assert lines(page, "#trade-off .axes text:last-child") == [golden.head(pair[0])]
        np.testing.assert_allclose(places_by_axes(figure), list(expected.values.values()), rtol=1e-6)


@pytest.mark.parametrize("curve", ["webp", "edge", "copy lossless=true"])
def test_lists_of_images(page: Page, golden: Golden, curve: str) -> None:
    """For every metric, the images on which a curve is best and worst against the anchor."""
    met = {meeting.curve: meeting for meeting in meetings(golden, ANCHOR)}
    assert lines(page, "#images-curve option") == list(met)
    page.locator("#images-curve").select_option(curve)
    for column in ranked_columns(golden):
        page.locator("#images-metric").select_option(column)
        for end in ("worst", "best"):
            page.locator(f"[name=images-end][value={end}]").check()
            for place, told in LISTED.items():
                assert_says(lines(page, place), told(Choice(met[curve], column, end)))


def test_what_a_point_says_in_focus(page: Page) -> None:
    """The tooltip of every point says the words of its label."""
    said: list[Any] = page.locator(".point[aria-label]").evaluate_all(
        """points => points.map((point) => {
          point.focus();
          const told = [...document.getElementById("tooltip").children].map((line) => line.textContent);
          return [point.getAttribute("aria-label"), told.join(", ")];
        })"""
    )
    assert len(said) > 100
    assert all(label == told for label, told in said)


def test_a_number_elsewhere_is_found(page: Page) -> None:
    """In a text or a label that is at no place."""
    page.evaluate("() => document.querySelector('h1').insertAdjacentHTML('beforeend', ' <i title=\"2 dB\">of 3 codecs</i>')")
    assert elsewhere(page, PLACES) == ["of 3 codecs", "title: 2 dB"]
    page.evaluate("() => document.querySelector('h1 i').remove()")
