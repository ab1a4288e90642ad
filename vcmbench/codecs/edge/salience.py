"""How much an edge matters where it is: what makes a face recognisable is worth more than hair and background."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.face_layout import FaceLayout, Marks

Salience = npt.NDArray[np.float32]
"""H×W, from `BACKGROUND` to 6."""

BACKGROUND = 0.5
"""Outside the face; inside it is at least 1."""

_MOUTH = 2.3
"""How far below the eyes the mouth is, in halves of the eyes' distance."""
_NARROWEST = 0.55
"""The eyes' half distance, at least, by a unit of height: a profile's eye is no narrower."""
_PLACES = (
    (5.0, (-1.0, 0.0), (0.5, 0.3)),
    (5.0, (1.0, 0.0), (0.5, 0.3)),
    (2.5, (-1.0, -0.6), (0.6, 0.25)),
    (2.5, (1.0, -0.6), (0.6, 0.25)),
    (2.5, (0.0, 1.3), (0.5, 0.35)),
    (5.0, (0.0, _MOUTH), (0.8, 0.4)),
)
"""Eyes, brows, nose and mouth: what they add, where, and how wide they are (standard deviations)."""
_HEAD_CENTRE, _HEAD_AXES = (0.0, 1.0), (2.1, 2.9)
_OUTLINE, _OUTLINE_WIDTH = 2.5, 0.15
"""What the face's outline below the eyes adds, and its standard deviation by the head's axes."""
_HEAD_END = 1.15
_MIDDLE, _MIDDLE_WIDTH = 2.0, 0.3
"""What the image's middle adds where the marks are not trusted, and its standard deviation by the image's sides."""
_GRID = 64
"""The salience is smooth, and found at so many places along the image's shorter side."""


def salience(layout: FaceLayout, height: int, width: int) -> Salience:
    """Return how much an edge matters in every pixel of a height×width image whose face has this layout."""
    scale = max(1.0, min(height, width) / _GRID)
    rows, columns = (max(1, round(side / scale)) for side in (height, width))
    y = (np.arange(rows) + 0.5) * height / rows
    x = (np.arange(columns) + 0.5) * width / columns
    found = _of_face(layout.marks, x, y)
    if layout.trust < 1:
        found = layout.trust * found + (1 - layout.trust) * _of_middle(x / width, y / height)
    return np.asarray(cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _of_face(marks: Marks, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    across, down = _face_coordinates(marks, x, y)
    added = np.zeros(across.shape)
    for weight, (centre_x, centre_y), (wide, high) in _PLACES:
        distance = ((across - centre_x) / wide) ** 2 + ((down - centre_y) / high) ** 2
        np.maximum(added, weight * np.exp(-distance / 2), out=added)
    radius = np.hypot((across - _HEAD_CENTRE[0]) / _HEAD_AXES[0], (down - _HEAD_CENTRE[1]) / _HEAD_AXES[1])
    outline = _OUTLINE * np.exp(-(((radius - 1) / _OUTLINE_WIDTH) ** 2) / 2) * (down > 0)
    return np.where(radius < _HEAD_END, 1.0, BACKGROUND) + np.maximum(added, outline)


def _of_middle(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Wherever the features are, most of them are not at the image's margin; x and y are in [0, 1]."""
    across, down = (np.exp(-(((place - 0.5) / _MIDDLE_WIDTH) ** 2) / 2) for place in (x, y))
    return np.asarray(BACKGROUND + _MIDDLE * down[:, None] * across)


def _face_coordinates(
    marks: Marks, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return coordinates in which the eyes are at (−1, 0) and (1, 0) and the mouth is at (0, `_MOUTH`)."""
    eyes, mouth = marks[:2].mean(axis=0), marks[3:].mean(axis=0)
    right, down = (marks[1] - marks[0]) / 2, (mouth - eyes) / _MOUTH
    right *= max(1.0, _NARROWEST * np.hypot(*down) / max(np.hypot(*right), 1e-6))
    determinant = right[0] * down[1] - right[1] * down[0]
    determinant = np.copysign(max(abs(determinant), 1e-6), determinant)
    offset_x, offset_y = x[None] - eyes[0], y[:, None] - eyes[1]
    return (offset_x * down[1] - offset_y * down[0]) / determinant, (offset_y * right[0] - offset_x * right[1]) / determinant
