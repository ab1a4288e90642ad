"""Reading a run for its report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from reading import readings_of
from report_browser import label_images
from synthetic_run import twelve_settings, write_run

from vcmbench.reports.grid import Grid, Matrix, open_grid
from vcmbench.reports.page import write_report
from vcmbench.reports.readings import read_columns
from vcmbench.reports.summary import summarise
from vcmbench.results import RunDirectory


@dataclass(frozen=True)
class CountingGrid(Grid):
    """A grid that counts how often each column is read."""

    reads: Counter[str] = field(default_factory=Counter)

    def values(self, column: str) -> Matrix:
        """Count, and read the column."""
        self.reads[column] += 1
        return super().values(column)


class CountingRun(RunDirectory):
    """A run directory that counts how often each file is fetched."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reads: Counter[str] = Counter()

    def read(self, name: str) -> bytes:
        """Count, and fetch the file."""
        self.reads[name] += 1
        return super().read(name)


def test_every_column_is_read_once(tmp_path: Path) -> None:
    """Summary, slices and rankings share one reading of a column, and columns without numbers are not read."""
    run, index = write_run(str(tmp_path), twelve_settings())
    label_images(run, 24, 5)
    with open_grid(run, index) as grid:
        counting = CountingGrid(**{each.name: getattr(grid, each.name) for each in fields(Grid)})
        readings = read_columns(run, index, counting, "jpeg")
    assert readings.slices.found
    assert all(readings.rankings.values())
    coding = {"bpp", "bytes", "encode_ms", "decode_ms"}
    assert counting.reads == dict.fromkeys(coding | (index.columns.keys() - {"detector"}), 1)


def test_a_report_fetches_each_result_file_once() -> None:
    """Also on an object store, where that is what takes time."""
    run, index = write_run("memory://fetched-once", twelve_settings())
    counting = CountingRun(run.url)
    write_report(counting, index)
    assert [counting.reads[shard.file] for shard in index.shards.values()] == [1, 1, 1]


def test_its_summary_is_the_one_computed_alone(tmp_path: Path) -> None:
    """To the last bit, draws of the bootstrap included."""
    run, index = write_run(str(tmp_path), twelve_settings(), images=48, people=24)
    alone, summary = summarise(run, index), readings_of(run, index, "jpeg").summary
    assert summary.table.equals(alone.table)
    assert summary.replicates.keys() == alone.replicates.keys()
    for column, means in alone.replicates.items():
        np.testing.assert_array_equal(summary.replicates[column], means)
