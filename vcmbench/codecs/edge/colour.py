"""Colours of points: full-range BT.601 YCbCr in coarse steps, rebuilt in whole numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STEPS = (6, 8, 8)
"""What one level of Y, Cb and Cr is worth, of 255."""
LIMITS = ((-6, 48), (-16, 16), (-16, 16))
"""Lowest and highest level of each: Y reaches over black and white, as a fitted colour may."""

_TO_YCBCR = np.array([(0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)])
_FRACTION = 16
_TO_RGB = np.array([(65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0)])
"""The inverse, in 1/65,536."""


def quantise(colours: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    """Return the levels (N×3 Y, Cb, Cr) nearest to N×3 R, G, B of 0 to 255."""
    levels: npt.NDArray[np.float64] = np.rint(colours @ _TO_YCBCR.T / STEPS)
    lowest, highest = np.transpose(LIMITS)
    return np.clip(levels, lowest, highest).astype(np.int32)


def reconstruct(levels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the colours of N×3 levels: N×3 R, G, B, whole numbers that may lie outside 0 to 255; alike on every machine."""
    values: npt.NDArray[np.int64] = levels.astype(np.int64) * STEPS @ _TO_RGB.T
    return (values + (1 << _FRACTION - 1) >> _FRACTION).astype(np.int32)
