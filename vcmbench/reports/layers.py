"""What the layers of scalable codecs weigh, and what each of them gains.

The bitstream of a scalable curve's setting is the beginning of the next one's, so that the differences of mean lengths along
the curve are the mean lengths of its layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from vcmbench.reports.intervals import percentile_interval
from vcmbench.reports.summary import Summary, reported_columns
from vcmbench.reports.tables import by_curve
from vcmbench.run_index import ColumnRecord, Index

EXTRA_RATE = 0.01
"""Bits per pixel that a gain is of."""


@dataclass(frozen=True)
class Gain:
    """How a metric's mean changes with a layer, per `EXTRA_RATE`, in the metric's unit.

    `low` and `high` are the ends of the 95 % interval, each None where there is none. `of_largest` is the gain's size over
    that of the curve's largest, from 0 to 1.
    """

    value: float
    low: float | None
    high: float | None
    of_largest: float
    is_worse: bool


@dataclass(frozen=True)
class Layer:
    """What a setting adds to the one before it; means over the common support."""

    setting: str
    bytes: float
    bpp: float
    share: float
    """Of the curve's longest bitstream, from 0 to 1."""
    gains: Sequence[Gain | None]
    """For each metric column, in the summary's order; None for the first layer and where a value is missing."""


@dataclass(frozen=True)
class LayeredCurve:
    """The layers of one curve, in the order of its bitstream; `left_out` names settings of which no image has a rate."""

    name: str
    layers: Sequence[Layer]
    left_out: Sequence[str]


def layered_curves(index: Index, summary: Summary) -> Iterator[LayeredCurve]:
    """Yield every curve of a scalable codec."""
    scalable = {setting.key for setting in index.settings if setting.scalable}
    rows = [row for row in by_curve(summary) if row["setting"] in scalable]
    for curve, points in groupby(rows, key=lambda row: row["curve"]):
        settings = list(points)
        measured = [row for row in settings if row["bpp_mean"] is not None]
        left_out = [row["variant"] for row in settings if row["bpp_mean"] is None]
        yield LayeredCurve(curve, list(_layers(index, summary, measured)), left_out)


def _layers(index: Index, summary: Summary, rows: Sequence[Mapping[str, Any]]) -> Iterator[Layer]:
    places = {key: place for place, key in enumerate(summary.table["setting"].to_pylist())}
    columns = reported_columns(index)
    steps = [(places[before["setting"]], places[after["setting"]]) for before, after in pairwise(rows)]
    by_column = [_gains(summary, name, column, steps) for name, column in columns.items()]
    empty = {"bytes_mean": 0.0, "bpp_mean": 0.0}
    for number, (before, after) in enumerate(pairwise([empty, *rows])):
        size = after["bytes_mean"] - before["bytes_mean"]
        gains = [each[number - 1] if number else None for each in by_column]
        rate = after["bpp_mean"] - before["bpp_mean"]
        yield Layer(after["variant"], size, rate, size / rows[-1]["bytes_mean"], gains)


def _gains(summary: Summary, name: str, column: ColumnRecord, steps: Sequence[tuple[int, int]]) -> list[Gain | None]:
    """The gain of each step from one setting's place to the next one's."""
    rates, values = (np.array(summary.table[f"{each}_mean"].to_pylist(), np.float64) for each in ("bpp", name))
    rate_rows, value_rows = rates[None], values[None]
    if {"bpp", name} <= summary.replicates.keys():
        rate_rows = np.vstack([rate_rows, summary.replicates["bpp"]])
        value_rows = np.vstack([value_rows, summary.replicates[name]])
    with np.errstate(all="ignore"):  # a step without extra bits, or without a value, is told by what comes out
        found = [
            EXTRA_RATE * (value_rows[:, after] - value_rows[:, before]) / (rate_rows[:, after] - rate_rows[:, before])
            for before, after in steps
        ]
    largest = max((abs(each[0]) for each in found if np.isfinite(each[0])), default=0.0)
    direction = {"higher": 1, "lower": -1, None: 0}[column.better]
    gains: list[Gain | None] = []
    for each in found:
        if not np.isfinite(each[0]):
            gains.append(None)
            continue
        interval = percentile_interval(np.where(np.isfinite(each[1:]), each[1:], np.nan), summary.clusters)
        share = abs(each[0]) / largest if largest else 0.0
        gains.append(Gain(float(each[0]), interval.low, interval.high, float(share), bool(direction * each[0] < 0)))
    return gains
