"""A picture in other forms, as if it had been taken a little differently."""

from __future__ import annotations

import cv2
import numpy as np

from vcmbench.datasets.prepare import Box, Preparation, Prepared, prepare
from vcmbench.interfaces import Image

_ZOOM = 0.18
"""Largest logarithm of the crop's size by its usual one; the other limits are of the shift in shares of the face box's
side, the turn in degrees, and the logarithms of the exponents and factors that the samples get."""
_SHIFT = 0.07
_TURN = 10.0
_GAMMA = 0.35
_TINT = 0.1
_SATURATION = 0.3


def form(data: bytes, box: Box | None, preparation: Preparation, random: np.random.Generator) -> Image:
    """Prepare an image file like any other, but turned, moved, mirrored and coloured at random."""
    prepared = prepare(data, box and _moved(box, random), preparation)
    return _coloured(_turned(prepared, random), random)


def _moved(box: Box, random: np.random.Generator) -> Box:
    x, y, width, height = box
    zoom = np.exp(random.uniform(-_ZOOM, _ZOOM))
    across, down = random.uniform(-_SHIFT, _SHIFT, 2)
    left, top = x + width * (across + (1 - zoom) / 2), y + height * (down + (1 - zoom) / 2)
    return left, top, width * zoom, height * zoom


def _turned(prepared: Prepared, random: np.random.Generator) -> Image:
    image = prepared.image[:, ::-1] if random.random() < 0.5 else prepared.image
    height, width, _ = image.shape
    if random.random() < 0.5:  # a turn softens the picture a little, so half of them go without
        return np.ascontiguousarray(image)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), random.uniform(-_TURN, _TURN), 1)
    turned = cv2.warpAffine(
        np.ascontiguousarray(image), turn, (width, height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(turned, np.uint8)


def _coloured(image: Image, random: np.random.Generator) -> Image:
    samples = (image / np.float32(255)) ** np.float32(np.exp(random.uniform(-_GAMMA, _GAMMA)))
    samples *= np.exp(random.uniform(-_TINT, _TINT, 3)).astype(np.float32)
    grey = samples.mean(axis=2, keepdims=True)
    samples = grey + (samples - grey) * np.float32(np.exp(random.uniform(-_SATURATION, _SATURATION)))
    rounded: Image = np.rint(np.clip(samples, 0, 1) * 255).astype(np.uint8)
    return rounded
