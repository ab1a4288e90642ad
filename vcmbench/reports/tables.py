"""The rate–performance table: settings down, mean rate and metrics across."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from vcmbench.reports.summary import Summary, numeric_columns, reported_columns
from vcmbench.run_index import ColumnRecord, Index

_LEAST_LEAD = 2.5
"""The percentile of the best setting's lead over another that must be above 0."""
_ARROWS = {"higher": "\N{NO-BREAK SPACE}⇑", "lower": "\N{NO-BREAK SPACE}⇓", None: ""}


@dataclass(frozen=True)
class TableColumn:
    """One column of numbers: its name in files, its column of the summary, its title for people and its decimals."""

    name: str
    source: str
    title: str
    digits: int


@dataclass(frozen=True)
class TableRow:
    """One setting, with a value for each column, and whether it is the best there or as good as it."""

    curve: str
    variant: str
    values: tuple[float | None, ...]
    best: tuple[bool, ...]


@dataclass(frozen=True)
class Table:
    """The rows of a curve stand together, in rising rate; `caption` says in sentences what the numbers are."""

    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    caption: tuple[str, ...]

    def spell(self, row: TableRow) -> list[str]:
        """The row's values as people read them."""
        return [spell(value, column.digits) for column, value in zip(self.columns, row.values, strict=True)]


def rate_performance(index: Index, summary: Summary) -> Table:
    """Arrange a summary as bpp, every metric's mean and the number of images, per setting."""
    records = by_curve(summary)
    metrics = [
        TableColumn(name, f"{name}_mean", title, _digits(column, [row[f"{name}_mean"] for row in records]))
        for (name, column), title in zip(
            reported_columns(index).items(), column_titles(index, summary).values(), strict=True
        )
    ]
    columns = (TableColumn("bpp", "bpp_mean", "bpp", 3), *metrics, TableColumn("n", "common", "n", 0))
    best = [best_settings(index, summary, column.name) for column in columns]
    rows = tuple(
        TableRow(
            row["curve"],
            row["variant"],
            tuple(row[column.source] for column in columns),
            tuple(row["setting"] in settings for settings in best),
        )
        for row in records
    )
    return Table(columns, rows, tuple(_caption(index, summary, is_bold=any(best))))


def best_settings(index: Index, summary: Summary, name: str) -> frozenset[str]:
    """The keys of the settings with a column's best mean, and of those that are not surely worse.

    One is surely worse where the interval of its difference from the best, on the same draws of identities, leaves out 0;
    without intervals, wherever its mean is worse. None is best in a column without a better direction, or with fewer than
    two means.
    """
    column = reported_columns(index).get(name)
    if column is None or column.better is None:
        return frozenset()
    sign = 1 if column.better == "higher" else -1
    means = sign * np.array(summary.table[f"{name}_mean"].to_pylist(), np.float64)
    if np.isfinite(means).sum() < 2:
        return frozenset()
    best = int(np.nanargmax(means))
    as_good = means == means[best]
    if name in summary.replicates:
        replicates = sign * summary.replicates[name]
        with_value = np.isfinite(means)
        lead = np.nanpercentile(replicates[:, [best]] - replicates[:, with_value], _LEAST_LEAD, axis=0)
        as_good[with_value] |= lead <= 0
    return frozenset(key for key, flag in zip(summary.table["setting"].to_pylist(), as_good, strict=True) if flag)


def by_curve(summary: Summary) -> list[dict[str, Any]]:
    """The summary's rows: curves in the order of their first setting, each in rising bpp, settings without one last."""
    records: list[dict[str, Any]] = summary.table.to_pylist()
    curves = list(dict.fromkeys(record["curve"] for record in records))
    return sorted(
        records, key=lambda record: (curves.index(record["curve"]), record["bpp_mean"] is None, record["bpp_mean"] or 0)
    )


def spell(value: float | None, digits: int) -> str:
    """A number as people read it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def column_title(column: ColumnRecord) -> str:
    """A metric column's title with its unit and direction, e.g. "PSNR (dB) ⇑"."""
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.title}{unit}{_ARROWS[column.better]}"


def column_titles(index: Index, summary: Summary) -> dict[str, str]:
    """The title of each column; a set metric's says over how many images, on which its value depends."""
    return {
        name: column_title(column) + (f" N={_count(summary, name):,}" if name in index.set_columns else "")
        for name, column in reported_columns(index).items()
    }


def _count(summary: Summary, column: str) -> int:
    return pc.max(summary.table[f"{column}_n"]).as_py() or 0


def _digits(column: ColumnRecord, means: Sequence[float | None]) -> int:
    """Two decimals for decibels, otherwise four significant digits of the largest mean, e.g. four decimals up to 1."""
    if column.unit == "dB":
        return 2
    largest = max((abs(mean) for mean in means if mean is not None), default=0.0)
    return max(0, 4 - math.ceil(math.log10(largest))) if largest else 4


def _caption(index: Index, summary: Summary, *, is_bold: bool) -> Iterator[str]:
    if index.notice:
        yield f"{index.notice[:1].upper()}{index.notice[1:]}."
    if summary.complete_shards < summary.total_shards:
        yield f"Partial run: {summary.complete_shards} of {summary.total_shards} shards complete."
    identities = f" (identities: {summary.identities})" if summary.identities else ""
    yield f"Means are over the images that every compared setting coded: {summary.common} of {summary.images}{identities}."
    if is_bold:
        yield "Bold: the best mean of a column, and those whose difference from it is 0 within the paired 95 % interval."
    if fewer := [f"{column.title} {n}" for column, n in _smaller_supports(index, summary)]:
        yield f"Means over fewer images, because a setting lacks a value on the others: {', '.join(fewer)}."
    if errors := pc.sum(summary.table["errors"]).as_py():
        yield f"Error rows: {errors} of {pc.sum(summary.table['images']).as_py()}."
    yield from summary.notes
    yield from (f"Without {name}: {reason}." for name, reason in index.without.items())


def _smaller_supports(index: Index, summary: Summary) -> Iterator[tuple[ColumnRecord, int]]:
    for name, column in numeric_columns(index).items():
        images = _count(summary, name)
        if images and images < summary.common:
            yield column, images


def printable(text: str) -> str:
    """The text without control characters, which would break a table, steer a terminal or reverse what follows."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "�", text)
