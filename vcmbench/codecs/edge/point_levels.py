"""The levels of points: how they differ from what the known points around foretell; in whole numbers."""

from __future__ import annotations

from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import point_places, priors
from vcmbench.codecs.edge.colour import LIMITS
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size
from vcmbench.codecs.edge.point_places import Code, Whole, grown
from vcmbench.interfaces import BitstreamError

_SIDES = 5
"""Classes of an earlier plane's residual: far below, below, as foretold, above, far above."""
_TRUSTED = (1 << 9, 1 << 11, 1 << 13)
"""Sums of the weights of the points that foretell a level, from which on they are trusted more."""
_TRUSTS = len(_TRUSTED) + 1
_LENGTHS = 6
"""Bits of the largest magnitude."""
GROUPS = {
    "place": point_places.SHAPE,
    "zero": (len(COUNTS), _TRUSTS, 3, _SIDES, _SIDES),
    "sign": (len(COUNTS), _TRUSTS, 3, _SIDES, _SIDES),
    "length": (len(COUNTS), _TRUSTS, 3, _LENGTHS),
    "rest": (3, 1 << _LENGTHS),
}
"""The shape of each group of contexts, in as many ways as they differ. Those of places are numbered from 0."""

LEVELS_ALONE = (18, -1, 2)
"""What is foretold where no point is known."""
_NEAREST = 6
"""How many of the known points foretell a point."""
_SAMPLES = 8
"""Places between two points at which strokes are looked for."""
_UNIT = _FARTHEST = 1 << 16
_MOST = 1 << (COUNTS[-1] - 1).bit_length()
_NEVER = np.int32(np.iinfo(np.int32).max // 2)
"""The key of a point that is not known yet: above all others, and still so when a cell's own part is added."""
_BLOCK = 96
"""Cells for which the nearest points are looked for at a time, so that the distances stay in the processor's cache."""
_FAR = (6, 2, 2)
"""Residuals of Y, Cb and Cr beyond these are far above or below."""
_SIDE_STEPS = (_SIDES, 1, 0)
"""How far apart contexts are whose residual of Y, Cb or Cr is of one class and of the next."""


def write_levels(code: Code, cells: Whole, levels: Whole, earlier: Points, raster: Raster) -> None:
    """Code the levels (N×3) of a layer's points in the order of their cells (N×2)."""
    neighbours, weights, kinds = _surroundings(cells, earlier, raster)
    totals = weights.sum(1, dtype=np.int64)[:, None]
    sums = (np.concatenate([earlier.levels, levels])[neighbours] * weights[:, :, None]).sum(1, dtype=np.int64)
    residuals = levels - np.where(totals > 0, (2 * sums + totals) // (2 * totals).clip(1), LEVELS_ALONE)
    sides = np.full(residuals.shape, _SIDES**2 // 2)
    sides[:, 1:] += np.cumsum((_side(residuals, np.array(_FAR)) * _SIDE_STEPS)[:, :-1], axis=1)
    contexts = kinds[:, None] + np.arange(3)
    for residual, kind, side in zip(
        residuals.ravel().tolist(), contexts.ravel().tolist(), sides.ravel().tolist(), strict=True
    ):
        _code_residual(code, residual, kind, side)


def read_levels(code: Code, cells: Whole, earlier: Points, raster: Raster) -> Whole:
    """Return the levels (N×3) of a layer's points; raise `BitstreamError` for levels that cannot be."""
    neighbours, weights, kinds = _surroundings(cells, earlier, raster)
    known: list[list[int]] = earlier.levels.T.tolist()
    planes = list(zip(range(3), known, LEVELS_ALONE, LIMITS, _FAR, _SIDE_STEPS, strict=True))
    for nearest, shares, total, kind in zip(
        neighbours.tolist(), weights.tolist(), weights.sum(1).tolist(), kinds.tolist(), strict=True
    ):
        sides = _SIDES**2 // 2
        for plane, values, alone, (lowest, highest), far, side_step in planes:
            foretold = alone
            if total:
                foretold = (2 * sum(map(mul, map(values.__getitem__, nearest), shares)) + total) // (2 * total)
            residual = _code_residual(code, 0, kind + plane, sides)
            decoded = foretold + residual
            if not lowest <= decoded <= highest:
                raise BitstreamError("edge: a point's colour is out of range")
            sides += side_step * _side(residual, far)
            values.append(decoded)
    return np.array([values[len(earlier) :] for values in known], np.int32).T


def _side(residual: Any, far: Any) -> Any:
    """Return −2 to 2 for a residual, or for many: far below what is foretold to far above."""
    return (residual > 0) * 1 + (residual > far) - (residual < 0) * 1 - (residual < -far)


def _code_residual(code: Code, residual: int, kind: int, sides: int) -> int:
    context = kind * _SIDES**2 + sides
    if not code(residual != 0, _ZERO + context):
        return 0
    negative = code(residual < 0, _SIGN + context)
    magnitude = _code_magnitude(code, abs(residual), kind)
    return -magnitude if negative else magnitude


def _code_magnitude(code: Code, magnitude: int, kind: int) -> int:
    """Code how many bits a magnitude above 0 has behind its first, in unary, then these."""
    length, first = 0, _LENGTH + kind * _LENGTHS
    while length < _LENGTHS - 1 and code(magnitude >= 2 << length, first + length):
        length += 1
    coded = 1
    tree = _REST + (kind % 3 << _LENGTHS) + (1 << length) - 1
    for shift in range(length - 1, -1, -1):
        coded = 2 * coded + code(magnitude >> shift & 1, tree + coded)
    return coded


def _surroundings(
    cells: Whole, earlier: Points, raster: Raster
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.intp]]:
    """Return for each cell which of the known points foretell it, their weights, and the first context of its kind."""
    neighbours, weights = _neighbours(cells, earlier.cells, raster)
    stage = sum(count <= len(earlier) for count in COUNTS[:-1])
    return neighbours, weights, (stage * _TRUSTS + np.searchsorted(_TRUSTED, weights.sum(1), side="right")) * 3


def _neighbours(cells: Whole, earlier: Whole, raster: Raster) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Return for each cell which of the known points (earlier ones, then those before it) foretell it, and their weights."""
    size = cell_size(*raster.shape)
    everything = np.concatenate([earlier, cells])
    chosen, order = _nearest(cells, everything)
    steps = np.arange(1, 2 * _SAMPLES, 2, dtype=np.int32)[:, None]
    start, stop = cells[:, None, None] * size, everything[order][:, :, None] * size
    path = (start * (2 * _SAMPLES - steps) + stop * steps) // (2 * _SAMPLES) + size // 2
    wide = grown(raster)
    rows = np.minimum(path[..., 0], raster.shape[0] - 1)
    columns = np.minimum(path[..., 1], raster.shape[1] - 1)
    crossed = wide.ravel().take(rows * raster.shape[1] + columns).sum(2)
    weights = np.where(chosen < _FARTHEST, (_UNIT >> np.minimum(crossed, 5)) // chosen.clip(1), 0)
    return np.where(weights > 0, order, 0), weights


def _nearest(cells: Whole, everything: Whole) -> tuple[Whole, Whole]:
    """Return the squared distances of each cell from `_NEAREST` points before it, and these: of equally near ones the first.

    Distance and number are one whole number. What the cell alone adds to its distances is added when they are in order.
    """
    rows, columns = everything.T
    alone = (rows**2 + columns**2) * _MOST
    keys_alone = alone + np.arange(len(everything), dtype=np.int32)
    begin = len(everything) - len(cells)
    nearest = np.empty((len(cells), _NEAREST), np.int32)
    for first in range(0, len(cells), _BLOCK):
        block = slice(begin + first, min(begin + first + _BLOCK, len(everything)))
        keys = np.multiply.outer(-2 * _MOST * rows[block], rows[: block.stop])
        keys += np.multiply.outer(-2 * _MOST * columns[block], columns[: block.stop])
        keys += keys_alone[: block.stop]
        keys[:, begin + first :][~np.tri(len(keys), k=-1, dtype=np.bool_)] = _NEVER
        nearest[first : first + _BLOCK] = np.partition(keys, _NEAREST - 1)[:, :_NEAREST]
    nearest.sort()
    known = nearest < _NEVER
    nearest += alone[begin:, None]
    return np.where(known, nearest // _MOST, _FARTHEST), np.where(known, nearest % _MOST, 0)


_ZERO, _SIGN, _LENGTH, _REST = (priors.first_contexts(GROUPS)[group] for group in ("zero", "sign", "length", "rest"))
