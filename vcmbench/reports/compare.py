"""Runs compared image by image: is the new variant better?

Both runs' values are paired by image. A pair counts where both runs scored the same prepared pixels, so that a difference is
the codec's doing and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcmbench.interfaces import UsageError
from vcmbench.reports.grid import Grid, Matrix, open_grid
from vcmbench.reports.statistics import Resampling, statistics
from vcmbench.reports.summary import numeric_columns
from vcmbench.results import RunDirectory
from vcmbench.run_index import ColumnRecord, Index

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """One column of one setting: the other run less the first, over the images that have a value in both."""

    column: str
    record: ColumnRecord
    first: float
    other: float
    low: float | None
    """Of the 95 % interval of the mean difference, over identities; None for fewer than 20."""
    high: float | None
    better: int | None
    """Images on which the other run is better, and worse; None for a column without a better direction."""
    worse: int | None
    images: int

    @property
    def difference(self) -> float:
        """The other run's mean less the first one's."""
        return self.other - self.first

    @property
    def verdict(self) -> str:
        """Say "better" or "worse" where the interval leaves out 0, else nothing."""
        if self.low is None or self.high is None or self.record.better is None or self.low <= 0 <= self.high:
            return ""
        return "better" if (self.difference > 0) == (self.record.better == "higher") else "worse"


@dataclass(frozen=True)
class Comparison:
    """Two runs."""

    images: int
    """Images of both runs with the same pixels."""
    other_pixels: int
    """Images of both with different pixels, which are left out."""
    settings: Mapping[tuple[str, str], Sequence[Difference]]
    """The first run's variant and the other's → what differs: bpp first, then every metric column of both."""


def compare_runs(
    first: tuple[RunDirectory, Index], other: tuple[RunDirectory, Index], pairs: Sequence[tuple[str, str]] = ()
) -> Comparison:
    """Compare settings of the same variant, or the pairs of variants that are named.

    Raises `UsageError` for metrics that the runs measure differently, variants that a run lacks, and runs without a common
    image.
    """
    columns = _common_columns(first[1], other[1])
    chosen = _pairs(first[1], other[1], pairs)
    with open_grid(*first) as one, open_grid(*other) as two:
        left, right = _common_images(one, two)
        same = _sources(one)[left] == _sources(two)[right]
        if not same.any():
            what = f"{len(left)} images, all with other pixels" if len(left) else "no image"
            raise UsageError(f"{one.run.url} and {two.run.url} have {what} in common; prepare images of one data set alike")
        left, right, pixels = left[same], right[same], int((~same).sum())
        resampling = Resampling.of(np.unique(one.clusters[left], return_inverse=True)[1])
        found: dict[tuple[str, str], list[Difference]] = {pair: [] for pair in chosen}
        for name, record in {"bpp": _RATE, **columns}.items():
            before, after = one.values(name), two.values(name)
            for pair in chosen:
                places = (_place(first[1], pair[0]), _place(other[1], pair[1]))
                values = np.stack([before[places[0]][left], after[places[1]][right]])
                found[pair] += _difference(name, record, values, resampling)
    return Comparison(len(left), pixels, found)


_RATE = ColumnRecord(title="bpp", better="lower", dtype="float", unit="")


def _common_columns(first: Index, other: Index) -> dict[str, ColumnRecord]:
    keys = {metric.name: metric.key for metric in other.metrics}
    differing = [metric.name for metric in first.metrics if keys.get(metric.name, metric.key) != metric.key]
    if differing:
        raise UsageError(
            f"the runs measure {', '.join(differing)} differently (version, parameters, weights, precision or libraries; "
            "see both provenance.json); run one of the jobs again with the other's"
        )
    return {name: column for name, column in numeric_columns(first).items() if name in other.columns}


def _pairs(first: Index, other: Index, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    ours, theirs = ([setting.variant for setting in index.settings] for index in (first, other))
    for named, known in zip(zip(*pairs, strict=True), (ours, theirs), strict=True) if pairs else ():
        for variant in named:
            if variant not in known:
                raise UsageError(f"{variant!r} is no setting of that run; its settings are: {', '.join(known)}")
    found = list(pairs) or [(variant, variant) for variant in ours if variant in theirs]
    if not found:
        raise UsageError(f"the runs have no setting in common; name pairs of {', '.join(ours)} and {', '.join(theirs)}")
    return found


def _place(index: Index, variant: str) -> int:
    return [setting.variant for setting in index.settings].index(variant)


def _common_images(one: Grid, other: Grid) -> tuple[Places, Places]:
    """Return the places of the images of both runs, in either of them."""
    place = {name: position for position, name in enumerate(other.images.to_pylist())}
    pairs = [(left, place[name]) for left, name in enumerate(one.images.to_pylist()) if name in place]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    return left, right


def _sources(grid: Grid) -> npt.NDArray[np.str_]:
    return np.array([source or "" for source in grid.sources()], np.str_)


def _difference(name: str, record: ColumnRecord, values: Matrix, resampling: Resampling) -> Iterator[Difference]:
    change = values[1] - values[0]
    found = statistics(change[None], resampling)
    if not found.n:
        return
    first, other = values[:, found.support].mean(axis=1)
    low, high = (None if np.isnan(end) else float(end) for end in found.interval[0])
    gain = change[found.support] * {"higher": 1, "lower": -1, None: 0}[record.better]
    better, worse = (int((gain > 0).sum()), int((gain < 0).sum())) if record.better else (None, None)
    yield Difference(name, record, float(first), float(other), low, high, better, worse, found.n)
