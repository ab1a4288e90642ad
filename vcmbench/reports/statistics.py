"""What a column's values come to for each setting, and how sure that is.

Everything is over the column's *common support*: the images that have a value for every compared setting, so that two
settings are never compared on different images. Intervals are percentiles of a bootstrap over identities (Field and Welsh,
"Bootstrapping clustered data", Journal of the Royal Statistical Society B 69(3), 2007): photographs of one person are alike,
and drawing them one by one would make intervals too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.reports.grid import Matrix
from vcmbench.reports.intervals import FEWEST_IDENTITIES, LEVEL

Floats: TypeAlias = npt.NDArray[np.float64]

DRAWS = 1000
SEED = 20210611
LARGEST_DRAW = 4096
"""More clusters than these are drawn in so many random groups, which bounds memory; intervals stay as wide as they are."""
PERCENTILES = (5.0, 50.0, 95.0)
_ENDS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


@dataclass(frozen=True)
class Resampling:
    """How often each cluster of images comes in each draw; the same draws serve every column and setting."""

    group_of: npt.NDArray[np.int64]
    """I: the cluster of each image, or the random group of its cluster."""
    counts: Floats
    """D×G: how often each is drawn."""

    @classmethod
    def of(cls, clusters: npt.NDArray[np.int64], draws: int = DRAWS) -> Resampling:
        """Draw clusters, given each image's number, with replacement; the same clusters always give the same draws."""
        random = np.random.default_rng(SEED)
        count = int(clusters.max(initial=-1)) + 1
        group_of = clusters
        if count > LARGEST_DRAW:
            group_of = (random.permutation(count) % LARGEST_DRAW)[clusters]
            count = LARGEST_DRAW
        counts = random.multinomial(count, np.full(count, 1 / count), size=draws) if count else np.zeros((draws, 0))
        return cls(group_of, counts.astype(np.float64))


@dataclass(frozen=True)
class Statistics:
    """One column, S settings; all but `valid` are over the common support, and NaN where that has no image of theirs."""

    valid: npt.NDArray[np.int64]
    """How many images have a value."""
    compared: npt.NDArray[np.bool_]
    """Whether any has; the others take no part in the common support."""
    support: npt.NDArray[np.bool_]
    """I: which images every compared setting has a value of."""
    mean: Floats
    std: Floats
    """Of the sample; NaN for one image."""
    percentiles: Floats
    """S×3, of `PERCENTILES`."""
    replicates: Floats | None
    """D×S means of the draws; None for fewer than `FEWEST_IDENTITIES` clusters."""
    interval: Floats
    """S×2: the 95 % interval of the mean."""

    @property
    def n(self) -> int:
        """Images in the common support."""
        return int(self.support.sum())


def statistics(values: Matrix, resampling: Resampling) -> Statistics:
    """Compute them from values that may be infinite, which counts as missing."""
    finite = np.isfinite(values)
    valid = finite.sum(axis=1)
    compared = valid > 0
    support = finite[compared].all(axis=0) if compared.any() else np.zeros(values.shape[1], np.bool_)
    mean, std = np.full((2, len(values)), np.nan)
    percentiles = np.full((len(values), len(PERCENTILES)), np.nan)
    groups = resampling.group_of[support]
    size = resampling.counts.shape[1]
    sums = np.zeros((len(values), size))
    images = int(support.sum())
    for setting in np.flatnonzero(compared) if images else ():
        common = values[setting][support]
        mean[setting] = common.mean()
        std[setting] = common.std(ddof=1) if images > 1 else np.nan
        percentiles[setting] = np.percentile(common, PERCENTILES)
        sums[setting] = np.bincount(groups, common, size)
    counts = np.bincount(groups, minlength=size)
    replicates = _replicates(sums, counts, resampling) if np.count_nonzero(counts) >= FEWEST_IDENTITIES else None
    return Statistics(valid, compared, support, mean, std, percentiles, replicates, _interval(replicates, compared))


def _replicates(sums: Floats, counts: npt.NDArray[np.int64], resampling: Resampling) -> Floats:
    drawn = resampling.counts @ counts
    return np.divide(resampling.counts @ sums.T, drawn[:, None], where=drawn[:, None] > 0, out=_nan(len(drawn), len(sums)))


def _nan(*shape: int) -> Floats:
    return np.full(shape, np.nan)


def _interval(replicates: Floats | None, compared: npt.NDArray[np.bool_]) -> Floats:
    interval = _nan(len(compared), 2)
    if replicates is not None:
        interval[compared] = np.nanpercentile(replicates[:, compared], _ENDS, axis=0).T
    return interval
