"""Point layers as bits: which cells have a point, then how their levels differ from what earlier points foretell.

Everything here is in whole numbers, so that any machine reads the same points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.colour import LIMITS
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size, grid_shape
from vcmbench.codecs.edge.range_coder import Contexts, Decoder, Encoder
from vcmbench.interfaces import BitstreamError

Code: TypeAlias = Callable[[int, str, int], int]
"""Codes a bit in a context of a group: returns the given bit when encoding, the coded one when decoding."""

BLOCK = 4
"""Side in cells of the blocks of which a flag says whether they have a point."""
STROKE_CLASSES, POINT_CLASSES = 4, 3
CELL_CLASSES = STROKE_CLASSES * POINT_CLASSES
BLOCK_CLASSES = 6
SIDES = 5
"""Classes of an earlier plane's residual: far below, below, as foretold, above, far above."""
UNARY = 14
"""Magnitudes up to here have a context for each step."""

GROUPS = {
    "block": len(COUNTS) * BLOCK_CLASSES,
    "cell": len(COUNTS) * CELL_CLASSES,
    "zero": len(COUNTS) * 3 * SIDES * SIDES,
    "sign": len(COUNTS) * 3 * SIDES * SIDES,
    "more": len(COUNTS) * 3 * UNARY,
}
"""How many contexts each group has."""

_NEAREST = 6
"""How many of the known points foretell a point."""
_SAMPLES = 8
"""Places between two points at which strokes are looked for."""
_UNIT = 1 << 16
_FAR = (6, 2, 2)
"""Residuals of Y, Cb and Cr beyond these are far above or below."""


def write_points(encoder: Encoder, layer: Points, earlier: Points, raster: Raster) -> None:
    """Code the points of a layer, in any order, given those of the earlier ones and the strokes (H×W)."""
    contexts = _contexts()

    def code(value: int, group: str, context: int) -> int:
        encoder.bit(value, contexts[group], context)
        return value

    order = np.lexsort(layer.cells.T[::-1])
    _code_points(code, layer.cells[order], layer.levels[order].tolist(), earlier, raster)


def read_points(decoder: Decoder, count: int, earlier: Points, raster: Raster) -> Points:
    """Return the `count` points of a layer in reading order; raise `BitstreamError` for levels that cannot be."""
    contexts = _contexts()

    def code(_: int, group: str, context: int) -> int:
        return decoder.bit(contexts[group], context)

    cells = np.full((count, 2), -1, np.int32)
    levels = [[0, 0, 0] for _ in range(count)]
    cells = _code_points(code, cells, levels, earlier, raster)
    return Points(cells, np.array(levels, np.int32).reshape(-1, 3))


def _contexts() -> dict[str, Contexts]:
    return {group: Contexts(prior) for group, prior in priors.load("point").items()}


def _code_points(
    code: Code, cells: npt.NDArray[np.int32], levels: list[list[int]], earlier: Points, raster: Raster
) -> npt.NDArray[np.int32]:
    stage = sum(count <= len(earlier) for count in COUNTS[:-1])
    cells = _code_cells(code, cells, stage, earlier, raster)
    _code_levels(code, cells, levels, stage, earlier, raster)
    return cells


def _code_cells(
    code: Code, cells: npt.NDArray[np.int32], stage: int, earlier: Points, raster: Raster
) -> npt.NDArray[np.int32]:
    """Return the cells in reading order; those given count only when encoding."""
    shape = grid_shape(*raster.shape)
    chosen = np.zeros(shape, np.bool_)
    chosen[tuple(cells[cells[:, 0] >= 0].T)] = True
    free = np.ones(shape, np.bool_)
    free[tuple(earlier.cells.T)] = False
    classes = _cell_classes(~free, raster)
    remaining, unread = len(cells), int(free.sum())
    found: list[tuple[int, int]] = []
    for top in range(0, shape[0], BLOCK):
        for left in range(0, shape[1], BLOCK):
            block = np.s_[top : top + BLOCK, left : left + BLOCK]
            places = np.argwhere(free[block]) + np.array((top, left))
            if not remaining or not len(places):
                continue
            unread -= len(places)
            context = stage * BLOCK_CLASSES + int(np.mean(classes[block] // POINT_CLASSES))
            if unread >= remaining and not code(int(chosen[block].any()), "block", context):
                continue
            before = remaining
            for number, (row, column) in enumerate(places.tolist(), start=1):
                left_over = len(places) - number
                forced = unread + left_over < remaining or (not left_over and remaining == before)
                if forced or code(int(chosen[row, column]), "cell", stage * CELL_CLASSES + int(classes[row, column])):
                    found.append((row, column))
                    remaining -= 1
                    if not remaining:
                        break
    found.sort()
    return np.array(found, np.int32).reshape(-1, 2)


def _cell_classes(taken: npt.NDArray[np.bool_], raster: Raster) -> npt.NDArray[np.int64]:
    """Return a class for each cell, by how near the next stroke and the next earlier point are."""
    size = cell_size(*raster.shape)
    height, width = raster.shape
    padded = np.pad(raster, ((0, -height % size), (0, -width % size)))
    touched = np.asarray(padded.reshape(taken.shape[0], size, taken.shape[1], size).any((1, 3)))
    near_strokes = touched.astype(np.int64)
    grown = touched
    for _ in range(STROKE_CLASSES - 2):
        grown = _grown(grown)
        near_strokes += grown
    return near_strokes * POINT_CLASSES + _grown(taken) + _grown(_grown(taken))


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    framed = np.pad(mask, 1)
    rows = framed[:-2] | framed[1:-1] | framed[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


def _code_levels(
    code: Code,
    cells: npt.NDArray[np.int32],
    levels: list[list[int]],
    stage: int,
    earlier: Points,
    raster: Raster,
) -> None:
    """Code the levels in the order of their cells, filling in `levels` when decoding."""
    known: list[list[int]] = earlier.levels.tolist()
    neighbours, weights = _neighbours(cells, earlier.cells, raster)
    for level, nearest, shares in zip(levels, neighbours, weights, strict=True):
        total = sum(shares)
        side = [SIDES // 2, SIDES // 2]
        for plane in range(3):
            foretold = LEVELS_ALONE[plane]
            if total:
                mass = sum(known[n][plane] * share for n, share in zip(nearest, shares, strict=True) if share)
                foretold = (2 * mass + total) // (2 * total)
            context = ((stage * 3 + plane) * SIDES + side[0]) * SIDES + side[1]
            residual = _code_residual(code, level[plane] - foretold, stage * 3 + plane, context)
            level[plane] = foretold + residual
            lowest, highest = LIMITS[plane]
            if not lowest <= level[plane] <= highest:
                raise BitstreamError("edge: a point's colour is out of range")
            if plane < 2:
                side[plane] = _side(residual, _FAR[plane])
        known.append(level)


LEVELS_ALONE = (18, -1, 2)
"""What is foretold where no point is known."""


def _side(residual: int, far: int) -> int:
    return 2 + (residual > 0) + (residual > far) - (residual < 0) - (residual < -far)


def _code_residual(code: Code, residual: int, plane: int, context: int) -> int:
    if not code(int(residual != 0), "zero", context):
        return 0
    negative = code(int(residual < 0), "sign", context)
    magnitude = 1
    while code(int(abs(residual) > magnitude), "more", plane * UNARY + min(magnitude, UNARY) - 1):
        magnitude += 1
        if magnitude > _LARGEST:
            raise BitstreamError("edge: a point's colour is out of range")
    return -magnitude if negative else magnitude


_LARGEST = max(highest - lowest for lowest, highest in LIMITS)


def _neighbours(
    cells: npt.NDArray[np.int32], earlier: npt.NDArray[np.int32], raster: Raster
) -> tuple[list[list[int]], list[list[int]]]:
    """Return for each cell which of the known points (earlier ones, then those before it) foretell it, and their weights."""
    size = cell_size(*raster.shape)
    everything = np.concatenate([earlier, cells]).astype(np.int64)
    away = cells[:, None].astype(np.int64) - everything
    squares = (away**2).sum(2)
    unknown = np.arange(len(everything)) >= len(earlier) + np.arange(len(cells))[:, None]
    squares[unknown] = _UNIT
    order = np.argsort(squares, axis=1, kind="stable")[:, :_NEAREST]
    chosen = np.take_along_axis(squares, order, 1)
    steps = np.arange(1, 2 * _SAMPLES, 2)[:, None]
    start, stop = cells[:, None, None] * size, everything[order][:, :, None] * size
    path = (start * (2 * _SAMPLES - steps) + stop * steps) // (2 * _SAMPLES) + size // 2
    wide = _grown(raster)
    rows = np.minimum(path[..., 0], raster.shape[0] - 1)
    columns = np.minimum(path[..., 1], raster.shape[1] - 1)
    crossed = wide[rows, columns].sum(2)
    weights = np.where(chosen < _UNIT, (_UNIT >> np.minimum(crossed, 5)) // chosen.clip(1), 0)
    return order.tolist(), weights.tolist()
