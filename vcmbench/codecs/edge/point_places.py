"""Which cells have a point: a quadtree of flags, each foretold by strokes and earlier points nearby; in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size, grid_shape
from vcmbench.interfaces import BitstreamError

Code: TypeAlias = Callable[[int, int], int]
"""Codes a bit in a context, as `range_coder.Coder.bit` does."""
Mask: TypeAlias = npt.NDArray[np.bool_]
Whole: TypeAlias = npt.NDArray[np.int32]

_DEPTHS = 4
"""Squares of 1, 2×2, 4×4 and 8×8 cells."""
_SIDE = 1 << _DEPTHS - 1
_STATES = 6
_STATE_OF = ((0, 1, 3, 5), (0, 2, 4, 5))
"""By whether one of a square's earlier siblings has a point, and how many of them there are."""
_STROKE_REACHES = (0, 1, 1)
_POINT_REACHES = (1, 1, 2, 4)
"""How many cells further each class of nearness reaches than the one before."""
_STROKE_CLASSES, _POINT_CLASSES = 2 * len(_STROKE_REACHES) + 1, 2 * len(_POINT_REACHES) + 1
"""Means of nearness over a square, in halves."""
SHAPE = (len(COUNTS), _POINT_CLASSES, _STROKE_CLASSES, _DEPTHS, _STATES)
"""How many contexts a flag has in each respect."""


@dataclass(frozen=True)
class _Squares:
    """All squares of one size, so that the four parts of a square follow each other where it is among those of its size."""

    contexts: list[int]
    """Of each square, for the first state; −1 where no cell is free."""
    chosen: list[bool]
    """Whether it has a point; known only when encoding."""


def code_places(code: Code, given: Whole, count: int, earlier: Points, raster: Raster) -> Whole:
    """Return the `count` cells (N×2) of a layer in reading order; those given (K×2) count only when encoding.

    Raises `BitstreamError` if fewer are found.
    """
    tree = _tree(given, earlier, raster)
    found: list[int] = []

    def visit(depth: int, place: int) -> None:
        """Code where in a square that has a point, and is larger than a cell, there are some."""
        contexts, chosen = tree[depth - 1].contexts, tree[depth - 1].chosen
        parts = [part for part in range(4 * place, 4 * place + 4) if contexts[part] >= 0]
        some = False
        for number, part in enumerate(parts):
            is_left = number == len(parts) - 1 and not some
            if is_left or (len(found) < count and code(chosen[part], contexts[part] + _STATE_OF[some][number])):
                some = True
                if depth > 1:
                    visit(depth - 1, part)
                else:
                    found.append(part)

    largest = tree[-1]
    for place, context in enumerate(largest.contexts):
        if context >= 0 and len(found) < count and code(largest.chosen[place], context):
            visit(_DEPTHS - 1, place)
    if len(found) < count:
        raise BitstreamError("edge: points are missing")
    rows, columns = _squared(raster)
    return np.stack(np.divmod(np.sort(_order(rows, columns)[found]), columns), axis=1)


def _tree(given: Whole, earlier: Points, raster: Raster) -> list[_Squares]:
    """Return the squares of each size, the smallest first."""
    shape = _squared(raster)
    rows, columns = grid_shape(*raster.shape)
    planes = np.zeros((5, *shape), np.int32)
    inside, free, points, strokes, ours = planes
    inside[:rows, :columns] = free[:rows, :columns] = 1
    free[tuple(earlier.cells.T)] = 0
    ours[tuple(given.T)] = 1
    np.multiply(_nearness(free < inside, _POINT_REACHES), inside, out=points)
    np.multiply(_nearness(_touched(raster), _STROKE_REACHES), inside, out=strokes)
    planes = planes.reshape(5, -1)[:, _order(*shape)]
    stage = sum(each <= len(earlier) for each in COUNTS[:-1])
    tree = []
    for depth in range(_DEPTHS):
        if depth:
            planes = planes[:, ::4] + planes[:, 1::4] + planes[:, 2::4] + planes[:, 3::4]
        size, free = planes[:2]
        near_points, near_strokes = (2 * planes[2:4] + size // 2) // size.clip(1)
        contexts = (((stage * _POINT_CLASSES + near_points) * _STROKE_CLASSES + near_strokes) * _DEPTHS + depth) * _STATES
        chosen = (planes[4] > 0).tolist() if len(given) else [False] * len(size)
        tree.append(_Squares(np.where(free > 0, contexts, -1).tolist(), chosen))
    return tree


def _squared(raster: Raster) -> tuple[int, int]:
    """Return the rows and columns of cells, filled up to whole squares."""
    rows, columns = grid_shape(*raster.shape)
    return rows + -rows % _SIDE, columns + -columns % _SIDE


@lru_cache(maxsize=64)
def _order(rows: int, columns: int) -> Whole:
    """Return the numbers of cells, so that those of a largest square follow one another, and so on within each."""
    halves = [2] * (_DEPTHS - 1)
    split = np.arange(rows * columns, dtype=np.int32).reshape(rows // _SIDE, *halves, columns // _SIDE, *halves)
    return split.transpose([axis + side for axis in range(_DEPTHS) for side in (0, _DEPTHS)]).ravel()


def _touched(raster: Raster) -> Mask:
    """Return which cells a stroke touches."""
    size = cell_size(*raster.shape)
    rows, columns = np.divmod(np.flatnonzero(raster), raster.shape[1])
    touched = np.zeros(_squared(raster), np.bool_)
    touched[rows // size, columns // size] = True
    return touched


def _nearness(mask: Mask, reaches: Sequence[int]) -> Whole:
    """Return for each cell within how many of the reaches the mask is."""
    near = np.zeros(mask.shape, np.int32)
    for reach in reaches:
        mask = grown(mask, reach) if reach else mask
        near += mask
    return near


def grown(mask: Mask, reach: int = 1) -> Mask:
    """Return where the mask, or a part of it up to `reach` rows and columns away, is.

    Only the farthest ones are looked at: beyond 1, the mask must have been grown by half as much already.
    """
    wider = mask.copy()
    wider[reach:] |= mask[:-reach]
    wider[:-reach] |= mask[reach:]
    wide = wider.copy()
    wide[:, reach:] |= wider[:, :-reach]
    wide[:, :-reach] |= wider[:, reach:]
    return wide
