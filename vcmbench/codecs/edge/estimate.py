"""About what strokes cost, for choosing between them without coding them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

START_BITS = 12.0
"""A stroke, beside its segments."""


def segment_bits(lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the bits of segments from their lengths in pixels."""
    return np.asarray(7.5 + np.log2(lengths))
