"""MS-SSIM: the multi-scale structural similarity of Wang, Simoncelli and Bovik (Asilomar 2003)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vcmbench.interfaces import Batch, Column, Extractor, Metric, Missing, Scores
from vcmbench.metrics.features import Halved, rgb
from vcmbench.metrics.ssim import SIDE, LocalMean, Similarities, similarity

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of the five scales, full size first, as published."""


def _scales() -> tuple[Extractor[Tensor], ...]:
    scales: list[Extractor[Tensor]] = [rgb]
    while len(scales) < len(WEIGHTS):
        scales.append(Halved(scales[-1]))
    return tuple(scales)


SCALES = _scales()
SMALLEST = (SIDE - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""The smallest side in pixels of which the fifth scale holds a window, as pytorch-msssim has it."""


def ms_ssim(reference: Batch, decoded: Batch) -> list[float]:
    """Return each image's MS-SSIM: for each channel the weighted product over the scales, then the mean of the channels.

    The contrast-structure factor counts at every scale but the smallest, where the whole SSIM does; negatives count as 0.
    """
    *larger, smallest = (similarity(reference, decoded, scale) for scale in SCALES)
    factors = torch.stack([*(scale.contrast_structure for scale in larger), smallest.ssim], dim=-1)
    return [statistics.fmean(map(_weighted_product, channels)) for channels in factors.clamp(min=0).tolist()]


def _weighted_product(factors: Sequence[float]) -> float:
    return math.prod(map(math.pow, factors, WEIGHTS))


class MsSsim(Metric):
    """Multi-scale SSIM over five scales, mean of the three colour channels."""

    name = "ms_ssim"
    summary = "multi-scale structural similarity over five scales, mean of the R, G and B channels"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"ms_ssim": Column("MS-SSIM", "higher", limits=(0, 1))}
    extractors = tuple(extractor for scale in SCALES for extractor in (scale, LocalMean(scale), Similarities(scale)))

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original; images below 161×161 pixels have no value."""
        height, width = decoded.images.shape[-2:]
        if min(height, width) < SMALLEST:
            reason = Missing(f"MS-SSIM needs at least {SMALLEST}×{SMALLEST} pixels, not {width}×{height}")
            return {"ms_ssim": [reason] * len(decoded)}
        return {"ms_ssim": ms_ssim(reference, decoded)}
