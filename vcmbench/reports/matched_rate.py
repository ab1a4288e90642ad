"""Curves compared at equal rate, and the rate at which a curve does what a task asks.

Between its points a curve is interpolated as for BD-rate: PCHIP over the logarithm of the rate. Outside them nothing is
said: a rate below or above all points has no value, and a level that the curve does not reach has no rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcmbench.reports.curves import Better, Curve, Floats, flags, pair, rises, unusable
from vcmbench.reports.intervals import FEWEST_IDENTITIES, percentile_interval
from vcmbench.reports.pchip import crossing, evaluate

FEWEST_POINTS = 2
"""Of a curve that is interpolated; two are joined by a straight line in log-rate."""

REACHED_ALREADY = "reached already at the lowest rate"
NOT_REACHED = "not reached"
LOST_AGAIN = "reached, but not at the highest rate"


@dataclass(frozen=True)
class MatchedValue:
    """A curve's value at `rate`, or None with its `reason`.

    `interpolated` is False where one of the curve's own points has that rate. `low` and `high` are the ends of the 95 %
    interval, each None where there is none. `flags` say what a reader must know; `points` are the curve's.
    """

    rate: float
    value: float | None
    reason: str
    low: float | None
    high: float | None
    interpolated: bool
    flags: tuple[str, ...]
    points: tuple[str, ...]


@dataclass(frozen=True)
class TaskRate:
    """The rate in bits per pixel from which on a curve does what a task asks, or None with its `reason`.

    The reason is `REACHED_ALREADY`, `NOT_REACHED` or `LOST_AGAIN` of this module where the curve's points say so. `low` and
    `high` are the ends of the 95 % interval; one that is None lies outside the curve's rates, as `flags` says, unless there
    is no interval. `points` are the curve's.
    """

    value: float | None
    reason: str
    low: float | None
    high: float | None
    flags: tuple[str, ...]
    points: tuple[str, ...]


def at_points_of(chosen: Curve, curve: Curve, identities: int) -> tuple[MatchedValue, ...]:
    """Return `curve`'s value at the rate of each point of `chosen`, whose rates vary with the same bootstrap samples."""
    one, other = pair(chosen, curve)
    return at_rates(other, one.rates, identities, one.rate_replicates)


def at_rates(
    curve: Curve, rates: Sequence[float] | Floats, identities: int, rate_replicates: Floats | None = None
) -> tuple[MatchedValue, ...]:
    """Return the curve's value at each of R rates in bits per pixel.

    `rate_replicates` (D×R) are the rates under the curve's own bootstrap samples, None for rates that do not vary. No value,
    but a reason, outside the curve's rates and for a curve of fewer than 2 usable points or with equal rates. The interval
    needs at least 20 `identities`; replicates whose rates do not include the rate are left out and counted.
    """
    wanted = np.asarray(rates, dtype=np.float64)
    if not len(curve.rate_replicates):
        rate_replicates = None
    rows = np.vstack([wanted, _varied(wanted, curve) if rate_replicates is None else rate_replicates])
    reason = unusable(curve, FEWEST_POINTS)
    values = np.full(rows.shape, np.nan) if reason else _values(curve, rows)
    return tuple(
        _matched(curve, float(rate), column, reason or _outside(curve, float(rate)), identities)
        for rate, column in zip(wanted, values.T, strict=True)
    )


def _varied(rates: Floats, curve: Curve) -> Floats:
    return np.broadcast_to(rates, (len(curve.rate_replicates), len(rates)))


def _values(curve: Curve, rates: Floats) -> Floats:
    """The value of each of the curve's rows at its rates ((1+D)×R); NaN outside the row's own rates."""
    own = curve.rate_rows
    with np.errstate(all="ignore"):  # a row that cannot be interpolated is found by what comes out
        values = evaluate(np.log(own), curve.value_rows, np.log(rates))
    inside = (rates >= own[:, :1]) & (rates <= own[:, -1:])
    computable = (rises(own) & (own[:, 0] > 0))[:, None] & inside & np.isfinite(values)
    return np.where(computable, values, np.nan)


def _outside(curve: Curve, rate: float) -> str:
    if not np.isfinite(rate) or rate <= 0:
        return "the rate is not a positive number"
    if not curve.rates[0] <= rate <= curve.rates[-1]:
        return f"outside the rates of {curve.name}, {curve.rates[0]:.3g} to {curve.rates[-1]:.3g} bpp"
    return ""


def _matched(curve: Curve, rate: float, values: Floats, reason: str, identities: int) -> MatchedValue:
    interpolated = rate not in curve.rates
    if not reason and not np.isfinite(values[0]):
        reason = "the points are too far apart, or too close together, to compute with"
    if reason:
        return MatchedValue(rate, None, reason, None, None, interpolated, tuple(flags(curve)), curve.points)
    interval = percentile_interval(values[1:], identities)
    told = (*flags(curve), *interval.notes)
    return MatchedValue(rate, float(values[0]), "", interval.low, interval.high, interpolated, told, curve.points)


def rate_for(curve: Curve, level: float, identities: int) -> TaskRate:
    """Return the smallest rate from which on the curve's values stay at `level` or better, up to its highest rate.

    Without a better direction, as of a difference from the original's value, values have to stay within ±`level`. A curve
    that reaches the level more than once is flagged. No value, but a reason, where the level is reached already at the
    lowest rate, not at all, or not at the highest rate, and for a curve of fewer than 2 usable points or with equal rates.
    The interval needs at least 20 `identities`; in it, replicates that reach the level already, or not from any rate on,
    count as below and above all rates.
    """
    reason = unusable(curve, FEWEST_POINTS) or _unreached(curve, level)
    if reason:
        return TaskRate(None, reason, None, None, _told(curve, level), curve.points)
    rates = _reaching_rates(curve, level)
    if not np.isfinite(rates[0]):
        reason = "the points are too far apart, or too close together, to compute with"
        return TaskRate(None, reason, None, None, _told(curve, level), curve.points)
    interval = percentile_interval(rates[1:], identities)
    told = (*_told(curve, level), *interval.notes, *_beyond(rates[1:], identities))
    return TaskRate(float(rates[0]), "", interval.low, interval.high, told, curve.points)


def _is_reached(values: Floats, level: float, better: Better) -> npt.NDArray[np.bool_]:
    if better == "higher":
        return values >= level
    return (values if better == "lower" else np.abs(values)) <= level


def _unreached(curve: Curve, level: float) -> str:
    reached = _is_reached(curve.values, level, curve.better)
    if reached.all():
        return REACHED_ALREADY
    if not reached.any():
        return NOT_REACHED
    return "" if reached[-1] else LOST_AGAIN


def _reaching_rates(curve: Curve, level: float) -> Floats:
    """The rate of each of the curve's rows (1+D): -∞ if reached already, ∞ if not from any rate on, NaN if not computable.

    Values between two points lie between theirs: the level is crossed for good right after the last point without it.
    """
    rates, values = curve.rate_rows, curve.value_rows
    reached = _is_reached(values, level, curve.better)
    last = rates.shape[1] - 1
    segment = np.minimum(last - np.argmin(reached[:, ::-1], axis=1), last - 1)
    before, after = (np.take_along_axis(rates, segment[:, None] + side, axis=1)[:, 0] for side in (0, 1))
    outside = np.take_along_axis(values, segment[:, None], axis=1)[:, 0]
    crossed = np.copysign(level, outside) if curve.better is None else np.full(len(outside), level)
    with np.errstate(all="ignore"):  # a row that cannot be interpolated is found by what comes out
        found = np.clip(np.exp(crossing(np.log(rates), values, segment, crossed)), before, after)
    found = np.where(reached[:, -1], found, np.inf)
    found = np.where(reached.all(axis=1), -np.inf, found)
    computable = rises(rates) & (rates[:, 0] > 0) & np.isfinite(values).all(axis=1)
    return np.where(computable, found, np.nan)


def _told(curve: Curve, level: float) -> tuple[str, ...]:
    reached = _is_reached(curve.values, level, curve.better)
    lost = [curve.points[place + 1] for place in np.flatnonzero(reached[:-1] & ~reached[1:])]
    again = (f"{curve.name} loses the level again at {', '.join(lost)}",) if lost else ()
    return (*flags(curve), *again)


def _beyond(rates: Floats, identities: int) -> Iterator[str]:
    """What a reader must know of the replicates that count as below or above all rates."""
    if identities < FEWEST_IDENTITIES:
        return
    if already := int(np.isneginf(rates).sum()):
        yield f"reached already at the lowest rate in {already:,} of {len(rates):,} bootstrap replicates"
    if never := int(np.isposinf(rates).sum()):
        yield f"not reached from any rate on in {never:,} of {len(rates):,} bootstrap replicates"
