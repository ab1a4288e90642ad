"""What the tests of the metrics share: a portrait in the public domain, ways to spoil it, and batches."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
import PIL.Image
import torch
from skimage.data import astronaut
from torch import Tensor

from vcmbench.interfaces import Batch, Extractor, Image

ASTRONAUT = cast(Image, astronaut())  # type: ignore[no-untyped-call]  # scikit-image has no type hints
PORTRAIT: Image = np.ascontiguousarray(ASTRONAUT[20:220, 70:383])
"""Her head and shoulders, 200 rows by 313 columns."""
FACE_BOX = (107.0, 40.0, 93.0, 120.0)
"""Her face in `PORTRAIT`: x, y, width, height."""


def jpeg(image: Image, quality: int) -> Image:
    """Return the image after JPEG coding."""
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.array(PIL.Image.open(stream))


def noisy(image: Image, sigma: float) -> Image:
    """Return the image with white noise added, the same at each call."""
    noise = np.random.default_rng(0).normal(scale=sigma, size=image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def flat(value: int, shape: tuple[int, int] = PORTRAIT.shape[:2]) -> Image:
    """Return an image of one grey level."""
    return np.full((*shape, 3), value, np.uint8)


def tensor(*images: Image) -> Tensor:
    """Return the images as B×3×H×W."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def batch(*images: Image) -> Batch:
    """Return the images as a batch without face boxes."""
    return Batch(tensor(*images))


class Recording(Batch):
    """A batch that records what it computes."""

    computed: tuple[Extractor[object], ...] = ()

    def get(self, extractor):  # type: ignore[no-untyped-def]  # noqa: D102  # as in `Batch`
        if extractor not in self._features:
            self.computed = (*self.computed, extractor)
        return super().get(extractor)
