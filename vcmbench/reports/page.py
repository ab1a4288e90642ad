"""The report of a run: one self-contained page that makes no request, and the rate–performance table as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from vcmbench.reports.comparison_tables import bd_csv, iso_rate_csv, page_tables, task_rates_csv
from vcmbench.reports.comparisons import Comparisons, compare_curves
from vcmbench.reports.summary import Summary, numeric_columns, reported_columns, store, summarise
from vcmbench.reports.table_files import as_csv, as_latex, as_markdown
from vcmbench.reports.tables import by_curve, column_titles, rate_performance, spell
from vcmbench.results import Index, RunDirectory

_KINDS = {"human": "Human vision", "machine": "Machine vision"}


def write_report(run: RunDirectory, index: Index, anchor: str | None = None) -> Summary:
    """Write `summary.parquet`, and in `report/` the page and its tables as files; return the summary.

    Curves are compared with the anchor, see `compare_curves`. Result files that cannot be read, and an anchor that the run
    does not have, raise `UsageError`.
    """
    summary = summarise(run, index)
    store(run, summary)
    comparisons = compare_curves(index, summary, anchor)
    if comparisons:
        for name, spell_out in (("bd", bd_csv), ("iso_rate", iso_rate_csv), ("task_rates", task_rates_csv)):
            run.write(f"report/{name}.csv", spell_out(comparisons).encode())
    run.write("report/table1.md", as_markdown(index, summary).encode())
    run.write("report/table1.tex", as_latex(index, summary).encode())
    run.write("report/table1.csv", as_csv(index, summary).encode())
    run.write("report/index.html", render(index, summary, comparisons, run.read_provenance()).encode())
    return summary


def render(index: Index, summary: Summary, comparisons: Comparisons | None, provenance: Mapping[str, Any]) -> str:
    """The report as HTML with its styles, script and numbers inline; every name in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vcmbench.reports", "html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        index=index,
        summary=summary,
        table=rate_performance(index, summary),
        data=_chart_data(index, summary),
        sections=_chart_sections(index, summary),
        comparisons=comparisons,
        compared=list(page_tables(index, summary, comparisons)) if comparisons else [],
        details=list(_details(index, summary)),
        provenance=provenance,
    )


def _chart_data(index: Index, summary: Summary) -> dict[str, object]:
    """What the charts draw: the columns, and per curve its points with a mean, interval and n for each column."""
    columns = reported_columns(index)
    curves: dict[str, list[dict[str, object]]] = {}
    for row in by_curve(summary):
        point = {
            "setting": row["variant"],
            "bpp": row["bpp_mean"],
            "means": [row[f"{name}_mean"] for name in columns],
            "intervals": [_interval(row, name) for name in columns],
            "counts": [row[f"{name}_n"] for name in columns],
        }
        curves.setdefault(row["curve"], []).append(point)
    return {
        "columns": [{"title": column.title, "unit": column.unit} for column in columns.values()],
        "curves": [{"name": name, "points": points} for name, points in curves.items()],
    }


def _interval(row: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return None if low is None or high is None else (low, high)


def _chart_sections(index: Index, summary: Summary) -> dict[str, list[tuple[int, str, str]]]:
    """Kind of vision → its charts: the column's place in the chart data, its title, and which way is better."""
    titles = column_titles(index, summary)
    places = {name: place for place, name in enumerate(titles)}
    sections: dict[str, list[tuple[int, str, str]]] = {}
    for metric in index.metrics:
        for name, column in {**metric.columns, **metric.set_columns}.items():
            if name in places:
                better = f"{column.better} is better" if column.better else "no better direction"
                sections.setdefault(_KINDS[metric.kind], []).append((places[name], titles[name], better))
    return sections


def _details(index: Index, summary: Summary) -> Iterator[list[str]]:
    """Titles, then per setting its sizes, times, errors and the coverage of metrics that lack values of coded images."""
    records = by_curve(summary)
    partial = {
        name: column for name, column in numeric_columns(index).items() if any(_lacks_values(row, name) for row in records)
    }
    sizes = ["Images", "Errors", "Bytes", "Encoding, ms", "Decoding, ms"]
    yield ["Setting", *sizes, *(f"{column.title}: coverage, %" for column in partial.values())]
    for row in records:
        shares = [row[f"{name}_coverage"] for name in partial]
        yield [
            row["variant"],
            str(row["images"]),
            str(row["errors"]),
            spell(row["bytes_mean"], 0),
            spell(row["encode_ms_median"], 2),
            spell(row["decode_ms_median"], 2),
            *(spell(None if share is None else 100 * share, 1) for share in shares),
        ]


def _lacks_values(row: Mapping[str, Any], name: str) -> bool:
    coverage = row[f"{name}_coverage"]
    return coverage is not None and round(coverage * row["images"]) < row["images"] - row["errors"]
