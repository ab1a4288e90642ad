"""The edge codec's strokes as bits: the set comes back exactly, cheaply, and nothing else is accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.geometry import LARGEST, SMALLEST, Stroke
from vcmbench.codecs.edge.range_coder import PRECISION
from vcmbench.codecs.edge.stroke_coding import GROUPS, ZONES, most_steps, most_vertices, read_strokes, write_strokes
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import BitstreamError

FACE = np.ascontiguousarray(astronaut()[:256, 100:356])  # type: ignore[no-untyped-call]  # scikit-image has no type hints


def as_set(strokes: Sequence[Stroke]) -> list[list[list[int]]]:
    """Forget the strokes' order and directions."""
    return sorted(min(stroke.tolist(), stroke[::-1].tolist()) for stroke in strokes)


def length(strokes: Sequence[Stroke]) -> int:
    """Count the pixels' steps along strokes."""
    return sum(int(np.abs(np.diff(stroke, axis=0)).max(axis=1).sum()) for stroke in strokes)


@st.composite
def drawings(draw: st.DrawFn) -> tuple[int, int, list[Stroke]]:
    """Draw a size and strokes inside it: some of short steps, as in pictures, others of steps across it."""
    height, width = (draw(st.sampled_from([SMALLEST, 33, 100, 256, LARGEST])) for _ in range(2))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    strokes: list[Stroke] = []
    for longest in draw(st.lists(st.sampled_from([1, 3, 12, 60, LARGEST]), max_size=8)):
        steps = random.integers(-longest, longest + 1, (random.integers(2, 20), 2))
        path = np.clip(np.cumsum([random.integers(0, (height, width)), *steps], axis=0), 0, (height - 1, width - 1))
        stroke = path[np.append(True, np.diff(path, axis=0).any(axis=1))].astype(np.int32)
        if len(stroke) > 1 and length([*strokes, stroke]) <= most_steps(height, width):
            strokes.append(stroke)
    return height, width, strokes


@settings(deadline=None)
@given(drawings())
def test_any_strokes_come_back(drawing: tuple[int, int, list[Stroke]]) -> None:
    """Strokes of every kind, in images of every shape, come back vertex by vertex, and their layer ends by itself."""
    height, width, strokes = drawing
    layer = write_strokes(strokes, height, width)
    back, end = read_strokes(layer + b"\xa5\x5a", 0, height, width)
    assert as_set(back) == as_set(strokes)
    assert end == len(layer)


def test_order_and_direction_are_free() -> None:
    """The same set gives the same bytes in any order, each stroke from either end."""
    strokes = strokes_of(FACE)
    shuffled = [strokes[place] for place in np.random.default_rng(0).permutation(len(strokes))]
    turned = [stroke[::-1] if place % 2 else stroke for place, stroke in enumerate(shuffled)]
    assert len(strokes) > 20
    assert write_strokes(turned, 256, 256) == write_strokes(strokes, 256, 256)


@pytest.mark.parametrize(("side", "most"), [(SMALLEST, 4), (256, 8), (LARGEST, 24)])
def test_no_strokes_cost_next_to_nothing(side: int, most: int) -> None:
    """An image without strokes has a layer of few bytes."""
    layer = write_strokes([], side, side)
    assert read_strokes(layer, 0, side, side) == ([], len(layer))
    assert len(layer) <= most


def test_the_priors_fit_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped priors save a twelfth of a portrait's bits or more over contexts that know nothing."""
    strokes = strokes_of(FACE)
    trained = len(write_strokes(strokes, 256, 256))
    flat = {group: [1 << PRECISION - 1] * math.prod(shape) for group, shape in GROUPS.items()} | {"zones": [0] * ZONES**2}
    monkeypatch.setattr(priors, "load", {"stroke": flat}.__getitem__)
    assert trained <= len(write_strokes(strokes, 256, 256)) * 11 / 12


def test_the_priors_have_every_context() -> None:
    """The shipped file has a probability for each context, and a class for each zone."""
    shipped = priors.load("stroke")
    assert {group: len(prior) for group, prior in shipped.items()} == {
        "zones": ZONES**2,
        **{group: math.prod(shape) for group, shape in GROUPS.items()},
    }
    assert set(shipped["zones"]) <= set(range(GROUPS["begin"][0]))
    assert all(0 < probability < 1 << PRECISION for group in GROUPS for probability in shipped[group])


def test_more_vertices_than_can_be_read_are_refused() -> None:
    """What a reader would refuse is not written."""
    side = SMALLEST
    zigzag = np.array([(place % 2, place % side) for place in range(most_vertices(side, side))], np.int32)
    assert as_set(read_strokes(write_strokes([zigzag], side, side), 0, side, side)[0]) == as_set([zigzag])
    with pytest.raises(ValueError, match="more than 128 vertices"):
        write_strokes([zigzag, zigzag[:2]], side, side)


def test_longer_strokes_than_can_be_read_are_refused() -> None:
    """To and fro across the image is allowed as often as it has rows, for the time to draw it must be bounded."""
    side = SMALLEST
    across = np.array([(0, (side - 1) * (place % 2)) for place in range(side)], np.int32)
    assert as_set(read_strokes(write_strokes([across], side, side), 0, side, side)[0]) == as_set([across])
    with pytest.raises(ValueError, match="longer than 1024 pixels"):
        write_strokes([across, across], side, side)


@settings(deadline=None)
@given(st.binary(max_size=600), st.sampled_from([(SMALLEST, SMALLEST), (33, 200), (256, 256)]))
def test_random_bytes_are_refused_or_decoded(stream: bytes, size: tuple[int, int]) -> None:
    """Whatever the bytes, there is an error or strokes inside the image, no more than are allowed."""
    try:
        strokes, _ = read_strokes(stream, 0, *size)
    except BitstreamError:
        return
    assert sum(map(len, strokes)) <= most_vertices(*size)
    for stroke in strokes:
        assert len(stroke) >= 2
        assert (stroke >= 0).all()
        assert (stroke < size).all()
        assert np.diff(stroke, axis=0).any(axis=1).all()
