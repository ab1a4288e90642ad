"""The rate–performance table: settings down, mean rate and metrics across, as Markdown, CSV and plain text."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from vcmbench.reports.summary import Summary, numeric_columns, reported_columns
from vcmbench.results import ColumnRecord, Index

_ARROWS = {"higher": "\N{NO-BREAK SPACE}⇑", "lower": "\N{NO-BREAK SPACE}⇓", None: ""}
_TEXT_NAME, _TEXT_TITLE = 40, 10
"""The width in characters at which a setting's name, and a column's title, goes on in the next line of plain text."""

TextCell = Sequence[str]
"""The lines of one cell of plain text."""


@dataclass(frozen=True)
class TableColumn:
    """One column of numbers: its name in files, its column of the summary, its title for people and its decimals."""

    name: str
    source: str
    title: str
    digits: int


@dataclass(frozen=True)
class TableRow:
    """One setting, with a value for each column."""

    curve: str
    variant: str
    values: tuple[float | None, ...]


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
    rows = (TableRow(row["curve"], row["variant"], tuple(row[column.source] for column in columns)) for row in records)
    return Table(columns, tuple(rows), tuple(_caption(index, summary)))


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


def _caption(index: Index, summary: Summary) -> Iterator[str]:
    if index.notice:
        yield f"{index.notice[:1].upper()}{index.notice[1:]}."
    if summary.complete_shards < summary.total_shards:
        yield f"Partial run: {summary.complete_shards} of {summary.total_shards} shards complete."
    identities = f" (identities: {summary.identities})" if summary.identities else ""
    yield f"Means are over the images that every compared setting coded: {summary.common} of {summary.images}{identities}."
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


# ------------------------------------------------------------------------------------------------------- Markdown


def as_markdown(index: Index, summary: Summary) -> str:
    """The rate–performance table in GitHub's Markdown, with its caption as a list."""
    table = rate_performance(index, summary)
    titles = ["Setting", *(column.title for column in table.columns)]
    lines = [
        _markdown_row(map(_markdown, titles)),
        _markdown_row([":--", *("--:" for _ in table.columns)]),
        *(_markdown_row([_markdown(row.variant), *table.spell(row)]) for row in table.rows),
        "",
        *(f"- {_markdown(sentence)}" for sentence in table.caption),
    ]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", _printable(text))


# ------------------------------------------------------------------------------------------------------------ CSV


def as_csv(index: Index, summary: Summary) -> str:
    """The rate–performance table as CSV: metric columns by name, numbers in full precision, nothing where there is none."""
    table = rate_performance(index, summary)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["curve", "setting", *(column.name for column in table.columns)])
    writer.writerows([row.curve, row.variant, *row.values] for row in table.rows)
    return text.getvalue()


# ----------------------------------------------------------------------------------------------------- plain text


def as_text(index: Index, summary: Summary, width: int = 120) -> str:
    """The rate–performance table for a terminal of that many characters; columns that do not fit go on below."""
    table = rate_performance(index, summary)
    names: list[TextCell] = [["Setting"], *(textwrap.wrap(_printable(row.variant), _TEXT_NAME) for row in table.rows)]
    columns = [_text_column(table, position) for position in range(len(table.columns))]
    lines = itertools.chain.from_iterable(
        [*_text_lines(names, block), ""] for block in _blocks(columns, width - _width(names))
    )
    caption = itertools.chain.from_iterable(textwrap.wrap(_printable(sentence), width) for sentence in table.caption)
    return "\n".join([*lines, *caption])


def _text_column(table: Table, position: int) -> list[TextCell]:
    column = table.columns[position]
    title = textwrap.wrap(_printable(column.title), _TEXT_TITLE, break_long_words=False)
    return [title, *([spell(row.values[position], column.digits)] for row in table.rows)]


def _width(cells: Sequence[TextCell]) -> int:
    return max(len(line) for cell in cells for line in cell)


def _blocks(columns: Sequence[list[TextCell]], width: int) -> Iterator[list[list[TextCell]]]:
    """As many columns as fit into the width, again and again."""
    block: list[list[TextCell]] = []
    for column in columns:
        if block and sum(2 + _width(each) for each in [*block, column]) > width:
            yield block
            block = []
        block.append(column)
    yield block


def _text_lines(names: list[TextCell], columns: Sequence[list[TextCell]]) -> Iterator[str]:
    widths = [_width(column) for column in columns]
    for number, (name, *cells) in enumerate(zip(names, *columns, strict=True)):
        for label, *pieces in itertools.zip_longest(name, *cells, fillvalue=""):
            numbers = "".join(f"  {piece:>{width}}" for piece, width in zip(pieces, widths, strict=True))
            yield f"{label:<{_width(names)}}{numbers}".rstrip()
        if number == 0:
            yield "─" * (_width(names) + sum(2 + width for width in widths))


def _printable(text: str) -> str:
    """The text without control characters, which would break a table, steer a terminal or reverse what follows."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "�", text)
