"""Where the eyes, nose and mouth of a portrait probably are: enough to look there for faint edges first.

A cascade of linear regressions on histograms of gradients, after Xiong and De la Torre, "Supervised descent method and its
applications to face alignment" (CVPR 2013); each step sees the face in the frame that the step before has found. Its weights
come from `benchmarks/edge_face_layout.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.interfaces import Image

Marks = npt.NDArray[np.float64]
"""5×2: x and y of the eye at the left, the eye at the right, the nose and the mouth's left and right corner, in pixels."""

FRAME = 80
"""Side in pixels of the square in which a face is looked at."""
_CELL, _ORIENTATIONS = 8, 8
FEATURES = (FRAME // _CELL) ** 2 * _ORIENTATIONS
_THUMBNAIL = 160
_SMALLEST_SPREAD = 0.25
"""Marks nearer together than this, relative to the mean face, are no face's."""
_ALIKE, _UNLIKE = 0.1, 0.22
"""Differences of an image's marks from those of its mirror image, by their spread: below is all trust, above none."""


@dataclass(frozen=True)
class Model:
    """What is learned."""

    mean: Marks
    """The mean face in its frame."""
    steps: npt.NDArray[np.float32]
    """Steps × (`FEATURES` + 1) × 10: weights of the features and of a constant 1 → how the marks move in their frame."""


@dataclass(frozen=True)
class FaceLayout:
    """Marks, and how much they can be trusted, from 0 to 1."""

    marks: Marks
    trust: float = 1.0


def find_layout(image: Image) -> FaceLayout:
    """Return the layout of H×W×3 uint8 pixels, whose face fills the square in the middle; without a face, any place in it.

    A profile, or a face of which half is hidden, is often misread, but seldom is its mirror image in the same way.
    """
    grey, to_image = thumbnail(image)
    marks = _find_marks(grey)
    mirrored = _mirrored(_find_marks(np.ascontiguousarray(grey[:, ::-1])))
    difference = np.linalg.norm(marks - mirrored, axis=1).mean() / np.linalg.norm(marks - marks.mean(axis=0), axis=1).mean()
    trust = float(np.clip((_UNLIKE - difference) / (_UNLIKE - _ALIKE), 0, 1))
    return FaceLayout(marks * to_image.scale + to_image.corner, trust)


def _find_marks(grey: npt.NDArray[np.uint8]) -> Marks:
    """In a thumbnail."""
    model = _model()
    marks = model.mean * _THUMBNAIL / FRAME
    for step in model.steps:
        marks = moved(grey, marks, model.mean, step)
    return marks


def _mirrored(marks: Marks) -> Marks:
    """The marks of a thumbnail that are these in its mirror image."""
    return marks[[1, 0, 2, 4, 3]] * (-1, 1) + (_THUMBNAIL - 1, 0)


@dataclass(frozen=True)
class Placement:
    """How a thumbnail's pixels lie in the image."""

    scale: float
    corner: npt.NDArray[np.float64]


def thumbnail(image: Image) -> tuple[npt.NDArray[np.uint8], Placement]:
    """Return the grey square in the middle of the image, as the cascade wants it, and where it is."""
    height, width, _ = image.shape
    side = min(height, width)
    corner = np.array(((width - side) // 2, (height - side) // 2))
    square = image[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), Placement(side / _THUMBNAIL, corner.astype(np.float64))


def moved(grey: npt.NDArray[np.uint8], marks: Marks, mean: Marks, step: npt.NDArray[np.float32]) -> Marks:
    """Return the marks after a step."""
    to_frame = frame_of(marks, mean)
    in_frame = marks @ to_frame[:, :2].T + to_frame[:, 2]
    in_frame = in_frame + (features(grey, to_frame) @ step[:-1] + step[-1]).reshape(5, 2)
    if _spread(in_frame) < _SMALLEST_SPREAD * _spread(mean):
        return marks
    to_thumbnail = cv2.invertAffineTransform(to_frame)
    return np.asarray(in_frame @ to_thumbnail[:, :2].T + to_thumbnail[:, 2])


def frame_of(marks: Marks, mean: Marks) -> npt.NDArray[np.float64]:
    """Return the similarity (2×3) that moves the marks nearest to the mean face."""
    marks_centre, mean_centre = marks.mean(axis=0), mean.mean(axis=0)
    (x, y), (to_x, to_y) = (marks - marks_centre).T, (mean - mean_centre).T
    cosine, sine = (x @ to_x + y @ to_y, x @ to_y - y @ to_x) / (x @ x + y @ y)
    turn = np.array(((cosine, -sine), (sine, cosine)))
    return np.column_stack((turn, mean_centre - turn @ marks_centre))


def features(grey: npt.NDArray[np.uint8], to_frame: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return histograms of the orientation of gradients, weighted by the root of their length, in cells of the frame."""
    seen = cv2.warpAffine(grey, to_frame, (FRAME, FRAME), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    across, down = (cv2.Sobel(seen, cv2.CV_32F, dx, dy) for dx, dy in ((1, 0), (0, 1)))
    # not OpenCV's magnitude, whose last bit depends on where its arrays begin
    weight = np.sqrt(np.sqrt(across * across + down * down))
    orientation = cv2.phase(across, down) * np.float32(_ORIENTATIONS / np.pi)
    below = np.floor(orientation)
    share = orientation - below
    planes = np.zeros((_ORIENTATIONS, FRAME * FRAME), np.float32)
    pixel = np.arange(FRAME * FRAME)
    first = below.astype(np.intp).ravel() % _ORIENTATIONS
    planes[first, pixel] = (weight * (1 - share)).ravel()
    planes[(first + 1) % _ORIENTATIONS, pixel] = (weight * share).ravel()
    cells = FRAME // _CELL
    rows = planes.reshape(_ORIENTATIONS, cells, _CELL, FRAME).sum(axis=2)  # in two steps, in half the time
    histograms = rows.reshape(_ORIENTATIONS, cells, cells, _CELL).sum(axis=3).ravel()
    return np.asarray(histograms / max(float(np.linalg.norm(histograms)), 1e-6), np.float32)


def _spread(marks: Marks) -> float:
    return float(np.linalg.norm(marks - marks.mean(axis=0)))


@cache
def _model() -> Model:
    with as_file(files(__package__).joinpath("face_layout.npz")) as path, np.load(path) as stored:
        return Model(stored["mean"].astype(np.float64), stored["steps"].astype(np.float32))
