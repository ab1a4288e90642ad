"""Polylines stay near the chains that they stand for, with few vertices."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from vcmbench.codecs.edge import polyline
from vcmbench.codecs.edge.geometry import Stroke


def chain(*places: tuple[int, int]) -> Stroke:
    return np.array(places, np.int32)


def curve(length: int, bend: float) -> Stroke:
    """Pixels along a wave."""
    columns = np.arange(length)
    rows = np.rint(30 + bend * np.sin(columns / 9))
    points = np.stack((rows, columns), axis=1).astype(np.int32)
    corners = [np.linspace(one, other, 1 + np.abs(other - one).max())[:-1] for one, other in pairwise(points)]
    chain: Stroke = np.rint(np.concatenate([*corners, points[-1:]])).astype(np.int32)
    return chain


def deviations(pixels: Stroke, path: list[int]) -> list[float]:
    """How far each pixel is from the segment that stands for it."""
    found = []
    for first, last in pairwise(path):
        origin, along = pixels[first], (pixels[last] - pixels[first]).astype(float)
        share = np.clip((pixels[first : last + 1] - origin) @ along / (along @ along), 0, 1)
        found += np.linalg.norm(pixels[first : last + 1] - origin - share[:, None] * along, axis=1).tolist()
    return found


def test_a_straight_chain_is_one_segment() -> None:
    """Pixels on a line, also a slanted one, need their two ends alone."""
    assert polyline.fit([chain(*((7, column) for column in range(40)))])[0].tolist() == [0, 39]
    assert polyline.fit([chain(*((column // 3, column) for column in range(31)))])[0].tolist() == [0, 30]


def test_a_corner_is_a_vertex() -> None:
    """A right angle keeps its corner."""
    angle = chain(*((0, column) for column in range(21)), *((row, 20) for row in range(1, 21)))
    assert polyline.fit([angle])[0].tolist() == [0, 20, 40]


@pytest.mark.parametrize("bend", [2, 6, 15])
def test_the_polyline_is_near_the_chain(bend: float) -> None:
    """No pixel is farther off than the tolerance, its ends stay, and it has fewer vertices than Douglas and Peucker's."""
    pixels = curve(120, bend)
    path = polyline.fit([pixels])[0].tolist()
    assert (path[0], path[-1]) == (0, len(pixels) - 1)
    assert path == sorted(set(path))
    assert max(deviations(pixels, path)) <= 1.5 + 1e-9
    opponent = cv2.approxPolyDP(np.ascontiguousarray(pixels[:, None]), 1.0, closed=False)
    assert len(path) < len(opponent)


def test_chains_do_not_touch_each_other() -> None:
    """Fitted together or alone, in any order, a chain has the same polyline, also a closed or short one."""
    loop = chain((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    chains = [chain((5, 5), (6, 6)), curve(90, 5), loop, curve(40, 9), chain((0, 0), (0, 1), (1, 0))]
    together = [path.tolist() for path in polyline.fit(chains)]
    assert together == [polyline.fit([each])[0].tolist() for each in chains]
    assert together == [path.tolist() for path in polyline.fit(chains[::-1])][::-1]
    assert together[0] == [0, 1]
    assert all((np.diff(each[path], axis=0) != 0).any(axis=1).all() for each, path in zip(chains, together, strict=True))


def test_nothing_to_fit() -> None:
    """Without chains there are no polylines."""
    assert polyline.fit([]) == []


def test_a_hairpin_is_kept() -> None:
    """A chain that turns back on itself keeps its far end."""
    hairpin = chain(*((0, column) for column in range(20)), *((1, column) for column in range(20, -1, -1)))
    ends = hairpin[polyline.fit([hairpin])[0]]
    assert ends[:, 1].max() >= 19
