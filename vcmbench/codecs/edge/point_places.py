"""Which cells have a point: a quadtree of flags, each foretold by strokes and earlier points nearby; in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size, grid_shape
from vcmbench.interfaces import BitstreamError

Code: TypeAlias = Callable[[int, str, int], int]
"""Codes a bit in a context of a group: returns the given bit when encoding, the coded one when decoding."""
Mask: TypeAlias = npt.NDArray[np.bool_]
Whole: TypeAlias = npt.NDArray[np.int32]

_DEPTHS = 4
"""Squares of 1, 2×2, 4×4 and 8×8 cells."""
_SIDE = 1 << _DEPTHS - 1
_STATES = 6
"""How many siblings came before a square, and whether one of them has a point."""
_STROKE_REACHES = (0, 1, 1)
_POINT_REACHES = (1, 1, 2, 4)
"""How many cells further each class of nearness reaches than the one before."""
_STROKE_CLASSES, _POINT_CLASSES = 2 * len(_STROKE_REACHES) + 1, 2 * len(_POINT_REACHES) + 1
"""Means of nearness over a square, in halves."""
_FORCED = -1
"""The state of a square that has a point because no sibling has one."""

SHAPE = (len(COUNTS), _POINT_CLASSES, _STROKE_CLASSES, _DEPTHS, _STATES)
"""How many contexts a flag has in each respect."""


@dataclass(frozen=True)
class _Squares:
    """All squares of one size, so that the four parts of a square follow each other where it is among those of its size."""

    contexts: list[int]
    """Of each square, for the first state; −1 where no cell is free."""
    chosen: list[int]
    """How many points it has; known only when encoding."""


def code_places(code: Code, given: Whole, count: int, earlier: Points, raster: Raster) -> Whole:
    """Return the `count` cells (N×2) of a layer in reading order; those given (K×2) count only when encoding.

    Raises `BitstreamError` if fewer are found.
    """
    tree = _tree(given, earlier, raster)
    found: list[int] = []

    def visit(depth: int, place: int, state: int) -> bool:
        squares = tree[depth]
        if state != _FORCED and (
            len(found) == count or not code(int(squares.chosen[place] > 0), "place", squares.contexts[place] + state)
        ):
            return False
        if not depth:
            found.append(place)
            return True
        below = tree[depth - 1].contexts
        parts = [part for part in range(4 * place, 4 * place + 4) if below[part] >= 0]
        some = False
        for number, part in enumerate(parts):
            forced = number == len(parts) - 1 and not some
            some |= visit(depth - 1, part, _FORCED if forced else _state(number, some=some))
        return True

    for place, context in enumerate(tree[-1].contexts):
        if context >= 0:
            visit(_DEPTHS - 1, place, 0)
    if len(found) < count:
        raise BitstreamError("edge: points are missing")
    rows, columns = _squared(raster)
    numbers = _in_squares(np.arange(rows * columns, dtype=np.int32).reshape(rows, columns))
    return np.stack(np.divmod(np.sort(numbers[found]), columns), axis=1)


def _state(siblings: int, *, some: bool) -> int:
    return max(2 * siblings - 1, 0) + (some and siblings < 3)


def _tree(given: Whole, earlier: Points, raster: Raster) -> list[_Squares]:
    """Return the squares of each size, the smallest first."""
    rows, columns = grid_shape(*raster.shape)
    inside, taken, chosen = (np.zeros(_squared(raster), np.int32) for _ in range(3))
    inside[:rows, :columns] = 1
    taken[tuple(earlier.cells.T)] = 1
    chosen[tuple(given.T)] = 1
    points = _nearness(taken > 0, _POINT_REACHES)
    strokes = _nearness(_touched(raster), _STROKE_REACHES)
    planes = np.stack([_in_squares(each) for each in (inside, inside - taken, points * inside, strokes * inside, chosen)])
    stage = sum(each <= len(earlier) for each in COUNTS[:-1])
    tree = []
    for depth in range(_DEPTHS):
        if depth:
            planes = planes[:, ::4] + planes[:, 1::4] + planes[:, 2::4] + planes[:, 3::4]
        size, free = planes[:2]
        near_points, near_strokes = (2 * planes[2:4] + size // 2) // size.clip(1)
        contexts = (((stage * _POINT_CLASSES + near_points) * _STROKE_CLASSES + near_strokes) * _DEPTHS + depth) * _STATES
        tree.append(_Squares(np.where(free > 0, contexts, -1).tolist(), planes[4].tolist()))
    return tree


def _squared(raster: Raster) -> tuple[int, int]:
    """Return the rows and columns of cells, filled up to whole squares."""
    rows, columns = grid_shape(*raster.shape)
    return rows + -rows % _SIDE, columns + -columns % _SIDE


def _in_squares(plane: Whole) -> Whole:
    """Put the samples of the largest squares one after the other, and so on within each."""
    rows, columns = plane.shape
    halves = [2] * (_DEPTHS - 1)
    split = plane.reshape(rows // _SIDE, *halves, columns // _SIDE, *halves)
    return split.transpose([axis + side for axis in range(_DEPTHS) for side in (0, _DEPTHS)]).ravel()


def _touched(raster: Raster) -> Mask:
    """Return which cells a stroke touches."""
    size = cell_size(*raster.shape)
    rows, columns = _squared(raster)
    pixels = np.zeros((rows * size, columns * size), np.bool_)
    pixels[: raster.shape[0], : raster.shape[1]] = raster
    return np.asarray(pixels.reshape(rows, size, columns, size).any((1, 3)))


def _nearness(mask: Mask, reaches: Sequence[int]) -> Whole:
    """Return for each cell within how many of the reaches the mask is."""
    near = np.zeros(mask.shape, np.int32)
    for reach in reaches:
        for _ in range(reach):
            mask = grown(mask)
        near += mask
    return near


def grown(mask: Mask) -> Mask:
    """Return where the mask or one of its eight neighbours is."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    wide = wider.copy()
    wide[:, 1:] |= wider[:, :-1]
    wide[:, :-1] |= wider[:, 1:]
    return wide
