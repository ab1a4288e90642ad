"""The rate–performance table as files: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from vcmbench.reports.summary import Summary
from vcmbench.reports.tables import Table, TableRow, printable, rate_performance
from vcmbench.run_index import Index

# ------------------------------------------------------------------------------------------------------- Markdown


def as_markdown(index: Index, summary: Summary) -> str:
    """The rate–performance table in GitHub's Markdown, with its caption as a list."""
    table = rate_performance(index, summary)
    titles = ["Setting", *(column.title for column in table.columns)]
    lines = [
        _markdown_row(map(_markdown, titles)),
        _markdown_row([":--", *("--:" for _ in table.columns)]),
        *(_markdown_row([_markdown(row.variant), *_emphasised(table, row, "**{}**")]) for row in table.rows),
        "",
        *(f"- {_markdown(sentence)}" for sentence in table.caption),
    ]
    return "\n".join(lines) + "\n"


def _emphasised(table: Table, row: TableRow, form: str) -> list[str]:
    return [form.format(cell) if best else cell for cell, best in zip(table.spell(row), row.best, strict=True)]


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", printable(text))


# ------------------------------------------------------------------------------------------------------------ CSV


def as_csv(index: Index, summary: Summary) -> str:
    """The rate–performance table as CSV: metric columns by name, numbers in full precision, nothing where there is none."""
    table = rate_performance(index, summary)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["curve", "setting", *(column.name for column in table.columns)])
    writer.writerows([row.curve, row.variant, *row.values] for row in table.rows)
    return text.getvalue()


# ----------------------------------------------------------------------------------------------------------- LaTeX

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "⇑": r"$\Uparrow$",
    "⇓": r"$\Downarrow$",
    "–": "--",
    "×": r"$\times$",
    "\N{NO-BREAK SPACE}": "~",
}


def as_latex(index: Index, summary: Summary) -> str:
    """The rate–performance table as a `tabular` for the package booktabs; its caption is in comments."""
    table = rate_performance(index, summary)
    titles = ["Setting", *(column.title for column in table.columns)]
    lines = [
        *(f"% {printable(sentence)}" for sentence in table.caption),
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _latex_row(map(_latex, titles)),
    ]
    curve = None
    for row in table.rows:
        if row.curve != curve:
            lines.append(r"\midrule")
        curve = row.curve
        lines.append(_latex_row([_latex(row.variant), *map(_latex_dash, _emphasised(table, row, r"\textbf{{{}}}"))]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _latex_dash(cell: str) -> str:
    return cell.replace("–", "--")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in printable(text))
