"""BD-rate and BD-quality of a curve against an anchor (Bjøntegaard, VCEG-M33, 2001), for any metric.

Both are the mean distance of two curves over what they have in common: BD-rate along the rate, between qualities that both
reach; BD-quality along the metric, between rates that both have. Rates are logarithmic, the interpolation is PCHIP, and
nothing is extrapolated, smoothed or fitted again.

On the same points the values equal those of the `bjontegaard` package (Herglotz et al., 2022) with method="pchip", which is
SciPy's PchipInterpolator of log10 rates. Its "akima" interpolates otherwise, and its "cubic" is VCEG-M33's polynomial. That
package warns under an overlap of 75 % of both curves' joint range, and still gives a value; it stops at metrics of which
less is better, whose BD-rate is here that of the negated metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vcmbench.reports.curves import Curve, Floats, ambiguous, flags, pair, rises, unusable
from vcmbench.reports.intervals import percentile_interval
from vcmbench.reports.pchip import integral

FEWEST_POINTS = 4
LEAST_OVERLAP = 0.5
"""Of the narrower curve's range; under it there is no value, since it would speak of a minor part of either curve."""


@dataclass(frozen=True)
class Overlap:
    """What two curves have in common: from `low` to `high`, and which part that is of either's range, from 0 to 1.

    For BD-rate a range of qualities, in the metric's unit; for BD-quality one of rates, in bits per pixel, whose parts are
    measured in log-rate. `low` and `high` are None where the curves have nothing in common.
    """

    low: float | None
    high: float | None
    of_anchor: float
    of_test: float


@dataclass(frozen=True)
class Delta:
    """A BD value, or None with its `reason`.

    `low` and `high` are the ends of its 95 % interval, each None where there is none. `overlap` is None where a curve has no
    range at all. `flags` say in words what a reader must know: points left out, curves that are not monotone, replicates
    without a value, why there is no interval. The points are those that were used, in rising rate.
    """

    value: float | None
    reason: str
    low: float | None
    high: float | None
    overlap: Overlap | None
    flags: tuple[str, ...]
    anchor_points: tuple[str, ...]
    test_points: tuple[str, ...]


def bd_rate(anchor: Curve, test: Curve, identities: int) -> Delta:
    """Return the mean difference in rate at equal quality, in % of the anchor's: negative where `test` needs fewer bits.

    That is so whichever way the metric is better. No value, but a reason, where a curve has fewer than 4 usable points or
    equal rates, where a curve is not strictly monotone, so that a quality has no single rate, where the metric has no
    better direction, or where less than half of the narrower range of qualities is common. The interval needs replicates in
    both curves and at least 20 `identities`.
    """
    sign = anchor.direction
    overlap = _overlap(anchor.quality, test.quality, lambda end: sign * end)
    if anchor.better is None:
        reason = "the metric has no better direction, so that no rate is the one of a quality"
    else:
        reason = _incomparable(anchor, test) or ambiguous(anchor) or ambiguous(test) or _too_little(overlap)
    if reason:
        return _none(anchor, test, overlap, reason)
    one, other = pair(anchor, test)
    with np.errstate(all="ignore"):  # replicates without a value are found by what comes out
        gaps = _mean_gaps(sign * one.value_rows, np.log(one.rate_rows), sign * other.value_rows, np.log(other.rate_rows))
        percent = 100 * np.expm1(gaps)
    return _found(anchor, test, overlap, percent, identities)


def bd_quality(anchor: Curve, test: Curve, identities: int) -> Delta:
    """Return the mean difference of the metric at equal rate, test less anchor, in the metric's unit.

    For PSNR this is BD-PSNR. Where lower is better, a negative value is the better one. A curve that is not monotone has
    a value, with a flag. No value, but a reason, where a curve has fewer than 4 usable points or equal rates, or where less
    than half of the narrower range of log-rates is common. The interval is as for `bd_rate`.
    """
    overlap = _overlap(np.log(anchor.rates), np.log(test.rates), lambda end: float(np.exp(end)))
    if reason := _incomparable(anchor, test) or _too_little(overlap):
        return _none(anchor, test, overlap, reason)
    one, other = pair(anchor, test)
    with np.errstate(all="ignore"):  # likewise
        gaps = _mean_gaps(np.log(one.rate_rows), one.value_rows, np.log(other.rate_rows), other.value_rows)
    return _found(anchor, test, overlap, gaps, identities)


def _incomparable(anchor: Curve, test: Curve) -> str:
    if anchor.better != test.better:
        return "the curves are of metrics that differ in which way is better"
    return unusable(anchor, FEWEST_POINTS) or unusable(test, FEWEST_POINTS)


def _overlap(anchor: Floats, test: Floats, in_units: Callable[[float], float]) -> Overlap | None:
    """The common range of two curves along an axis; `in_units` makes of a place on it what a reader knows."""
    if not all(len(axis) and 0 < _range(axis) < np.inf for axis in (anchor, test)):
        return None
    low, high = max(anchor.min(), test.min()), min(anchor.max(), test.max())
    if low > high:
        return Overlap(None, None, 0.0, 0.0)
    ends = sorted(in_units(float(end)) for end in (low, high))
    of_anchor, of_test = (float((high - low) / _range(axis)) for axis in (anchor, test))
    return Overlap(ends[0], ends[1], of_anchor, of_test)


def _range(axis: Floats) -> float:
    with np.errstate(over="ignore"):  # infinite, then
        return float(np.ptp(axis))


def _too_little(overlap: Overlap | None) -> str:
    if overlap is None:
        return "a curve has no range, or too large a one, to compare over"
    if overlap.low is None:
        return "the curves do not overlap"
    share = max(overlap.of_anchor, overlap.of_test)
    if share < LEAST_OVERLAP:
        return f"the curves overlap on {share:.0%} of the narrower one's range, less than {LEAST_OVERLAP:.0%}"
    return ""


def _mean_gaps(anchor_x: Floats, anchor_y: Floats, test_x: Floats, test_y: Floats) -> Floats:
    """The mean of test less anchor over the common x of each row (rows×P and rows×Q → rows); NaN where there is none."""
    low = np.maximum(anchor_x[:, 0], test_x[:, 0])
    high = np.minimum(anchor_x[:, -1], test_x[:, -1])
    gaps = (integral(test_x, test_y, low, high) - integral(anchor_x, anchor_y, low, high)) / (high - low)
    computable = rises(anchor_x) & rises(test_x) & (high > low) & np.isfinite(gaps)
    return np.where(computable, gaps, np.nan)


def _found(anchor: Curve, test: Curve, overlap: Overlap | None, values: Floats, identities: int) -> Delta:
    """The first of the values, with the interval that the others, its replicates, give."""
    if not np.isfinite(values[0]):
        return _none(anchor, test, overlap, "the points are too far apart, or too close together, to compute with")
    replicates = np.where(np.isfinite(values[1:]), values[1:], np.nan)
    interval = percentile_interval(replicates, identities)
    told = (*flags(anchor), *flags(test), *interval.notes)
    return Delta(float(values[0]), "", interval.low, interval.high, overlap, told, anchor.points, test.points)


def _none(anchor: Curve, test: Curve, overlap: Overlap | None, reason: str) -> Delta:
    return Delta(None, reason, None, None, overlap, (*flags(anchor), *flags(test)), anchor.points, test.points)
