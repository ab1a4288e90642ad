"""What the generative decoder is told of a picture: the diffused one, the strokes and the points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.colour import reconstruct
from vcmbench.codecs.edge.diffusion import diffuse
from vcmbench.codecs.edge.geometry import Points, Raster, cell_size
from vcmbench.interfaces import Image

Number = TypeVar("Number", bound=np.number)


@dataclass(frozen=True)
class Condition:
    """Planes of one size."""

    diffused: npt.NDArray[np.float32]
    """H×W×3 in [0, 255]: the classical decoder's picture."""
    raster: Raster
    colours: Image
    """H×W×3 uint8: the colours of the points, in the whole of their cells; 0 elsewhere."""
    mask: Raster
    """H×W: where there is a point."""


def condition(raster: Raster, points: Points) -> Condition:
    """Return what the strokes (H×W) and the points say."""
    height, width = raster.shape
    colours = reconstruct(points.levels)
    mask = in_cells(np.ones(len(points), np.uint8), points, height, width).view(np.bool_)
    painted = in_cells(np.clip(colours, 0, 255).astype(np.uint8), points, height, width)
    return Condition(diffuse(raster, points.cells, colours, height, width), raster, painted, mask)


def in_cells(values: npt.NDArray[Number], points: Points, height: int, width: int) -> npt.NDArray[Number]:
    """Return H×W×…: each point's value in all pixels of its cell, and 0 elsewhere."""
    size = cell_size(height, width)
    grid = np.zeros((-(-height // size), -(-width // size), *values.shape[1:]), values.dtype)
    grid[points.cells[:, 0], points.cells[:, 1]] = values
    rows, columns, *others = grid.shape
    blocks = np.empty((rows, size, columns, size, *others), values.dtype)
    blocks[:] = grid[:, None, :, None]
    return blocks.reshape(rows * size, columns * size, *others)[:height, :width]
