"""SSIM: the structural similarity index of Wang, Bovik, Sheikh and Simoncelli (IEEE TIP 13(4), 2004)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from vcmbench.interfaces import Batch, Column, Extractor, Metric, Missing, Scores
from vcmbench.metrics.features import in_chunks, luma, pair, rgb, spatial_sum

SIDE = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def gaussian_window() -> list[float]:
    """Return the 11 weights of the separable window, which sum to 1."""
    weights = [math.exp(-((position - SIDE // 2) ** 2) / (2 * SIGMA**2)) for position in range(SIDE)]
    return [weight / math.fsum(weights) for weight in weights]


WINDOW = gaussian_window()


def local_mean(planes: Tensor) -> Tensor:
    """Return the windowed mean around each sample whose window fits: …×H×W to …×(H−10)×(W−10), in float64.

    float32 would not do: on bright flat areas E[x²] − E[x]² cancels, and SSIM is then wrong by up to 3e-4.
    """
    return _filter(_filter(planes.double(), -2), -1)


def _filter(planes: Tensor, dim: int) -> Tensor:
    length = planes.shape[dim] - SIDE + 1
    total = planes.narrow(dim, 0, length) * WINDOW[0]
    for offset, weight in enumerate(WINDOW[1:], start=1):
        total.add_(planes.narrow(dim, offset, length), alpha=weight)
    return total


@dataclass(frozen=True)
class LocalMean:
    """The windowed mean of some planes of a batch."""

    planes: Extractor[Tensor]

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×C×(H−10)×(W−10) float64."""
        return in_chunks(local_mean, batch.get(self.planes))


class Similarity(NamedTuple):
    """The mean SSIM of each plane, and the mean of its contrast-structure factor alone: B×C each, float64."""

    ssim: Tensor
    contrast_structure: Tensor


@dataclass(frozen=True)
class Similarities:
    """The similarities of a decoded batch found so far, by the reference compared with; `similarity` adds to them."""

    planes: Extractor[Tensor]

    def __call__(self, batch: Batch) -> dict[Batch, Similarity]:  # noqa: ARG002  # the contract of an extractor
        """Return none: nothing is compared yet."""
        return {}


def similarity(reference: Batch, decoded: Batch, planes: Extractor[Tensor]) -> Similarity:
    """Compare some planes, in [0, 255] and at least 11×11, of each decoded image with its original's; computed once."""
    found = decoded.get(Similarities(planes))
    if reference not in found:
        originals, images = pair(reference, decoded, planes)
        means = in_chunks(_similarity, originals, images, reference.get(LocalMean(planes)))
        found[reference] = Similarity(*means.unbind(-1))
    return found[reference]


def _similarity(x: Tensor, y: Tensor, mean_x: Tensor) -> Tensor:
    """Return the means of SSIM and of its contrast-structure factor, B×C×2; in place where it can, to stay in the cache."""
    x, y = x.double(), y.double()
    mean_y = local_mean(y)
    product_of_means = mean_x * mean_y
    squares_of_means = mean_x.square() + mean_y.square_()
    covariance = local_mean(x * y).sub_(product_of_means)
    variances = local_mean(x.square() + y.square()).sub_(squares_of_means)
    contrast_structure = covariance.mul_(2).add_(C2).div_(variances.add_(C2))
    luminance = product_of_means.mul_(2).add_(C1).div_(squares_of_means.add_(C1))
    ssim = luminance.mul_(contrast_structure)
    samples = mean_y.shape[-2] * mean_y.shape[-1]
    return torch.stack([spatial_sum(ssim), spatial_sum(contrast_structure)], dim=-1) / samples


def ssim(reference: Batch, decoded: Batch, planes: Extractor[Tensor]) -> list[float] | list[Missing]:
    """Return each image's SSIM, averaged over its planes."""
    height, width = decoded.images.shape[-2:]
    if min(height, width) < SIDE:
        return [Missing(f"SSIM needs at least {SIDE}×{SIDE} pixels, not {width}×{height}")] * len(decoded)
    return similarity(reference, decoded, planes).ssim.mean(1).tolist()


class SsimRgb(Metric):
    """Mean SSIM of the three colour channels."""

    name = "ssim_rgb"
    summary = "structural similarity, mean of the R, G and B channels"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"ssim_rgb": Column("SSIM", "higher", limits=(-1, 1))}
    extractors = (rgb, LocalMean(rgb), Similarities(rgb))

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original; images below 11×11 pixels have no value."""
        return {"ssim_rgb": ssim(reference, decoded, rgb)}


class SsimY(Metric):
    """SSIM of the full-range BT.601 luma, not rounded to 8 bits."""

    name = "ssim_y"
    summary = "structural similarity of the luma (full-range BT.601)"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"ssim_y": Column("SSIM-Y", "higher", limits=(-1, 1))}
    extractors = (luma, LocalMean(luma), Similarities(luma))

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original; images below 11×11 pixels have no value."""
        return {"ssim_y": ssim(reference, decoded, luma)}
