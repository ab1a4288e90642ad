"""Polylines become the same pixels everywhere."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vcmbench.codecs.edge.geometry import Stroke
from vcmbench.codecs.edge.rasterise import rasterise

HEIGHT, WIDTH = 40, 50

vertices = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1))
polylines = st.lists(vertices, min_size=2, max_size=6).filter(
    lambda line: all(one != other for one, other in pairwise(line))
)


def stroke(*places: tuple[int, int]) -> Stroke:
    return np.array(places, np.int32)


def pixels(*places: tuple[int, int]) -> list[list[int]]:
    return np.argwhere(rasterise([stroke(*places)], HEIGHT, WIDTH)).tolist()


def test_a_segment_is_the_pixels_nearest_to_it() -> None:
    """A flat, a steep and a diagonal segment have the pixels that one would draw by hand."""
    assert pixels((2, 3), (2, 6)) == [[2, 3], [2, 4], [2, 5], [2, 6]]
    assert pixels((1, 1), (5, 2)) == [[1, 1], [2, 1], [3, 2], [4, 2], [5, 2]]
    assert pixels((4, 1), (1, 4)) == [[1, 4], [2, 3], [3, 2], [4, 1]]


def test_of_two_pixels_equally_near_the_larger_row_or_column_is_taken() -> None:
    """The middle of a segment that falls between two pixels goes down or right, whichever way it is drawn."""
    assert pixels((0, 0), (1, 2)) == pixels((1, 2), (0, 0)) == [[0, 0], [1, 1], [1, 2]]
    assert pixels((0, 1), (2, 0)) == pixels((2, 0), (0, 1)) == [[0, 1], [1, 1], [2, 0]]


@given(polylines)
def test_a_strokes_direction_does_not_matter(line: list[tuple[int, int]]) -> None:
    """Backwards a stroke has the same pixels."""
    assert pixels(*line) == pixels(*reversed(line))


@given(vertices, vertices)
def test_every_pixel_is_near_the_line(start: tuple[int, int], end: tuple[int, int]) -> None:
    """A segment has one pixel for each step of its longer side, at most half a pixel off, and both ends."""
    if start == end:
        return
    found = np.array(pixels(start, end))
    span = np.subtract(end, start)
    longer = int(np.abs(span).argmax())
    assert len(found) == abs(span[longer]) + 1
    exact = start[1 - longer] + (found[:, longer] - start[longer]) * span[1 - longer] / span[longer]
    assert np.abs(found[:, 1 - longer] - exact).max() <= 0.5
    assert {start, end} <= {tuple(pixel) for pixel in found.tolist()}


def test_strokes_are_drawn_together() -> None:
    """The raster of several strokes is the union of theirs; without any it is empty."""
    one, other = stroke((0, 0), (9, 30), (39, 49)), stroke((39, 0), (0, 49))
    both = rasterise([one, other], HEIGHT, WIDTH)
    assert np.array_equal(both, rasterise([one], HEIGHT, WIDTH) | rasterise([other], HEIGHT, WIDTH))
    assert not rasterise([], HEIGHT, WIDTH).any()


def test_the_raster_is_frozen() -> None:
    """A fan of many slopes gives the pixels that it gave when the format was fixed."""
    fan = [stroke((500, 500), (row, 1023)) for row in range(0, 1024, 7)]
    fan += [stroke((500, 500), (0, column)) for column in range(0, 1024, 11)]
    raster = rasterise(fan, 1024, 1024)
    assert hashlib.sha256(np.packbits(raster).tobytes()).hexdigest()[:16] == "da0f2b174050e0e8"
