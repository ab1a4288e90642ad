"""The shapes that the edge codec's parts share: sizes, cells, strokes and points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SMALLEST, LARGEST = 32, 1024
"""Sides in pixels of an image that can be coded."""

COUNTS = (15, 40, 122, 260, 520, 1000)
"""How many points there are at the end of each point layer."""

_FEWEST_CELLS = 2048
"""At 256×256 this gives cells of 4×4 pixels; finer ones cost more bits than they are worth."""

Stroke: TypeAlias = npt.NDArray[np.int32]
"""K×2 vertices (row, column) of a polyline inside the image, K ≥ 2, no two that follow each other being equal."""

Raster: TypeAlias = npt.NDArray[np.bool_]
"""H×W: whether a pixel is on a stroke."""


@dataclass(frozen=True)
class Points:
    """Key reference points in the order in which they were chosen."""

    cells: npt.NDArray[np.int32]
    """N×2: row and column of the cell; no cell has two points."""
    levels: npt.NDArray[np.int32]
    """N×3: the quantised Y, Cb and Cr (full-range BT.601) of the point's colour."""

    def __len__(self) -> int:
        return len(self.cells)

    def first(self, count: int) -> Points:
        """Return the points of the first layers."""
        return Points(self.cells[:count], self.levels[:count])


def cell_size(height: int, width: int) -> int:
    """Return the side of a cell in pixels: the largest power of two that leaves enough cells, else 1."""
    size = 1
    while -(-height // (2 * size)) * -(-width // (2 * size)) >= _FEWEST_CELLS:
        size *= 2
    return size


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of cells; those at the lower and right edge may reach over it."""
    size = cell_size(height, width)
    return -(-height // size), -(-width // size)
