"""The values of set metrics from a table of stored features, each straight from its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

Floats: TypeAlias = npt.NDArray[np.float64]

ENOUGH, ENOUGH_FOR_AN_ERROR, FEWEST_ACCEPTED = 2048, 1000, 10


@dataclass(frozen=True)
class SetColumn:
    """Variant → value, NaN for none; over how many images; and what a reader must know."""

    value_of: pd.Series[float]
    n: int
    note: str


def over_common_images(
    features: pd.DataFrame, name: str, value: Callable[[Floats, Floats], float]
) -> tuple[pd.Series[float], list[str]]:
    """Each variant's value, from the features of originals and decoded images (N×D), and the names of the images.

    `features` has the columns image, setting ("" for originals) and the feature. Images are those of which the original and
    every variant have it; a variant of which none has it is left out.
    """
    having = features.dropna(subset=name)
    wide = having.pivot_table(index="image", columns="setting", values=name, aggfunc="first").dropna(axis="index")
    matrices = {str(variant): np.stack(wide[variant].to_list()).astype(float) for variant in wide}
    values = {variant: value(matrices[""], each) for variant, each in matrices.items() if variant}
    return pd.Series(values, dtype=float), list(wide.index)


def fid(features: pd.DataFrame) -> SetColumn:
    """Heusel et al., with SciPy's root of a matrix, as pytorch-fid has it."""
    values, images = over_common_images(features, "inception", frechet_distance)
    return SetColumn(values, len(images), few_images(len(images)))


def frechet_distance(original: Floats, decoded: Floats) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)."""
    offset = original.mean(axis=0) - decoded.mean(axis=0)
    one, other = np.cov(original, rowvar=False), np.cov(decoded, rowvar=False)
    return float(offset @ offset + np.trace(one + other - 2 * sqrtm(one @ other).real))


def kid(features: pd.DataFrame) -> SetColumn:
    """Bińkowski et al., of so few images that one estimate is of all."""
    values, images = over_common_images(features, "inception", squared_mmd)
    assert len(images) <= ENOUGH_FOR_AN_ERROR
    note = f"one estimate from all of them, since an error needs more than {ENOUGH_FOR_AN_ERROR:,}"
    return SetColumn(values, len(images), f"{few_images(len(images))}; {note}")


def squared_mmd(original: Floats, decoded: Floats) -> float:
    """The unbiased estimate, with the kernel (x·y / D + 1)³."""
    within_one, within_other, between = (
        (one @ other.T / one.shape[1] + 1) ** 3
        for one, other in ((original, original), (decoded, decoded), (original, decoded))
    )
    different = ~np.eye(len(original), dtype=bool)
    return float(within_one[different].mean() + within_other[different].mean() - 2 * between.mean())


def few_images(n: int) -> str:
    """What is said of FID and KID over few images."""
    return f"over {n:,} images, fewer than {ENOUGH:,}; compare it only with values over the same images"


def verification(features: pd.DataFrame, people: pd.Series[str], one_in: int) -> SetColumn:
    """The share of genuine pairs above the threshold that one impostor pair in so many is above."""
    values, images = over_common_images(features, "face", lambda *_: np.nan)
    same = people.loc[images].to_numpy() == people.loc[images].to_numpy()[:, None]
    genuine, impostor = same & ~np.eye(len(images), dtype=bool), ~same
    if impostor.sum() < FEWEST_ACCEPTED * one_in:
        least = f"{FEWEST_ACCEPTED * one_in:,} impostor pairs, not {impostor.sum():,}"
        return SetColumn(values, len(images), f"accepting 1 in {one_in:,} impostors needs {least}")

    def true_accept_rate(original: Floats, decoded: Floats) -> float:
        cosines = 1 - cdist(original, decoded, "cosine")
        threshold = np.quantile(cosines[impostor], 1 - 1 / one_in, method="inverted_cdf")
        return float((cosines[genuine] > threshold).mean())

    values, images = over_common_images(features, "face", true_accept_rate)
    return SetColumn(values, len(images), f"{genuine.sum():,} genuine and {impostor.sum():,} impostor pairs")
