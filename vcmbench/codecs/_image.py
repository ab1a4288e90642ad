"""What every codec requires of the images it codes."""

from __future__ import annotations

import numpy as np

from vcmbench.interfaces import Image, ImageError

MAXIMUM_PIXELS = 100_000_000
"""Width × height of the largest image that is coded or decoded; a malformed header can declare any size."""


def check_image(image: Image) -> None:
    """Accept H×W×3 uint8 arrays of 1 to `MAXIMUM_PIXELS` pixels.

    Raises `ValueError` for any other array and `ImageError`, also a `ValueError`, for too many pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"a codec takes H×W×3 uint8 arrays, not {image.dtype} of shape {image.shape}")
    height, width, _ = image.shape
    if height * width > MAXIMUM_PIXELS:
        raise ImageError(f"the image is {width}×{height}; scale it down to {MAXIMUM_PIXELS // 1_000_000} megapixels")
