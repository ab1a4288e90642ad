"""A run's means over parts of its images: by the data set's labels, and by how large the face was in the source.

A part takes from the run's common support the images that belong to it, so that the parts of a label make up the whole.
Intervals are over the same draws of identities as those of the whole run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.reports.grid import Matrix
from vcmbench.reports.image_labels import Label
from vcmbench.reports.intervals import FEWEST_IDENTITIES, LEVEL
from vcmbench.reports.statistics import Floats, Resampling, Statistics
from vcmbench.run_index import Index

Flags: TypeAlias = npt.NDArray[np.bool_]

FEW_IMAGES = 10
"""A mean over fewer is shown with a warning."""


@dataclass(frozen=True)
class SliceMeans:
    """One column of S settings over the images of a slice; NaN where there is no value."""

    n: int
    """Images in the slice's share of the common support."""
    compared: Flags
    """S: whether the run has any value of the setting; the others take no part in the common support."""
    mean: Floats
    interval: Floats
    """S×2: the 95 % interval of the mean; NaN for fewer than 20 identities in the slice."""


@dataclass(frozen=True)
class Slice:
    """The images with one value of a label."""

    label: str
    value: str
    images: int
    """In complete shards, whether or not they have values."""
    means: Mapping[str, SliceMeans]
    """Of bpp and of every metric column that has a mean, over the slice's share of the common support."""

    @property
    def name(self) -> str:
        """The label and its value."""
        return f"{self.label}: {self.value}"


@dataclass(frozen=True)
class Slices:
    """The slices that are shown; `notes` say in sentences which are not, and what a reader must know."""

    found: tuple[Slice, ...]
    notes: tuple[str, ...]


def slices_of(labels: Sequence[Label], notes: Sequence[str], by_column: Mapping[str, Sequence[SliceMeans]]) -> Slices:
    """Put them together from what `slice_means` found for each column; `notes` are those of `image_labels`."""
    parts = [(label, place) for label in labels for place in range(len(label.values))]
    slices = tuple(
        Slice(
            label.name,
            label.values[place],
            int((label.codes == place).sum()),
            {column: means[number] for column, means in by_column.items()},
        )
        for number, (label, place) in enumerate(parts)
    )
    return Slices(slices, (*notes, *_warnings(slices)))


def slice_means(values: Matrix, found: Statistics, labels: Sequence[Label], resampling: Resampling) -> list[SliceMeans]:
    """Return a column's means over each value of each label, in its common support, which its statistics know."""
    groups = resampling.group_of[found.support]
    return [
        SliceMeans(n, found.compared, _spread(mean, found.compared), _spread(interval, found.compared))
        for label in labels
        for n, mean, interval in _means(values, found, label, groups, resampling.counts)
    ]


def _means(
    values: Matrix, found: Statistics, label: Label, groups: npt.NDArray[np.int64], draws: Floats
) -> Iterator[tuple[int, Floats, Floats]]:
    """Per value of the label: how many images, the means of C compared settings, and their intervals over draws (C×2)."""
    parts, size = len(label.values), draws.shape[1]
    cells = label.codes[found.support] * size + groups
    counts = np.bincount(cells, minlength=parts * size).reshape(parts, size)
    compared = np.flatnonzero(found.compared)
    sums = np.zeros((len(compared), parts, size))
    for row, setting in enumerate(compared):  # one at a time, since all of them are half of the memory
        sums[row] = np.bincount(cells, values[setting][found.support], parts * size).reshape(parts, size)
    for part in range(parts):
        n = int(counts[part].sum())
        mean = sums[:, part].sum(axis=1) / n if n else np.full(len(compared), np.nan)
        yield n, mean, _intervals(sums[:, part], counts[part], draws)


def _intervals(sums: Floats, counts: npt.NDArray[np.int64], draws: Floats) -> Floats:
    """The 95 % interval of each mean (C×2), over draws (D×G) of the G groups' sums (C×G); NaN for too few groups."""
    if np.count_nonzero(counts) < FEWEST_IDENTITIES:
        return np.full((len(sums), 2), np.nan)
    drawn = draws @ counts
    replicates = (draws @ sums.T)[drawn > 0] / drawn[drawn > 0, None]
    ends = 50 * (1 - LEVEL), 50 * (1 + LEVEL)
    return np.asarray(np.percentile(replicates, ends, axis=0).T)


def _spread(found: Floats, compared: Flags) -> Floats:
    """The rows of compared settings among those of all; the others are NaN."""
    everything = np.full((len(compared), *found.shape[1:]), np.nan)
    everything[compared] = found
    return everything


def _warnings(slices: Sequence[Slice]) -> Iterator[str]:
    for each in slices:
        n = each.means["bpp"].n
        if n < FEW_IMAGES:
            yield f"{each.name}: n = {n}, fewer than {FEW_IMAGES} images, which say little."


# ----------------------------------------------------------------------------------------------------------------- CSV


def slices_csv(index: Index, slices: Slices) -> str:
    """Every mean of every slice in full precision, with its interval and number of images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("label", "value", "images", "setting", "column", "n", "mean", "low", "high"))
    for each in slices.found:
        for column, found in each.means.items():
            for place, setting in enumerate(index.settings):
                numbers = (found.mean[place], *found.interval[place])
                spelled = ["" if np.isnan(number) else float(number) for number in numbers]
                writer.writerow(
                    (each.label, each.value, each.images, setting.variant, column, _count(found, place), *spelled)
                )
    return text.getvalue()


def _count(found: SliceMeans, place: int) -> int:
    return found.n if found.compared[place] else 0
