"""The levels of the table "rate for the task" fit the metrics that they are of."""

from __future__ import annotations

import itertools

import pytest

from vcmbench import registry
from vcmbench.interfaces import Column, SetMetric
from vcmbench.reports.task_thresholds import THRESHOLDS, thresholds_of


def columns() -> dict[str, Column]:
    """Every column of the built-in metrics."""
    found: dict[str, Column] = {}
    for metric in map(registry.metrics.get, registry.metrics.classes):
        found |= metric.columns
        found |= metric.set_columns if issubclass(metric, SetMetric) else {}
    return found


def test_every_level_is_one_that_its_column_can_have() -> None:
    """Each threshold names a column of numbers or flags, lies within the column's limits and says where it comes from."""
    known = columns()
    for threshold in THRESHOLDS:
        column = known[threshold.column]
        low, high = (0, 1) if column.dtype == "bool" else column.limits
        assert column.dtype != "string"
        assert low is None or low < threshold.level
        assert high is None or threshold.level < high
        assert threshold.source


@pytest.mark.parametrize("column", sorted({threshold.column for threshold in THRESHOLDS}))
def test_a_columns_levels_are_ordered_and_differ(column: str) -> None:
    """The easiest comes first: rising where higher is better, falling where lower is better or the level is a distance."""
    sign = 1 if columns()[column].better == "higher" else -1
    levels = [sign * threshold.level for threshold in thresholds_of(column)]
    assert all(easier < harder for easier, harder in itertools.pairwise(levels))


def test_a_column_without_levels_has_none() -> None:
    """FID's value depends on the number of images, so that no level is given for it."""
    assert "fid" in columns()
    assert thresholds_of("fid") == ()
