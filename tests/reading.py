"""What a report takes from a run, without the report."""

from __future__ import annotations

from vcmbench.reports.grid import open_grid
from vcmbench.reports.readings import Readings, read_columns
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index


def readings_of(run: RunDirectory, index: Index, anchor: str | None = None) -> Readings:
    """Read a run's columns."""
    with open_grid(run, index) as grid:
        return read_columns(run, index, grid, anchor)
