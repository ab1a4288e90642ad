"""What a researcher would write without vcmbench: one process, one image at a time, the same codecs and metrics."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence

import torch

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.interfaces import Batch, Codec, Dataset, Image, Metric
from vcmbench.pipeline.coding import Source

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt, from <malloc.h>."""


def loop_seconds(
    dataset: Dataset,
    sources: Sequence[Source],
    preparation: Preparation,
    codecs: Sequence[Codec],
    metrics: Sequence[Metric],
    *,
    keep_memory: bool,
) -> float:
    """Return how long the loop takes over these images, after one image that warms everything up.

    With tensors of a single image, glibc gives memory back to the system and takes it again in every operation, which is a
    third of the loop's time; `keep_memory` stops that, as somebody might who profiled the loop.
    """
    torch.set_num_threads(1)
    if keep_memory:
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, 2**30)
    _loop(dataset, sources[:1], preparation, codecs, metrics)
    start = time.perf_counter()
    _loop(dataset, sources, preparation, codecs, metrics)
    return time.perf_counter() - start


def _loop(
    dataset: Dataset,
    sources: Sequence[Source],
    preparation: Preparation,
    codecs: Sequence[Codec],
    metrics: Sequence[Metric],
) -> None:
    for source in sources:
        image = prepare(dataset.read(source.path), source.box, preparation).image
        original = _batch(image)
        for codec in codecs:
            decoded = _batch(codec.decode(codec.encode(image)))
            for metric in metrics:
                metric.score(original, decoded)


def _batch(image: Image) -> Batch:
    return Batch(torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).contiguous())
