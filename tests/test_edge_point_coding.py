"""The edge codec's points as bits: every layer comes back exactly, cheaply, and nothing else is accepted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.colour import LIMITS
from vcmbench.codecs.edge.geometry import COUNTS, LARGEST, SMALLEST, Points, grid_shape
from vcmbench.codecs.edge.point_coding import code_points, read_points, write_points
from vcmbench.codecs.edge.point_levels import GROUPS
from vcmbench.codecs.edge.range_coder import PRECISION
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import BitstreamError

FACE = np.ascontiguousarray(astronaut()[:256, 100:356])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
NONE = Points(np.zeros((0, 2), np.int32), np.zeros((0, 3), np.int32))


def in_reading_order(points: Points) -> Points:
    """Sort by row, then by column."""
    order = np.lexsort(points.cells.T[::-1])
    return Points(points.cells[order], points.levels[order])


def confetti(random: np.random.Generator, shape: tuple[int, int], count: int) -> Points:
    """Scatter points of all colours over a grid of cells."""
    cells = np.stack(np.unravel_index(random.permutation(math.prod(shape))[:count], shape), axis=1)
    lowest, highest = np.transpose(LIMITS)
    return Points(cells.astype(np.int32), random.integers(lowest, highest + 1, (count, 3)).astype(np.int32))


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(*[st.sampled_from([SMALLEST, 33, 100, 256, LARGEST])] * 2),
    st.integers(0, len(COUNTS) - 1),
    st.floats(0, 0.3),
    st.integers(0, 1 << 32),
)
def test_any_layer_comes_back(size: tuple[int, int], layer: int, density: float, seed: int) -> None:
    """Points of all colours, in images of every shape, come back in reading order, and their layer ends by itself."""
    random = np.random.default_rng(seed)
    raster = random.random(size) < density
    first, last = (0, *COUNTS)[layer], COUNTS[layer]
    points = confetti(random, grid_shape(*size), last)
    earlier, written = points.first(first), Points(points.cells[first:], points.levels[first:])
    coded = write_points(written, earlier, raster)
    back, end = read_points(coded + b"\xa5\x5a", 0, last - first, earlier, raster)
    wanted = in_reading_order(written)
    assert end == len(coded)
    assert np.array_equal(back.cells, wanted.cells)
    assert np.array_equal(back.levels, wanted.levels)


def test_the_order_of_a_layer_is_free() -> None:
    """The same points give the same bytes in any order."""
    points = confetti(np.random.default_rng(0), grid_shape(256, 256), COUNTS[2])
    raster = np.zeros((256, 256), np.bool_)
    backwards = Points(points.cells[::-1], points.levels[::-1])
    assert write_points(backwards, NONE, raster) == write_points(points, NONE, raster)


def test_the_priors_fit_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped priors save a sixth of a portrait's bits or more over contexts that know nothing."""
    raster = rasterise(strokes_of(FACE), 256, 256)
    points = choose(FACE, raster, COUNTS[1])
    trained = len(write_points(points, NONE, raster))
    flat = {group: [1 << PRECISION - 1] * math.prod(shape) for group, shape in GROUPS.items()}
    monkeypatch.setattr(priors, "load", {"point": flat}.__getitem__)
    assert trained <= len(write_points(points, NONE, raster)) * 5 / 6


def test_the_priors_have_every_context() -> None:
    """The shipped file has a probability for each context."""
    shipped = priors.load("point")
    assert {group: len(prior) for group, prior in shipped.items()} == {
        group: math.prod(shape) for group, shape in GROUPS.items()
    }
    assert all(0 < probability < 1 << PRECISION for prior in shipped.values() for probability in prior)


@settings(deadline=None)
@given(
    st.binary(max_size=600),
    st.sampled_from([(SMALLEST, SMALLEST), (33, 200), (256, 256)]),
    st.integers(0, len(COUNTS) - 1),
)
def test_random_bytes_are_refused_or_decoded(stream: bytes, size: tuple[int, int], layer: int) -> None:
    """Whatever the bytes, there is an error or as many points as asked for, on free cells and in colours that can be."""
    first, last = (0, *COUNTS)[layer], COUNTS[layer]
    earlier = confetti(np.random.default_rng(1), grid_shape(*size), first)
    try:
        points, _ = read_points(stream, 0, last - first, earlier, np.zeros(size, np.bool_))
    except BitstreamError:
        return
    cells = np.concatenate([earlier.cells, points.cells])
    assert len(points) == last - first
    assert len(np.unique(cells, axis=0)) == len(cells)
    assert (cells < grid_shape(*size)).all()
    lowest, highest = np.transpose(LIMITS)
    assert (points.levels >= lowest).all()
    assert (points.levels <= highest).all()


def test_missing_points_are_refused() -> None:
    """A layer in which no square has a point raises an error, as it is read for some."""
    raster = np.zeros((SMALLEST, SMALLEST), np.bool_)
    with pytest.raises(BitstreamError, match="points are missing"):
        code_points(lambda _value, _context: 0, None, COUNTS[0], NONE, raster)
