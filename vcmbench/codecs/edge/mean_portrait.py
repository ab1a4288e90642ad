"""What portraits look like on average, made by `benchmarks/edge_mean_portrait.py`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt


def mean_portrait(height: int, width: int) -> npt.NDArray[np.float32]:
    """Return the mean portrait's colours: height×width×3 R, G, B from 0 to 255."""
    stretched = cv2.resize(_shipped(), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(stretched, 0, 255), np.float32)


@cache
def _shipped() -> npt.NDArray[np.float32]:
    with files(__package__).joinpath("mean_portrait.npz").open("rb") as file, np.load(file) as arrays:
        return np.asarray(arrays["colours"], np.float32)
