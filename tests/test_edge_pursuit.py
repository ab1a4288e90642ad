"""Matching pursuit: where the next points help most."""

from __future__ import annotations

import numpy as np
import pytest

from vcmbench.codecs.edge.diffusion import link_pyramid
from vcmbench.codecs.edge.pursuit import Floats, Places, pursue

ROWS, COLUMNS = SHAPE = (48, 64)


def bumps(*middles: tuple[int, int]) -> Floats:
    """Return 1×rows×columns: a smooth hill around each middle."""
    rows, columns = np.indices(SHAPE)
    hills = [np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 40) for row, column in middles]
    return np.asarray(np.stack(hills).sum(axis=0, keepdims=True), np.float32)


def test_places_are_parted_by_strokes() -> None:
    """Blocks of 2×2 are places, except those that a stroke divides."""
    raster = np.zeros(SHAPE, np.bool_)
    assert len(Places.of(link_pyramid(raster)[0], SHAPE).sizes) == ROWS * COLUMNS / 4
    raster[:, 20] = True
    places = Places.of(link_pyramid(raster)[0], SHAPE)
    assert len(places.sizes) > ROWS * COLUMNS / 4
    assert places.sizes.sum() == ROWS * COLUMNS
    assert np.array_equal(np.bincount(places.of_cell.ravel()), places.sizes)


def test_coarse_places_cover_all_cells() -> None:
    """Places of blocks of 2×2 cells have 16 cells each, and the same middles as the cells."""
    shape = (47, 63)
    coarse = Places.of(link_pyramid(np.zeros(shape, np.bool_))[1], shape)
    assert coarse.of_cell.shape == shape
    assert coarse.sizes.sum() == 47 * 63
    assert coarse.sizes.max() == 16
    rows, columns = np.nonzero(coarse.of_cell == coarse.of_cell[20, 20])
    assert coarse.middles[coarse.of_cell[20, 20]] == rows.mean() + 1j * columns.mean()


@pytest.mark.parametrize("level", [0, 1])
def test_the_places_that_make_a_picture_are_found(level: int) -> None:
    """Of what three places diffuse into, the same three are told, whether the norms are estimated or not."""
    links = link_pyramid(np.random.default_rng(0).random(SHAPE) < 0.01)[level]
    places = Places.of(links, SHAPE)
    hold = 0.05 * places.sizes
    wanted = [places.of_cell[at] for at in ((10, 12), (34, 20), (20, 50))]
    sources = np.zeros((len(hold), 1), np.float32)
    sources[wanted] = 1
    chosen, left = pursue(places, hold, places.solver(hold)(sources), np.ones(len(hold), np.bool_), 3)
    assert sorted(chosen) == sorted(wanted)
    assert np.abs(left).max() < 1e-4


def test_more_points_leave_less() -> None:
    """What is left of a picture falls with the number of points, also where several are chosen at a time."""
    places = Places.of(link_pyramid(np.zeros(SHAPE, np.bool_))[0], SHAPE)
    error = places.summed(bumps((10, 12), (34, 20), (20, 50), (40, 40))) / places.sizes[:, None]
    nothing, everywhere = np.zeros(len(error), np.float32), np.ones(len(error), np.bool_)
    left = []
    for count in (1, 5, 15, 40, 82):
        chosen, rest = pursue(places, nothing, error, everywhere, count)
        assert len(set(chosen.tolist())) == count
        left.append(float((rest**2).sum()))
    assert (np.diff(left) < 0).all()
    assert left[-1] < 0.05 * left[0]


def test_points_chosen_at_a_time_are_apart() -> None:
    """Of the best places, those that are taken together are far from each other."""
    places = Places.of(link_pyramid(np.zeros(SHAPE, np.bool_))[0], SHAPE)
    scores = places.summed(bumps((10, 12), (12, 20), (34, 50)) + 0.1)[:, 0]
    together = places.apart(scores, 4)
    assert together[0] == np.argmax(scores)
    middles = np.array([places.middles[place] for place in together])
    assert len(together) == 1 or (np.abs(middles[:, None] - middles)[np.triu_indices(len(middles), 1)] >= 12).all()


def test_only_free_places_are_taken() -> None:
    """A point is never put where none may be."""
    places = Places.of(link_pyramid(np.zeros(SHAPE, np.bool_))[0], SHAPE)
    error = places.summed(bumps((10, 12)))
    free = np.zeros(len(places.sizes), np.bool_)
    free[::40] = True
    chosen, _ = pursue(places, np.zeros(len(free), np.float32), error, free, 12)
    assert free[chosen].all()
