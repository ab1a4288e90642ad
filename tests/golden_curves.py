"""Curves against each other, on SciPy's interpolants: what they come to, for the means and for every draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import bjontegaard  # type: ignore[import-untyped]  # ships no type hints
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float] | None

MOST_FAILED = 0.05


@dataclass(frozen=True)
class Points:
    """A curve's usable points: rates and values of the means, then of each draw ((1+D)×P), each in rising rate."""

    curve: str
    variants: list[str]
    without: list[str]
    rates: Floats
    values: Floats


def percentiles(values: Floats) -> Interval:
    """The middle 95 % of what is not NaN, infinite where an end is; None where nothing is, or more than 5 % are NaN."""
    found = np.sort(values[~np.isnan(values)])
    if not len(values) or len(values) - len(found) > MOST_FAILED * len(values):
        return None
    places = [share * (len(found) - 1) for share in (0.025, 0.975)]
    ends = [(found[int(np.floor(place))], found[int(np.ceil(place))], place % 1) for place in places]
    low, high = (one + (two - one) * part if np.isfinite([one, two]).all() else np.inf for one, two, part in ends)
    return float(low), float(high)


def each(function: Callable[..., float], *several: Sequence[PchipInterpolator | None] | Floats) -> Floats:
    """The function of each interpolant, or of each pair; NaN where there is none."""
    rows = zip(*several, strict=True)
    return np.array([np.nan if any(each is None for each in row) else function(*row) for row in rows])


def mean_gap(anchor: PchipInterpolator, test: PchipInterpolator) -> float:
    """The mean of test less anchor over the x that they have in common; NaN for none."""
    low, high = max(anchor.x[0], test.x[0]), min(anchor.x[-1], test.x[-1])
    return float((test.integrate(low, high) - anchor.integrate(low, high)) / (high - low)) if low < high else np.nan


def rate_gap(anchor: PchipInterpolator, test: PchipInterpolator) -> float:
    """The same of log-rates over the quality, in per cent of the anchor's rate."""
    return 100 * float(np.expm1(mean_gap(anchor, test)))


def value_at(interpolant: PchipInterpolator, rate: float) -> float:
    """A metric at a rate; NaN outside the interpolant's own rates."""
    return float(interpolant(np.log(rate))) if interpolant.x[0] <= np.log(rate) <= interpolant.x[-1] else np.nan


def rate_for(interpolant: PchipInterpolator, level: float, sign: int) -> float:
    """The rate from which on a metric stays at the level; -∞ and ∞ where that is everywhere and nowhere."""
    gaps = sign * (interpolant(interpolant.x) - level)
    if gaps[-1] < 0:
        return np.inf
    return -np.inf if (gaps >= 0).all() else float(np.exp(interpolant.solve(level, extrapolate=False).max()))


def package_bd_rate(anchor: Points, test: Points, sign: int) -> float:
    """The package's BD-rate of the means."""
    arguments = anchor.rates[0], sign * anchor.values[0], test.rates[0], sign * test.values[0]
    return float(bjontegaard.bd_rate(*arguments, method="pchip", require_matching_points=False, min_overlap=0))


def package_bd_quality(anchor: Points, test: Points) -> float:
    """The package's BD-PSNR of the means."""
    arguments = anchor.rates[0], anchor.values[0], test.rates[0], test.values[0]
    return float(bjontegaard.bd_psnr(*arguments, method="pchip", require_matching_points=False, min_overlap=0))
