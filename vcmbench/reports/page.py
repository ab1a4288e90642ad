"""The report of a run: one self-contained page that makes no request, and the rate–performance table as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from vcmbench.reports.comparison_tables import bd_csv, iso_rate_csv, page_tables, task_rates_csv
from vcmbench.reports.comparisons import Comparisons, choose_anchor, compare_curves
from vcmbench.reports.grid import open_grid
from vcmbench.reports.image_report import ImageSection, report_images
from vcmbench.reports.layers import layered_curves
from vcmbench.reports.matched_rate import FEWEST_POINTS
from vcmbench.reports.page_data import page_data
from vcmbench.reports.pictures import Showing
from vcmbench.reports.readings import read_columns
from vcmbench.reports.slices import Slices, slices_csv
from vcmbench.reports.summary import Summary, numeric_columns, reported_columns, store
from vcmbench.reports.table_files import as_csv, as_latex, as_markdown
from vcmbench.reports.tables import by_curve, column_titles, rate_performance, spell
from vcmbench.results import RunDirectory
from vcmbench.run_index import ColumnRecord, Index, MetricRecord

_KINDS = {"human": "Human vision", "machine": "Machine vision"}

LARGE = 800
"""Means on a page, from which on a browser leaves what is far from the window until it comes near."""


def write_report(run: RunDirectory, index: Index, anchor: str | None = None, showing: Showing | None = None) -> Summary:
    """Write `summary.parquet`, and in `report/` the page and its tables as files; return the summary.

    Curves are compared with the anchor, see `compare_curves`. Images are shown as `showing` says, none without it. Result
    files that cannot be read, and an anchor or a setting to show that the run does not have, raise `UsageError`.
    """
    anchor = choose_anchor(index, anchor)
    with open_grid(run, index) as grid:
        readings = read_columns(run, index, grid, anchor)
        summary, slices = readings.summary, readings.slices
        comparisons = compare_curves(index, summary, anchor)
        _write_tables(run, index, summary, comparisons, slices)
        images = report_images(run, index, grid, readings, showing)
    run.write("report/index.html", render(index, summary, comparisons, run.read_provenance(), slices, images).encode())
    return summary


def _write_tables(
    run: RunDirectory, index: Index, summary: Summary, comparisons: Comparisons | None, slices: Slices
) -> None:
    store(run, summary)
    if comparisons:
        for name, spell_out in (("bd", bd_csv), ("iso_rate", iso_rate_csv), ("task_rates", task_rates_csv)):
            run.write(f"report/{name}.csv", spell_out(comparisons).encode())
    run.write("report/table1.md", as_markdown(index, summary).encode())
    run.write("report/table1.tex", as_latex(index, summary).encode())
    run.write("report/table1.csv", as_csv(index, summary).encode())
    if slices.found:
        run.write("report/slices.csv", slices_csv(index, slices).encode())


def render(
    index: Index,
    summary: Summary,
    comparisons: Comparisons | None,
    provenance: Mapping[str, Any],
    slices: Slices,
    images: ImageSection | None = None,
) -> str:
    """The report as HTML with its styles, script and numbers inline; every name in it is escaped."""
    table = rate_performance(index, summary)
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
        table=table,
        is_large=len(index.settings) * len(reported_columns(index)) > LARGE,
        data=page_data(index, summary, table, slices),
        sections=_chart_sections(index, summary),
        no_trade_off=_no_trade_off(index, summary),
        slices=slices,
        layered=list(layered_curves(index, summary)),
        images=images,
        comparisons=comparisons,
        compared=list(page_tables(index, summary, comparisons)) if comparisons else [],
        details=list(_details(index, summary)),
        provenance=provenance,
    )


def _no_trade_off(index: Index, summary: Summary) -> str:
    """Why there is no trade-off to show, or nothing."""
    for kind in _KINDS:
        if not any(column.better for metric in index.metrics if metric.kind == kind for column in _reported(index, metric)):
            return f"There is none to show: the run has no {kind} metric with a better direction."
    rates = Counter(row["curve"] for row in summary.table.to_pylist() if row["bpp_mean"])
    if max(rates.values(), default=0) < FEWEST_POINTS:
        return "There is none to show: no curve has two points with a rate."
    return ""


def _reported(index: Index, metric: MetricRecord) -> list[ColumnRecord]:
    columns = reported_columns(index)
    return [columns[name] for name in (*metric.columns, *metric.set_columns) if name in columns]


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
