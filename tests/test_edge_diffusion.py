"""The edge codec's classical decoder: colours spread until they meet a stroke, in pictures of any size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from vcmbench.codecs.edge.diffusion import HOLD, LEAK, Cells, Equations, Plane, diffuse, held, link_pyramid, reached
from vcmbench.codecs.edge.mean_portrait import mean_portrait

RED, BLUE = (200, 30, 20), (10, 60, 220)
SIZES = [(32, 32), (33, 47), (200, 313), (32, 1024), (256, 256)]


def points(*places: tuple[int, int]) -> Cells:
    """Return cells as the decoder takes them."""
    return np.array(places, np.int32).reshape(-1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_one_colour_fills_the_picture(size: tuple[int, int]) -> None:
    """A single point gives every pixel its colour, whatever the size."""
    picture = diffuse(np.zeros(size, np.bool_), points((3, 5)), np.array([RED]), *size)
    assert picture.shape == (*size, 3)
    assert np.abs(picture - RED).max() < 2


def test_a_stroke_parts_two_colours() -> None:
    """The colours on the two sides of a stroke differ by more than half of what the points' colours do, at its very edge."""
    raster = np.zeros((256, 256), np.bool_)
    raster[:, 128] = True
    picture = diffuse(raster, points((32, 16), (32, 48)), np.array([RED, BLUE]), 256, 256)
    step = picture[60:200, 126] - picture[60:200, 130]
    assert (step / np.subtract(RED, BLUE)).min() > 0.5


def test_without_a_stroke_two_colours_blend() -> None:
    """Between two points the colour changes by little from one pixel to the next."""
    picture = diffuse(np.zeros((256, 256), np.bool_), points((32, 16), (32, 48)), np.array([RED, BLUE]), 256, 256)
    assert np.abs(np.diff(picture[:, 76:180], axis=1)).max() < 8
    assert 60 < picture[130, 128, 0] < 150


def test_colours_stay_between_black_and_white() -> None:
    """Levels over black and white are cut off."""
    picture = diffuse(np.zeros((64, 64), np.bool_), points((2, 2), (30, 30)), np.array([(-30,) * 3, (300,) * 3]), 64, 64)
    assert picture.min() == 0
    assert picture.max() == 255


@pytest.mark.parametrize("size", SIZES)
def test_without_points_there_is_the_mean_portrait(size: tuple[int, int]) -> None:
    """With neither points nor strokes, what is seen is near the mean portrait: a face lighter than what is around it."""
    picture = diffuse(np.zeros(size, np.bool_), points(), np.zeros((0, 3)), *size)
    assert np.abs(picture - mean_portrait(*size)).mean() < 12
    rows, columns = size[0] // 2, size[1] // 2
    assert picture[rows, columns].sum() > picture[0, 0].sum() + 60


def test_without_points_strokes_are_shaded() -> None:
    """In a sketch, a stroke is darker than what is beside it, and parts the tones."""
    raster = np.zeros((256, 256), np.bool_)
    raster[60:200, 128] = True
    sketch, plain = (diffuse(each, points(), np.zeros((0, 3)), 256, 256) for each in (raster, np.zeros_like(raster)))
    assert (sketch[80:180, 128] < plain[80:180, 128] - 5).all()
    assert np.abs(sketch[:, :100] - plain[:, :100]).max() < 30


def test_the_mean_portrait_is_nobodys() -> None:
    """The mean portrait has so little detail that half its rows and columns tell the same, and is alike left and right."""
    mean = mean_portrait(32, 32)
    assert np.abs(mean - mean[:, ::-1]).max() < 2
    assert np.abs(np.diff(mean, axis=0)).max() < 40


def test_the_equations_are_solved() -> None:
    """What the grids give is near to the solution of the linear system, and one more pass is nearer."""
    random = np.random.default_rng(0)
    pyramid = link_pyramid(random.random((32, 32)) < 0.1)
    hold = np.where(random.random((32, 32)) < 0.02, np.float32(HOLD), np.float32(0))
    source = (hold * random.random((1, 32, 32)) * 255).astype(np.float32)
    wanted = np.linalg.solve(dense_matrix(pyramid[0].across, pyramid[0].down, hold), source.ravel()).reshape(32, 32)
    once, twice = (np.abs(Equations.of(pyramid, hold).solved(source, passes)[0] - wanted).mean() for passes in (1, 2))
    assert twice < 0.6 * once < 5


def dense_matrix(across: Plane, down: Plane, hold: Plane) -> npt.NDArray[np.float64]:
    """Write the system of a small grid down, link by link."""
    rows, columns = hold.shape
    matrix = np.diag(hold.ravel().astype(float))
    for row in range(rows):
        for column in range(columns):
            here = row * columns + column
            for there, conductance in (
                (here + 1, across[row, column] if column + 1 < columns else 0),
                (here + columns, down[row, column] if row + 1 < rows else 0),
            ):
                if conductance:
                    matrix[here, here] += conductance
                    matrix[there, there] += conductance
                    matrix[here, there] -= conductance
                    matrix[there, here] -= conductance
    return matrix


def test_links_leak_at_strokes() -> None:
    """Two pixels of which one is on a stroke are nearly parted, others are joined; coarser links keep the barrier."""
    raster = np.zeros((64, 64), np.bool_)
    raster[:, 31] = True
    finest, coarser, *_ = link_pyramid(raster)
    assert finest.across[0, 30] == finest.across[0, 31] == np.float32(LEAK)
    assert finest.across[0, 29] == 1
    assert coarser.shape == (32, 32)
    assert coarser.across[:, 15].max() < 4 * LEAK
    assert coarser.across[:, 2].min() > 0.9


def test_reaching_is_symmetric() -> None:
    """As much reaches one cell from another as the other way, which the fit of colours relies on."""
    random = np.random.default_rng(1)
    links = link_pyramid(random.random((40, 40)) < 0.2)[0]
    one, other = random.random((2, 1, 40, 40)).astype(np.float32)
    assert np.isclose((reached(links, one) * other).sum(), (one * reached(links, other)).sum(), rtol=1e-4)
    assert held(links, points((4, 4)), np.ones((1, 2)))[0, 4, 4] >= HOLD
