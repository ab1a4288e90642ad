"""Chains that end beside each other become one."""

from __future__ import annotations

import numpy as np

from vcmbench.codecs.edge.geometry import Stroke
from vcmbench.codecs.edge.joining import join


def line(start: tuple[int, int], step: tuple[int, int], count: int) -> Stroke:
    return np.array([(start[0] + place * step[0], start[1] + place * step[1]) for place in range(count)], np.int32)


def are_neighbours(chain: Stroke) -> bool:
    return bool((np.abs(np.diff(chain, axis=0)).max(axis=1) == 1).all())


def test_chains_end_to_end_become_one_whichever_way_they_run() -> None:
    """Three pieces of a line with gaps of up to two pixels between them are one chain from end to end."""
    pieces = [line((5, 0), (0, 1), 10), line((5, 19), (0, -1), 9), line((6, 22), (0, 1), 8)]
    (joined,) = join(pieces)
    assert are_neighbours(joined)
    assert sorted((tuple(joined[0]), tuple(joined[-1]))) == [(5, 0), (6, 29)]
    assert {tuple(pixel) for piece in pieces for pixel in piece} <= {tuple(pixel) for pixel in joined}


def test_a_shared_end_is_not_doubled() -> None:
    """Where one chain begins at the other's last pixel that pixel comes once."""
    (joined,) = join([line((5, 0), (0, 1), 10), line((5, 9), (1, 0), 10)])
    assert len(joined) == 19
    assert are_neighbours(joined)


def test_distant_ends_stay_apart() -> None:
    """Chains whose ends are farther apart than the reach are left as they are."""
    pieces = [line((5, 0), (0, 1), 10), line((5, 14), (0, 1), 10), line((30, 0), (0, 1), 10)]
    assert [chain.tolist() for chain in join(pieces)] == [piece.tolist() for piece in pieces]


def test_where_three_meet_the_straight_ones_are_joined() -> None:
    """Of three chains that end beside each other the two on one line become one."""
    stem = line((8, 10), (1, 0), 12)
    joined = join([stem, line((7, 0), (0, 1), 10), line((7, 11), (0, 1), 10)])
    assert sorted(len(chain) for chain in joined) == [12, 21]


def test_a_loop_is_not_joined_to_itself() -> None:
    """A chain whose two ends meet, and two that form a ring, keep two ends."""
    ring = [line((0, 0), (0, 1), 10), line((0, 10), (1, 0), 10), line((10, 10), (0, -1), 10), line((10, 0), (-1, 0), 9)]
    (joined,) = join(ring)
    assert are_neighbours(joined)
    assert [chain.tolist() for chain in join([joined])] == [joined.tolist()]


def test_nothing_to_join() -> None:
    """Without chains there are none."""
    assert join([]) == []
