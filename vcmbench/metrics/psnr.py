"""PSNR: the peak signal-to-noise ratio of 8-bit images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from vcmbench.interfaces import Batch, Column, Metric, Scores
from vcmbench.metrics.features import in_chunks, luma, pair, rgb, spatial_sum

CAP = 100.0
"""The PSNR of identical images in dB; larger values are lowered to it, so that means stay finite."""


def psnr(reference: Tensor, decoded: Tensor) -> list[float]:
    """Return 10 log₁₀(255² / MSE) in dB for each image of two B×C×H×W tensors in [0, 255], the MSE over all its samples."""
    return [_decibels(error) for error in in_chunks(_mean_squared_error, reference, decoded).tolist()]


def _mean_squared_error(reference: Tensor, decoded: Tensor) -> Tensor:
    squared = (reference - decoded).double().square_()  # float64 adds the squares of 8-bit differences exactly
    return spatial_sum(squared).sum(-1) / reference.shape[1:].numel()


def _decibels(mean_squared_error: float) -> float:
    if mean_squared_error == 0:
        return CAP
    return min(CAP, 10 * math.log10(255**2 / mean_squared_error))


class PsnrRgb(Metric):
    """PSNR over all samples of the three colour channels."""

    name = "psnr_rgb"
    summary = "peak signal-to-noise ratio over the R, G and B samples"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"psnr_rgb": Column("PSNR", "higher", unit="dB", limits=(0, CAP))}
    extractors = (rgb,)

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original."""
        return {"psnr_rgb": psnr(*pair(reference, decoded, rgb))}


class PsnrY(Metric):
    """PSNR of the full-range BT.601 luma, not rounded to 8 bits."""

    name = "psnr_y"
    summary = "peak signal-to-noise ratio of the luma (full-range BT.601)"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"psnr_y": Column("PSNR-Y", "higher", unit="dB", limits=(0, CAP))}
    extractors = (luma,)

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original."""
        return {"psnr_y": psnr(*pair(reference, decoded, luma))}
