"""A comparison of two runs as plain text, as CSV, and what else is different between them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from vcmbench.reports.compare import Comparison, Difference
from vcmbench.reports.tables import column_title, printable

_TITLES = ("", "first", "other", "difference", "95 % interval", "better on", "")
_SHOWN = 40


def as_text(comparison: Comparison) -> str:
    """Return a table for each pair of settings, other less first, with the share of images on which the other is better."""
    lines = [f"{comparison.images} images of both runs"]
    if comparison.other_pixels:
        lines.append(f"left out: {comparison.other_pixels} images that are not the same pixels in both")
    for (first, other), differences in comparison.settings.items():
        rows = [_TITLES, *(_row(each) for each in differences)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(_TITLES))]
        lines += ["", printable(first if first == other else f"{first}  →  {other}")]
        for name, *cells in rows:
            numbers = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}{numbers}".rstrip())
        if not differences:
            lines.append("no image has values in both runs")
    return "\n".join(lines)


def _row(each: Difference) -> tuple[str, ...]:
    interval = "–" if each.low is None or each.high is None else f"{each.low:+.4g} to {each.high:+.4g}"
    share = "–" if each.better is None else f"{100 * each.better / each.images:.0f} %"
    title = printable(column_title(each.record))
    return title, f"{each.first:.5g}", f"{each.other:.5g}", f"{each.difference:+.4g}", interval, share, each.verdict


def as_csv(comparisons: Mapping[str, Comparison]) -> str:
    """Return a row for each run, pair of settings and column, numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    what = ("run", "first_setting", "other_setting", "column")
    writer.writerow([*what, "first", "other", "difference", "low", "high", "better", "worse", "n"])
    for run, comparison in comparisons.items():
        for pair, differences in comparison.settings.items():
            for each in differences:
                ends = (each.low, each.high, each.better, each.worse, each.images)
                writer.writerow([run, *pair, each.column, each.first, each.other, each.difference, *ends])
    return text.getvalue()


def differing_provenance(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say, key by key, what is not the same in two runs' provenance."""
    left, right = dict(_leaves(first)), dict(_leaves(other))
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    lines = [f"{key}: {left.get(key, 'none')} → {right.get(key, 'none')}" for key in keys[:_SHOWN]]
    return [*map(printable, lines), *([f"and {len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else [])]


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
