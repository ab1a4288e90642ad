"""The levels of points: how they differ from what the known points around foretell; in whole numbers."""

from __future__ import annotations

from operator import mul

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.colour import LIMITS
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size
from vcmbench.codecs.edge.point_places import Code, grown
from vcmbench.interfaces import BitstreamError

_SIDES = 5
"""Classes of an earlier plane's residual: far below, below, as foretold, above, far above."""
_TRUSTS = 4
"""Classes of how near the points are that foretell a level."""
_LENGTHS = 6
"""Bits of the largest magnitude."""
SHAPES = {
    "zero": (len(COUNTS), _TRUSTS, 3, _SIDES, _SIDES),
    "sign": (len(COUNTS), _TRUSTS, 3, _SIDES, _SIDES),
    "length": (len(COUNTS), _TRUSTS, 3, _LENGTHS),
    "rest": (3, 1 << _LENGTHS),
}
"""The contexts of a residual."""

LEVELS_ALONE = (18, -1, 2)
"""What is foretold where no point is known."""
_NEAREST = 6
"""How many of the known points foretell a point."""
_SAMPLES = 8
"""Places between two points at which strokes are looked for."""
_UNIT = _FARTHEST = 1 << 16
_MOST = 1 << (COUNTS[-1] - 1).bit_length()
_FAR = (6, 2, 2)
"""Residuals of Y, Cb and Cr beyond these are far above or below."""
_SIDE_STEPS = (_SIDES, 1, 0)
"""How far apart contexts are whose residual of Y, Cb or Cr is of one class and of the next."""


def code_levels(code: Code, cells: npt.NDArray[np.int32], levels: list[list[int]], earlier: Points, raster: Raster) -> None:
    """Code the levels in the order of their cells, filling in `levels` when decoding.

    Raises `BitstreamError` for levels that cannot be.
    """
    stage = sum(count <= len(earlier) for count in COUNTS[:-1])
    known: list[list[int]] = earlier.levels.T.tolist()
    planes = list(zip(range(3), known, LEVELS_ALONE, LIMITS, _FAR, _SIDE_STEPS, strict=True))
    neighbours, weights = _neighbours(cells, earlier.cells, raster)
    totals = weights.sum(1).tolist()
    for level, nearest, shares, total in zip(levels, neighbours.tolist(), weights.tolist(), totals, strict=True):
        kind = (stage * _TRUSTS + _trust(total)) * 3
        sides = _SIDES**2 // 2
        for plane, values, alone, (lowest, highest), far, side_step in planes:
            foretold = alone
            if total:
                foretold = (2 * sum(map(mul, map(values.__getitem__, nearest), shares)) + total) // (2 * total)
            residual = _code_residual(code, level[plane] - foretold, kind + plane, sides)
            decoded = foretold + residual
            if not lowest <= decoded <= highest:
                raise BitstreamError("edge: a point's colour is out of range")
            sides += side_step * ((residual > 0) + (residual > far) - (residual < 0) - (residual < -far))
            level[plane] = decoded
            values.append(decoded)


def _trust(total: int) -> int:
    return min(max(total.bit_length() - 8, 0) // 2, _TRUSTS - 1)


def _code_residual(code: Code, residual: int, kind: int, sides: int) -> int:
    context = kind * _SIDES**2 + sides
    if not code(int(residual != 0), "zero", context):
        return 0
    negative = code(int(residual < 0), "sign", context)
    magnitude = _code_magnitude(code, abs(residual), kind)
    return -magnitude if negative else magnitude


def _code_magnitude(code: Code, magnitude: int, kind: int) -> int:
    """Code how many bits a magnitude above 0 has behind its first, in unary, then these."""
    length = 0
    while length < _LENGTHS - 1 and code(int(magnitude >= 2 << length), "length", kind * _LENGTHS + length):
        length += 1
    coded = 1
    tree = (kind % 3 << _LENGTHS) + (1 << length) - 1
    for shift in range(length - 1, -1, -1):
        coded = 2 * coded + code(magnitude >> shift & 1, "rest", tree + coded)
    return coded


def _neighbours(
    cells: npt.NDArray[np.int32], earlier: npt.NDArray[np.int32], raster: Raster
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Return for each cell which of the known points (earlier ones, then those before it) foretell it, and their weights."""
    size = cell_size(*raster.shape)
    everything = np.concatenate([earlier, cells])
    rows_away, columns_away = (cells[:, None, axis] - everything[:, axis] for axis in (0, 1))
    squares = np.minimum(rows_away**2 + columns_away**2, _FARTHEST)
    squares[:, len(earlier) :][~np.tri(len(cells), k=-1, dtype=np.bool_)] = _FARTHEST
    # of equally near ones the first, in one number
    nearest = np.sort(np.partition(squares * _MOST + np.arange(len(everything), dtype=np.int32), _NEAREST - 1)[:, :_NEAREST])
    chosen, order = nearest // _MOST, nearest % _MOST
    steps = np.arange(1, 2 * _SAMPLES, 2, dtype=np.int32)[:, None]
    start, stop = cells[:, None, None] * size, everything[order][:, :, None] * size
    path = (start * (2 * _SAMPLES - steps) + stop * steps) // (2 * _SAMPLES) + size // 2
    wide = grown(raster)
    rows = np.minimum(path[..., 0], raster.shape[0] - 1)
    columns = np.minimum(path[..., 1], raster.shape[1] - 1)
    crossed = wide.ravel().take(rows * raster.shape[1] + columns).sum(2)
    weights = np.where(chosen < _FARTHEST, (_UNIT >> np.minimum(crossed, 5)) // chosen.clip(1), 0)
    return np.where(weights > 0, order, 0), weights
