"""What a report takes from a run's rows: each column is read once, and everything taken from it while it is in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vcmbench.reports.grid import Grid, Matrix
from vcmbench.reports.image_labels import image_labels
from vcmbench.reports.image_ranking import CURVES, Meeting, Ranking, meetings, rank, rates_of
from vcmbench.reports.slices import SliceMeans, Slices, slice_means, slices_of
from vcmbench.reports.statistics import Resampling, Statistics, statistics
from vcmbench.reports.summary import CODING, Summary, numeric_columns, summary_of
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, complete_shards


@dataclass(frozen=True)
class Readings:
    """The parts of a report that need all rows."""

    summary: Summary
    slices: Slices
    anchor: str | None
    meetings: Sequence[Meeting]
    """Of every curve that can be ranked against the anchor."""
    rankings: Mapping[str, Sequence[Ranking]]
    """Of the first `CURVES` of them, by curve."""


@dataclass(frozen=True)
class _Taken:
    """What one column comes to."""

    statistics: Statistics
    slices: Sequence[SliceMeans]
    rankings: Mapping[str, Ranking]


def read_columns(run: RunDirectory, index: Index, grid: Grid, anchor: str | None) -> Readings:
    """Read every column of the grid; curves are ranked against the anchor, if there is one.

    The rate comes first, since the mean rates decide which settings are ranked. Result files that cannot be read raise
    `UsageError`.
    """
    labels, notes = image_labels(run, complete_shards(index))
    resampling = Resampling.of(grid.clusters)
    bpp = grid.values("bpp")
    rates = statistics(bpp, resampling)
    rate_slices = slice_means(bpp, rates, labels, resampling)
    met = meetings(index, rates.mean, anchor) if anchor else []
    ranked = met[:CURVES]
    image_rates = rates_of(bpp, ranked)
    del bpp  # only two matrices at a time are in memory

    def take(name: str, values: Matrix) -> _Taken:
        found = statistics(values, resampling)
        if name in CODING:
            return _Taken(found, (), {})
        return _Taken(
            found,
            slice_means(values, found, labels, resampling),
            rank(name, index.columns[name], values, ranked, image_rates),
        )

    metrics = numeric_columns(index)
    taken = {
        "bpp": _Taken(rates, rate_slices, {}),
        **grid.each([name for name in (*CODING, *metrics) if name != "bpp"], take),
    }
    return Readings(
        summary=summary_of(run, index, grid, {name: each.statistics for name, each in taken.items()}),
        slices=slices_of(labels, notes, {name: taken[name].slices for name in ("bpp", *metrics)}),
        anchor=anchor,
        meetings=met,
        rankings={
            meeting.curve: [each.rankings[meeting.curve] for each in taken.values() if meeting.curve in each.rankings]
            for meeting in ranked
        },
    )
