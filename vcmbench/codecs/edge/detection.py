"""The edges of a portrait, one pixel wide, and how much each pixel of them is worth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.face_layout import find_layout
from vcmbench.codecs.edge.geometry import Raster
from vcmbench.codecs.edge.salience import Salience, salience
from vcmbench.interfaces import Image

Plane = npt.NDArray[np.float32]
"""H×W."""

SIDE = 256
"""What lengths in pixels below are for; they grow with the root of the image's side."""

_BLUR, _FINE_BLUR = 1.7, 1.2
"""Standard deviations: of the whole image, and where the salience is high, for eyelids and lips are close together."""
_FINE_GAIN = 0.75
"""A gradient is steeper after the finer blur."""
_FINE_FROM, _FINE_ALL = 1.5, 2.5
"""The salience where the finer blur begins to be seen, and where it alone is."""
_CHANNELS = np.array((2.55, 2.55, 1.275), np.float32)
"""What one unit of L*, a* and b* is worth: lips are redder rather than darker than skin."""
_TO_THRESHOLD = 0.8
"""Power of the salience by which a gradient grows before it is compared with the thresholds."""
_HIGH, _LOW_TO_HIGH = 4.0, 0.4
"""Canny's thresholds on the gradient, times salience; the lower one by the higher one."""
_QUANTILE, _LOWEST = 0.9, 1.0
"""Where fewer gradients than 1 − `_QUANTILE` reach the threshold it is lowered, but not below `_LOWEST`."""
_FIXED_POINT = 64
"""OpenCV's Canny takes gradients as 16-bit whole numbers, here 1/64."""


def detect(image: Image) -> tuple[Raster, Plane]:
    """Return the thinned edges of H×W×3 uint8 pixels, and what each pixel is worth on an edge.

    Edges are Canny's (1986), of the gradient of all three colours (Di Zenzo, 1986), thinned as Guo and Hall do (1989).
    """
    height, width, _ = image.shape
    where = salience(find_layout(image), height, width)
    gradient = _gradient(image, where, scale_of(height, width))
    weighted = gradient.weighted(where**_TO_THRESHOLD)
    high = max(_LOWEST, min(_HIGH, float(np.quantile(weighted.strength[::2, ::2], _QUANTILE))))
    found = cv2.Canny(*weighted.fixed_point, high * _LOW_TO_HIGH * _FIXED_POINT, high * _FIXED_POINT, L2gradient=True)
    thin = cv2.ximgproc.thinning(found, thinningType=cv2.ximgproc.THINNING_GUOHALL)
    return thin > 0, gradient.strength * where


def scale_of(height: int, width: int) -> float:
    """Return how many times larger than in an image of `SIDE` lengths are."""
    return float((height * width) ** 0.25 / SIDE**0.5)


@dataclass(frozen=True)
class _Gradient:
    """Levels per pixel to the right and down (of either sign together), and the length of both."""

    across: Plane
    down: Plane
    strength: Plane

    def weighted(self, weight: Plane) -> _Gradient:
        return _Gradient(self.across * weight, self.down * weight, self.strength * weight)

    @property
    def fixed_point(self) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
        largest = 1 << 14
        across, down = (
            np.clip(plane * _FIXED_POINT, -largest, largest).astype(np.int16) for plane in (self.across, self.down)
        )
        return across, down


def _gradient(image: Image, where: Salience, scale: float) -> _Gradient:
    """The direction in which the colours change most, and how much."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * _CHANNELS
    share = np.clip((where - _FINE_FROM) / (_FINE_ALL - _FINE_FROM), 0, 1)
    coarse, fine = _tensor(lab, _BLUR * scale), _tensor(lab, _FINE_BLUR * scale)
    xx, yy, xy = (low + (_FINE_GAIN**2 * high - low) * share for low, high in zip(coarse, fine, strict=True))
    difference = xx - yy
    # not OpenCV's magnitude, whose last bit depends on where its arrays begin
    span = np.sqrt(difference * difference + 4 * xy * xy)
    strength = np.sqrt((xx + yy + span) / 2)
    cosine = np.clip(np.divide(difference, span, out=np.ones_like(span), where=span > 0), -1, 1)
    across = strength * np.sqrt((1 + cosine) / 2)
    down = np.copysign(strength * np.sqrt((1 - cosine) / 2), xy)
    return _Gradient(across, down, strength)


def _tensor(colours: Plane, blur: float) -> tuple[Plane, Plane, Plane]:
    """Sums over the colours of the products of the gradient's components: xx, yy and xy."""
    smooth = cv2.GaussianBlur(colours, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, dx, dy, scale=1 / 8, borderType=cv2.BORDER_REPLICATE) for dx, dy in ((1, 0), (0, 1))
    )
    ones = np.ones((1, 3), np.float32)
    pairs = ((across, across), (down, down), (across, down))
    xx, yy, xy = (np.asarray(cv2.transform(one * other, ones), np.float32) for one, other in pairs)
    return xx, yy, xy
