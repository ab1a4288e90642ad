"""Confidence intervals from bootstrap replicates that were drawn by identity (percentile method; Efron, 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST_IDENTITIES = 20
"""With fewer, resampling identities says little about others, and no interval is given."""
LEVEL = 0.95
MOST_FAILED = 1 - LEVEL
"""With a larger share of replicates without a value, either end of the interval could lie anywhere."""


@dataclass(frozen=True)
class Interval:
    """The ends, each None where there is none, and what a reader must know of it."""

    low: float | None
    high: float | None
    notes: tuple[str, ...] = ()


def percentile_interval(replicates: npt.NDArray[np.float64], identities: int) -> Interval:
    """Return the 95 % interval of D replicates of a value; `identities` says how many were resampled.

    NaN is a replicate without a value: it is left out and counted, and more than 5 % of them leave no interval. Infinity is
    a value beyond what was measured; where it reaches an end, that end is None.
    """
    found = np.sort(replicates[~np.isnan(replicates)])
    failed = len(replicates) - len(found)
    if identities < FEWEST_IDENTITIES:
        return Interval(None, None, (f"no interval: {identities} identities, fewer than {FEWEST_IDENTITIES}",))
    if not len(replicates):
        return Interval(None, None, ("no interval: there are no common bootstrap replicates",))
    told = f"{failed:,} of {len(replicates):,} bootstrap replicates have no value"
    if failed > MOST_FAILED * len(replicates):
        return Interval(None, None, (f"no interval: {told}, more than {MOST_FAILED:.0%}",))
    low, high = _percentile(found, (1 - LEVEL) / 2), _percentile(found, (1 + LEVEL) / 2)
    return Interval(low, high, (f"{told} and are left out of the interval",) if failed else ())


def _percentile(found: npt.NDArray[np.float64], share: float) -> float | None:
    """Interpolated between neighbours as NumPy does by default; None where one of them is infinite."""
    place = share * (len(found) - 1)
    below, above = found[int(np.floor(place))], found[int(np.ceil(place))]
    return float(below + (above - below) * (place % 1)) if np.isfinite([below, above]).all() else None
