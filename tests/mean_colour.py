"""A set metric small enough to check by hand: the distance of the sets' mean colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vcmbench.interfaces import Batch, Column, SetMetric, SetValue, StoredFeature


def mean_colour(batch: Batch) -> Tensor:
    """B×3, each channel's mean; NaN for an image whose upper left pixel is red."""
    means = batch.images.float().mean((2, 3))
    red = (batch.original.images[:, 0, 0, 0] == 255) & (batch.original.images[:, 1, 0, 0] == 0)
    means[red] = float("nan")
    return means


class MeanColour(SetMetric):
    """How far the decoded images are, together, from the originals' mean colour."""

    name = "mean_colour"
    summary = "distance of mean colours"
    version = "1"
    kind = "human"
    set_columns: ClassVar[Mapping[str, Column]] = {"colour_distance": Column("Colour distance", "lower", limits=(0, None))}
    value = "mean_colour:distance"
    feature = StoredFeature("colour", 3, mean_colour)


class MeanColourTwice(MeanColour):
    """The same in two columns, as a metric has it that counts at two thresholds."""

    name = "mean_colour_twice"
    set_columns: ClassVar[Mapping[str, Column]] = {
        "colour_distance": Column("Colour distance", "lower", limits=(0, None)),
        "colour_distance_again": Column("The same again", "lower", limits=(0, None)),
    }
    value = "mean_colour:distance_twice"


def distance(
    reference: npt.NDArray[np.float32],
    decoded_sets: Iterable[npt.NDArray[np.float32]],
    identities: Sequence[str | None],
) -> Iterator[Mapping[str, SetValue]]:
    """The Euclidean distance of the mean colours of each set, noted with the number of identities."""
    for decoded in decoded_sets:
        gap = float(np.linalg.norm(reference.mean(0) - decoded.mean(0)))
        yield {"colour_distance": SetValue(gap, n=len(decoded), note=f"{len(set(identities))} identities")}


def distance_twice(
    reference: npt.NDArray[np.float32],
    decoded_sets: Iterable[npt.NDArray[np.float32]],
    identities: Sequence[str | None],
) -> Iterator[Mapping[str, SetValue]]:
    """The same in both columns."""
    for found in distance(reference, decoded_sets, identities):
        yield {**found, "colour_distance_again": found["colour_distance"]}
