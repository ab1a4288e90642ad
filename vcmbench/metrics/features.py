"""What several metrics ask of a batch: its samples as numbers, its luma, and both at half the size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vcmbench.interfaces import Batch, Extractor, UsageError

CACHED_SAMPLES = 2**18
"""About the samples of one 256×256 image: with its intermediate results in float64 it stays in a processor's cache."""


def rgb(batch: Batch) -> Tensor:
    """Return the samples as B×3×H×W float32 in [0, 255]."""
    return batch.images.float()


def luma(batch: Batch) -> Tensor:
    """Return the unrounded full-range luma of ITU-R BT.601, Y = 0.299 R + 0.587 G + 0.114 B: B×1×H×W float64 in [0, 255]."""
    return in_chunks(_luma, batch.images)


def _luma(images: Tensor) -> Tensor:
    red, green, blue = images.float().chunk(3, dim=1)
    thousandths: Tensor = 299 * red + 587 * green + 114 * blue  # whole numbers below 2²⁴: exact in float32, in any order
    return thousandths.double() / 1000


@dataclass(frozen=True)
class Halved:
    """Some planes of a batch at half the size: the mean of each 2×2 samples, an odd side led by zeros."""

    planes: Extractor[Tensor]

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×C×⌈H/2⌉×⌈W/2⌉."""
        planes = batch.get(self.planes)
        height, width = planes.shape[-2:]
        even = functional.pad(planes, (width % 2, 0, height % 2, 0)) if height % 2 or width % 2 else planes
        rows = even[..., 0::2, :] + even[..., 1::2, :]  # sums of slices: a quarter of avg_pool2d's time
        return (rows[..., 0::2] + rows[..., 1::2]) / 4


def pair(reference: Batch, decoded: Batch, planes: Extractor[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the same planes of both batches; raises `UsageError` when their shapes differ."""
    require_same_shape(reference, decoded)
    return reference.get(planes), decoded.get(planes)


def require_same_shape(reference: Batch, decoded: Batch) -> None:
    """Raise `UsageError` when the images of the two batches differ in number or size."""
    if reference.images.shape != decoded.images.shape:
        shapes = [" × ".join(map(str, batch.images.shape)) for batch in (reference, decoded)]
        raise UsageError(f"the originals are {shapes[0]} and the decoded images {shapes[1]}; give both the same shape")


def in_chunks(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """Apply a function of B×… tensors to a few images at a time, as many as fit a processor's cache; on a GPU to all."""
    images = batches[0]
    on_cpu = images.device.type == "cpu"
    size = max(1, CACHED_SAMPLES // images.shape[1:].numel()) if on_cpu else len(images)
    chunks = zip(*(torch.split(batch, size) for batch in batches), strict=True)
    return torch.cat([function(*chunk) for chunk in chunks])


def spatial_sum(planes: Tensor) -> Tensor:
    """Sum …×H×W over each plane, rows first: so no thread count or batch size changes the order of the additions."""
    return planes.sum(-1).sum(-1)
