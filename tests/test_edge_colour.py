"""Colours of points in coarse levels."""

from __future__ import annotations

import numpy as np

from vcmbench.codecs.edge.colour import LIMITS, STEPS, quantise, reconstruct


def test_colours_come_back_within_half_a_step() -> None:
    """Every colour is rebuilt to within what half a step of each level moves it."""
    values = np.arange(0.0, 256.0, 15.0)
    colours = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    y, cb, cr = STEPS
    worst = 0.5 * np.array([y + 1.402 * cr, y + 0.344136 * cb + 0.714136 * cr, y + 1.772 * cb]) + 0.5
    inside = np.all((quantise(colours) > np.array(LIMITS)[:, 0]) & (quantise(colours) < np.array(LIMITS)[:, 1]), axis=1)
    assert inside.mean() > 0.95
    assert (np.abs(reconstruct(quantise(colours)) - colours)[inside] <= worst).all()


def test_levels_come_back() -> None:
    """What is rebuilt from levels is quantised to the same levels."""
    planes = [np.arange(lowest, highest + 1) for lowest, highest in LIMITS]
    levels = np.stack(np.meshgrid(*planes), axis=-1).reshape(-1, 3).astype(np.int32)
    assert np.array_equal(quantise(reconstruct(levels).astype(np.float64)), levels)


def test_grey_has_no_chroma() -> None:
    """Levels without chroma are rebuilt as greys a step apart."""
    levels = np.zeros((20, 3), np.int32)
    levels[:, 0] = np.arange(20)
    assert np.array_equal(reconstruct(levels), STEPS[0] * np.repeat(levels[:, :1], 3, axis=1))


def test_colours_beyond_the_limits_are_brought_inside() -> None:
    """Fitted colours far over black and white have the outermost levels."""
    levels = quantise(np.array([(1e4, 1e4, 1e4), (-1e4, -1e4, -1e4), (1e4, -1e4, -1e4)]))
    lowest, highest = np.transpose(LIMITS)
    assert (levels >= lowest).all()
    assert (levels <= highest).all()
    assert levels[:2, 0].tolist() == [LIMITS[0][1], LIMITS[0][0]]


def test_the_golden_colours() -> None:
    """The whole numbers that a few levels are rebuilt to are those of every machine."""
    levels = np.array([(0, 0, 0), (42, 0, 0), (18, -1, 2), (20, -16, 16), (48, 16, -16), (-6, 3, -5)], np.int32)
    assert reconstruct(levels).tolist() == [
        [0, 0, 0],
        [252, 252, 252],
        [130, 99, 94],
        [299, 73, -107],
        [109, 335, 515],
        [-92, -16, 7],
    ]
