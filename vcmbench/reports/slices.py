"""A run's means over parts of its images: by the data set's labels, and by how large the face was in the source.

A part takes from the run's common support the images that belong to it, so that the parts of a label make up the whole.
Intervals are over the same draws of identities as those of the whole run.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.reports.grid import Matrix, open_grid
from vcmbench.reports.image_labels import Label, image_labels
from vcmbench.reports.intervals import FEWEST_IDENTITIES, LEVEL
from vcmbench.reports.statistics import Floats, Resampling
from vcmbench.reports.summary import numeric_columns
from vcmbench.results import Index, RunDirectory, complete_shards

Flags: TypeAlias = npt.NDArray[np.bool_]

FEW_IMAGES = 10
"""A mean over fewer is shown with a warning."""

_AT_ONCE = 2
"""Columns whose values are in memory side by side."""


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


def find_slices(run: RunDirectory, index: Index) -> Slices:
    """Take the means over every slice; result files that cannot be read raise `UsageError`."""
    labels, notes = image_labels(run, complete_shards(index))
    if not labels:
        return Slices((), tuple(notes))
    columns = ["bpp", *numeric_columns(index)]
    with open_grid(run, index) as grid, ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as threads:
        resampling = Resampling.of(grid.clusters)
        found = threads.map(lambda column: _column_means(grid.values(column), labels, resampling), columns)
        by_column = dict(zip(columns, found, strict=True))
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


def _column_means(values: Matrix, labels: Sequence[Label], resampling: Resampling) -> list[SliceMeans]:
    """The means of each value of each label."""
    finite = np.isfinite(values)
    compared = np.asarray(finite.any(axis=1))
    support = np.asarray(finite[compared].all(axis=0)) if compared.any() else np.zeros(values.shape[1], np.bool_)
    common = values[np.ix_(compared, support)]
    groups = resampling.group_of[support]
    return [
        SliceMeans(n, compared, _spread(mean, compared), _spread(interval, compared))
        for label in labels
        for n, mean, interval in _means(common, label.codes[support], len(label.values), groups, resampling.counts)
    ]


def _means(
    common: Matrix, codes: npt.NDArray[np.int64], parts: int, groups: npt.NDArray[np.int64], draws: Floats
) -> Iterator[tuple[int, Floats, Floats]]:
    """Per part, given each image's part and group: how many images, C means, and their intervals over the draws (C×2)."""
    size = draws.shape[1]
    cells = codes * size + groups
    counts = np.bincount(cells, minlength=parts * size).reshape(parts, size)
    sums = np.array([np.bincount(cells, row, parts * size) for row in common]).reshape(len(common), parts, size)
    for part in range(parts):
        n = int(counts[part].sum())
        mean = sums[:, part].sum(axis=1) / n if n else np.full(len(common), np.nan)
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
