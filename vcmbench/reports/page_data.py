"""The numbers that the page's script draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vcmbench.reports.slices import Slice, Slices
from vcmbench.reports.summary import Summary, reported_columns
from vcmbench.reports.tables import Table, by_curve, column_titles
from vcmbench.run_index import Index


def page_data(index: Index, summary: Summary, table: Table, slices: Slices) -> dict[str, object]:
    """The columns, per curve its points with a mean, interval and n for each column, and the same of each slice."""
    columns = reported_columns(index)
    curves: dict[str, list[dict[str, object]]] = {}
    for row in by_curve(summary):
        point = {
            "setting": row["variant"],
            "bpp": _finite(row["bpp_mean"]),
            "means": [_finite(row[f"{name}_mean"]) for name in columns],
            "intervals": [_interval(row, name) for name in columns],
            "counts": [row[f"{name}_n"] for name in columns],
        }
        curves.setdefault(row["curve"], []).append(point)
    return {
        "columns": list(_columns(index, summary, table)),
        "curves": [{"name": name, "points": points} for name, points in curves.items()],
        "slices": [_slice_data(index, summary, each) for each in slices.found],
    }


def _columns(index: Index, summary: Summary, table: Table) -> Iterator[dict[str, object]]:
    """Each column's words, its kind of vision, and with how many decimals the table has it."""
    kinds = {name: metric.kind for metric in index.metrics for name in (*metric.columns, *metric.set_columns)}
    digits = {column.name: column.digits for column in table.columns}
    headings = column_titles(index, summary)
    for name, column in reported_columns(index).items():
        yield {
            "name": name,
            "title": column.title,
            "unit": column.unit,
            "better": column.better,
            "heading": headings[name],
            "kind": kinds[name],
            "digits": digits[name],
        }


def _slice_data(index: Index, summary: Summary, part: Slice) -> dict[str, object]:
    """A slice's means of the same points as the curves', to nine digits; a set metric has none."""
    columns = [part.means.get(name) for name in reported_columns(index)]
    places = {setting.key: place for place, setting in enumerate(index.settings)}
    curves: dict[str, list[object]] = {}
    for row in by_curve(summary):
        place = places[row["setting"]]
        point = {
            "bpp": _short(part.means["bpp"].mean[place]),
            "means": [found and _short(found.mean[place]) for found in columns],
            "intervals": [found and _short_interval(*found.interval[place]) for found in columns],
        }
        curves.setdefault(row["curve"], []).append(point)
    return {
        "name": part.name,
        "label": part.label,
        "value": part.value,
        "images": part.images,
        "counts": [found.n if found else 0 for found in columns],
        "points": list(curves.values()),
    }


def _interval(row: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    low, high = _finite(row[f"{name}_low"]), _finite(row[f"{name}_high"])
    return None if low is None or high is None else (low, high)


def _finite(number: float | None) -> float | None:
    """The number, if JSON knows it: a mean of values near the largest double may be infinite."""
    return number if number is not None and math.isfinite(number) else None


def _short(number: float) -> float | None:
    return float(f"{number:.9g}") if math.isfinite(number) else None


def _short_interval(low: float, high: float) -> tuple[float | None, float | None] | None:
    return (_short(low), _short(high)) if math.isfinite(low) and math.isfinite(high) else None
