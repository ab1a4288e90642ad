"""The rate–performance table as plain text for a terminal."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence

from vcmbench.reports.summary import Summary
from vcmbench.reports.tables import Table, printable, rate_performance, spell
from vcmbench.run_index import Index

_TEXT_NAME, _TEXT_TITLE = 40, 10
"""The width in characters at which a setting's name, and a column's title, goes on in the next line of plain text."""

TextCell = Sequence[str]
"""The lines of one cell of plain text."""


def as_text(index: Index, summary: Summary, width: int = 120) -> str:
    """The rate–performance table for a terminal of that many characters; columns that do not fit go on below."""
    table = rate_performance(index, summary)
    names: list[TextCell] = [["Setting"], *(textwrap.wrap(printable(row.variant), _TEXT_NAME) for row in table.rows)]
    columns = [_text_column(table, position) for position in range(len(table.columns))]
    lines = itertools.chain.from_iterable(
        [*_text_lines(names, block), ""] for block in _blocks(columns, width - _width(names))
    )
    caption = itertools.chain.from_iterable(textwrap.wrap(printable(sentence), width) for sentence in table.caption)
    return "\n".join([*lines, *caption])


def _text_column(table: Table, position: int) -> list[TextCell]:
    column = table.columns[position]
    title = textwrap.wrap(printable(column.title), _TEXT_TITLE, break_long_words=False)
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
