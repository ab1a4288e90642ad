"""Edges become chains, and images strokes within a budget."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from vcmbench.codecs.edge.geometry import Raster
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.stroke_coding import write_strokes
from vcmbench.codecs.edge.tracing import DEFAULT_BUDGET, strokes_of, trace
from vcmbench.interfaces import Image

FACE: Image = np.ascontiguousarray(astronaut()[:256, 96:352])  # type: ignore[no-untyped-call]  # scikit-image has no type hints


def drawn(picture: str) -> Raster:
    """A raster from rows of dots and crosses."""
    return np.array([[sign == "x" for sign in row] for row in picture.split()])


def traced(picture: str) -> list[list[list[int]]]:
    return [chain.tolist() for chain in trace(drawn(picture))]


def bits(image: Image, budget: int) -> int:
    return 8 * len(write_strokes(strokes_of(image, budget), *image.shape[:2]))


# ---------------------------------------------------------------------------------------------------------- chains


def test_a_line_is_one_chain_from_end_to_end() -> None:
    """An open line is traced from one of its ends, wherever the scan meets it first."""
    (chain,) = traced("...x. ..x.x .x... x....")
    assert chain in ([[3, 0], [2, 1], [1, 2], [0, 3], [1, 4]], [[1, 4], [0, 3], [1, 2], [2, 1], [3, 0]])


def test_a_loop_is_closed() -> None:
    """A closed line ends at the pixel where it began."""
    (chain,) = traced(".xx. x..x x..x .xx.")
    assert chain[0] == chain[-1]
    assert len({tuple(pixel) for pixel in chain}) == len(chain) - 1 == 8


def test_where_lines_cross_each_goes_straight_on() -> None:
    """A cross gives two lines, not two angles."""
    chains = traced("...x... ...x... ...x... xxxxxxx ...x... ...x... ...x...")
    whole = next(chain for chain in chains if len(chain) == 7)
    assert len({row for row, _ in whole}) == 1 or len({column for _, column in whole}) == 1


def test_a_branch_ends_on_the_line_that_it_meets() -> None:
    """A T has a bar and a stem, and the stem's end is a pixel of the bar."""
    chains = traced("xxxxxxxxx ....x.... ....x.... ....x.... ....x....")
    stem = next(chain for chain in chains if [4, 4] in chain)
    assert [0, 4] in stem or [1, 4] in stem
    assert {tuple(pixel) for chain in chains for pixel in chain} == {
        *((0, column) for column in range(9)),
        *((row, 4) for row in range(5)),
    }


def test_short_chains_are_left_out() -> None:
    """A chain of fewer pixels than wanted is none."""
    raster = drawn("xxxx.... ........ xxxxxxxx")
    assert [len(chain) for chain in trace(raster, 5)] == [8]
    assert sorted(len(chain) for chain in trace(raster, 4)) == [4, 8]


def test_every_edge_pixel_is_traced() -> None:
    """On random pixels all that have a neighbour are in a chain, and successive pixels of a chain are neighbours."""
    raster = np.random.default_rng(0).random((60, 70)) < 0.3
    chains = trace(raster)
    covered = np.zeros_like(raster)
    for chain in chains:
        covered[chain[:, 0], chain[:, 1]] = True
        assert np.abs(np.diff(chain, axis=0)).max(axis=1).tolist() == [1] * (len(chain) - 1)
    assert not (covered & ~raster).any()
    padded = np.pad(raster, 1).astype(int)
    neighbours = (
        np.sum([np.roll(padded, (r, c), (0, 1)) for r in (-1, 0, 1) for c in (-1, 0, 1)], axis=0)[1:-1, 1:-1] - raster
    )
    assert covered[raster & (neighbours > 0)].all()


def test_an_empty_raster_has_no_chain() -> None:
    """Without edges there is nothing to trace."""
    assert trace(np.zeros((32, 40), np.bool_)) == []


# --------------------------------------------------------------------------------------------------------- strokes


def test_the_default_budget_is_kept() -> None:
    """The strokes of a face cost, coded, what the budget says, within a twelfth."""
    for budget in (30, 45, DEFAULT_BUDGET):
        assert bits(FACE, budget) == pytest.approx(budget * 65.536, rel=1 / 12)


def test_more_budget_buys_more() -> None:
    """Rate and pixels on strokes rise with the budget; 0 buys nothing."""
    budgets = (0, 15, 30, DEFAULT_BUDGET)
    assert not strokes_of(FACE, 0)
    rates = [bits(FACE, budget) for budget in budgets]
    covered = [rasterise(strokes_of(FACE, budget), 256, 256).sum() for budget in budgets]
    assert rates == sorted(set(rates))
    assert covered == sorted(set(covered))


def test_strokes_keep_their_contract() -> None:
    """Vertices are int32, inside the image, at least two, and none equals the one before."""
    for stroke in strokes_of(FACE, 200):
        assert stroke.dtype == np.int32
        assert stroke.shape[0] >= 2
        assert stroke.min() >= 0
        assert stroke.max() < 256
        assert np.diff(stroke, axis=0).any(axis=1).all()


def test_the_same_image_gives_the_same_strokes() -> None:
    """Nothing is left to chance."""
    once, again = strokes_of(FACE), strokes_of(FACE.copy())
    assert [stroke.tolist() for stroke in once] == [stroke.tolist() for stroke in again]


@pytest.mark.parametrize("shape", [(32, 32), (200, 313), (32, 1024), (1024, 32), (64, 64), (1024, 1024)])
@pytest.mark.parametrize("kind", ["face", "noise", "one colour"])
def test_any_image_has_strokes_within_its_size(shape: tuple[int, int], kind: str) -> None:
    """Portraits of every size, noise and one colour give strokes inside the image, and one colour none.

    The smallest image needs more than the default budget, which is seven bytes there.
    """
    height, width = shape
    tiled = np.tile(FACE, (4, 4, 1))[:height, :width]
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = {"face": tiled, "noise": noise, "one colour": np.full((height, width, 3), 90, np.uint8)}[kind]
    strokes = strokes_of(np.ascontiguousarray(image), max(DEFAULT_BUDGET, 128 * 1024 // (height * width)))
    rasterise(strokes, height, width)
    assert bool(strokes) == (kind != "one colour")
    assert all((stroke >= 0).all() and (stroke < shape).all() for stroke in strokes)
