"""Comparisons of curves as tables: for the page, with a note where there is no value, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vcmbench.reports.bd import Delta
from vcmbench.reports.comparisons import Comparisons
from vcmbench.reports.matched_rate import MatchedValue, TaskRate
from vcmbench.reports.summary import Summary
from vcmbench.reports.tables import column_title, column_titles
from vcmbench.reports.task_thresholds import Threshold
from vcmbench.run_index import Index

_RATE_DIGITS = 3
_NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A value and its 95 % interval as people read them, and the numbers of its notes, from 1."""

    value: str
    interval: str
    notes: tuple[int, ...]


@dataclass(frozen=True)
class NotedTable:
    """Curves down, something across; `notes` say why a value is missing, or what its reader must know.

    `common` are those that concern every value.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: Sequence[str]
    common: Sequence[str]


def page_tables(index: Index, summary: Summary, comparisons: Comparisons) -> Iterator[NotedTable]:
    """Yield BD-rate, BD-quality and the rates for tasks, then each metric at the anchor's rates."""
    titles = column_titles(index, summary)
    against = comparisons.against
    columns = list(against)
    curves = list(next(iter(against.values()), {}))
    if curves:
        headings = [titles[column] for column in columns]
        rates = [(curve, [(against[column][curve].bd_rate, 1) for column in columns]) for curve in curves]
        yield _noted(f"BD-rate, %, against {comparisons.anchor}", headings, rates)
        qualities = [(curve, [(against[column][curve].bd_quality, None) for column in columns]) for curve in curves]
        yield _noted(f"BD-quality, in the metric's unit, against {comparisons.anchor}", headings, qualities)
    if levels := [(column, level) for column, by_level in comparisons.tasks.items() for level in by_level]:
        yield _task_table(index, comparisons, levels)
    for column in columns if curves else ():
        rates_of_anchor = [f"{rate:.4f} bpp" for rate in comparisons.anchors[column].rates]
        values = [(curve, [(value, None) for value in against[column][curve].at_its_rates]) for curve in curves]
        yield _noted(f"{titles[column]} at the rates of {comparisons.anchor}, interpolated", rates_of_anchor, values)


def _task_table(index: Index, comparisons: Comparisons, levels: Sequence[tuple[str, Threshold]]) -> NotedTable:
    columns = {**index.columns, **index.set_columns}
    titles = [f"{column_title(columns[column])} {level.level:g}" for column, level in levels]
    curves = [comparisons.anchor, *next(iter(comparisons.against.values()))]
    rows = [
        (curve, [(comparisons.tasks[column][level][curve], _RATE_DIGITS) for column, level in levels]) for curve in curves
    ]
    return _noted("Rate for the task, bpp", titles, rows)


Found: TypeAlias = Delta | MatchedValue | TaskRate


def _noted(title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[tuple[Found, int | None]]]]) -> NotedTable:
    rows = list(rows)
    told = [[_notes(found) for found, _ in cells] for _, cells in rows]
    with_value = [_notes(found) for _, cells in rows for found, _ in cells if found.value is not None]
    common = tuple(note for note in (with_value[0] if with_value else ()) if all(note in notes for notes in with_value))
    every = (note for cells in told for notes in cells for note in notes if note not in common)
    number_of = {note: number for number, note in enumerate(dict.fromkeys(every), start=1)}
    spelled = [(curve, [_cell(found, digits, number_of) for found, digits in cells]) for curve, cells in rows]
    return NotedTable(title, columns, spelled, list(number_of), common)


def _notes(found: Found) -> tuple[str, ...]:
    return ((found.reason,) if found.reason else ()) + found.flags


def _cell(found: Found, digits: int | None, number_of: Mapping[str, int]) -> Cell:
    numbers = tuple(number_of[note] for note in dict.fromkeys(_notes(found)) if note in number_of)
    ends = [_spelled(end, digits) for end in (found.low, found.high)]
    has_interval = found.value is not None and ends != [_NOTHING, _NOTHING]
    return Cell(_spelled(found.value, digits), " to ".join(ends) if has_interval else "", numbers)


def _spelled(value: float | None, digits: int | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.4g}" if digits is None else f"{value:.{digits}f}"


# ------------------------------------------------------------------------------------------------------------- CSV


_WHOSE, _VALUE, _WHY = ("column", "curve", "anchor"), ("value", "low", "high"), ("reason", "flags")


def bd_csv(comparisons: Comparisons) -> str:
    """Every BD value with its interval, the overlap of both curves, and why it is missing or what is to know."""
    return _csv(
        (*_WHOSE, "measure", *_VALUE, "overlap_low", "overlap_high", "overlap_of_anchor", "overlap_of_curve", *_WHY),
        (
            (column, curve, comparisons.anchor, measure, *_value(delta), *_overlap(delta), *_why(delta))
            for column, curves in comparisons.against.items()
            for curve, found in curves.items()
            for measure, delta in (("BD-rate", found.bd_rate), ("BD-quality", found.bd_quality))
        ),
    )


def _overlap(delta: Delta) -> list[float | None]:
    overlap = delta.overlap
    return [None] * 4 if overlap is None else [overlap.low, overlap.high, overlap.of_anchor, overlap.of_test]


def iso_rate_csv(comparisons: Comparisons) -> str:
    """Every curve at the rates of the anchor's points."""
    return _csv(
        (*_WHOSE, "bpp", *_VALUE, "interpolated", *_WHY),
        (
            (column, curve, comparisons.anchor, each.rate, *_value(each), each.interpolated, *_why(each))
            for column, curves in comparisons.against.items()
            for curve, found in curves.items()
            for each in found.at_its_rates
        ),
    )


def task_rates_csv(comparisons: Comparisons) -> str:
    """The rate that each curve needs for each level, and where the level comes from."""
    return _csv(
        ("column", "level", "curve", "bpp", "low", "high", *_WHY, "source"),
        (
            (column, level.level, curve, *_value(each), *_why(each), level.source)
            for column, levels in comparisons.tasks.items()
            for level, curves in levels.items()
            for curve, each in curves.items()
        ),
    )


def _value(found: Found) -> tuple[float | None, ...]:
    return found.value, found.low, found.high


def _why(found: Found) -> tuple[str, str]:
    return found.reason, "; ".join(found.flags)


def _csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return text.getvalue()
