"""Shape-preserving piecewise cubic interpolation (PCHIP) of many curves at once.

The interpolant is SciPy's `PchipInterpolator`: cubic Hermite between neighbouring points, monotone wherever they are
(Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980), with the slopes of Fritsch and Butland (SIAM J. Sci. Stat. Comput. 5,
1984) and, at both ends, of Moler (Numerical Computing with MATLAB, 2004). SciPy's takes one x for all curves; here every
row has its own, as bootstrap replicates need it.

Arrays are …×P, the points of a curve on the last axis and P at least 2. Rows whose x does not rise strictly, or that hold
values that are not finite, give meaningless numbers: the caller knows which those are.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]

BISECTIONS = 53
"""Halvings of a segment, after which its parts are as narrow as a double can tell."""


def slopes(x: Floats, y: Floats) -> Floats:
    """Return the interpolant's derivatives at its points (…×P)."""
    step = np.diff(x)
    secant = np.diff(y) / step
    if x.shape[-1] == 2:
        return np.concatenate([secant, secant], axis=-1)
    first = _end_slope(step[..., 0], step[..., 1], secant[..., 0], secant[..., 1])
    last = _end_slope(step[..., -1], step[..., -2], secant[..., -1], secant[..., -2])
    return np.concatenate([first[..., None], _inner_slopes(step, secant), last[..., None]], axis=-1)


def _inner_slopes(step: Floats, secant: Floats) -> Floats:
    """The weighted harmonic mean of both sides' secants, or 0 at an extreme and beside a flat segment."""
    before, after = secant[..., :-1], secant[..., 1:]
    weight_before = step[..., :-1] + 2 * step[..., 1:]
    weight_after = 2 * step[..., :-1] + step[..., 1:]
    mean = (weight_before + weight_after) / (weight_before / before + weight_after / after)
    return np.where(np.sign(before) * np.sign(after) > 0, mean, 0.0)


def _end_slope(step: Floats, next_step: Floats, secant: Floats, next_secant: Floats) -> Floats:
    """The three-point estimate, held back where the interpolant would overshoot."""
    slope = ((2 * step + next_step) * secant - step * next_secant) / (step + next_step)
    slope = np.where(np.sign(slope) == np.sign(secant), slope, 0.0)
    overshoots = (np.sign(secant) != np.sign(next_secant)) & (np.abs(slope) > 3 * np.abs(secant))
    return np.where(overshoots, 3 * secant, slope)


def integral(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """Integrate each row's interpolant from `low` to `high` (… each), both within the row's x."""
    step, linear, square, cube = _coefficients(x, y)

    def from_segment_starts(t: Floats) -> Floats:
        within: Floats = step * t * (y[..., :-1] + t * (linear / 2 + t * (square / 3 + t * cube / 4)))
        return within

    start, stop = (np.clip((end[..., None] - x[..., :-1]) / step, 0, 1) for end in (low, high))
    return cast(Floats, (from_segment_starts(stop) - from_segment_starts(start)).sum(axis=-1))


def evaluate(x: Floats, y: Floats, at: Floats) -> Floats:
    """Return each row's interpolant at its R places (…×R), all within the row's x."""
    segment = (at[..., :, None] >= x[..., None, 1:-1]).sum(axis=-1)
    step, linear, square, cube = (np.take_along_axis(part, segment, axis=-1) for part in _coefficients(x, y))
    t = (at - np.take_along_axis(x, segment, axis=-1)) / step
    return np.take_along_axis(y, segment, axis=-1) + t * (linear + t * (square + t * cube))


def crossing(x: Floats, y: Floats, segment: Indices, level: Floats) -> Floats:
    """Return where each row's interpolant takes its `level` in the given segment, whose ends lie on either side of it (…).

    By bisection: between two points the interpolant is monotone.
    """
    pick = segment[..., None]
    step, linear, square, cube = (np.take_along_axis(part, pick, axis=-1)[..., 0] for part in _coefficients(x, y))
    start, end = (np.take_along_axis(y, pick + side, axis=-1)[..., 0] for side in (0, 1))
    rises = end > start
    t, value, half = np.zeros_like(start), start, 0.5
    for _ in range(BISECTIONS):
        middle = t + half
        value = start + middle * (linear + middle * (square + middle * cube))
        t = np.where((value < level) == rises, middle, t)
        half /= 2
    place = np.take_along_axis(x, pick, axis=-1)[..., 0] + t * step
    return np.where(np.isfinite(value), place, np.nan)  # no comparison holds of NaN, which would be taken for an answer


def _coefficients(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Each segment's width, and its cubic's coefficients in t, which goes from 0 to 1 (…×(P-1) each)."""
    step, rise = np.diff(x), np.diff(y)
    slope = slopes(x, y)
    start, stop = step * slope[..., :-1], step * slope[..., 1:]
    return step, start, 3 * rise - 2 * start - stop, start + stop - 2 * rise
