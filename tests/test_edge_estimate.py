"""What strokes are thought to cost is what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from vcmbench.codecs.edge import ring
from vcmbench.codecs.edge.estimate import START_BITS, empty_bits, polar, stroke_bits, turn
from vcmbench.codecs.edge.geometry import LARGEST
from vcmbench.codecs.edge.stroke_coding import write_strokes
from vcmbench.codecs.edge.tracing import strokes_of

FACE = np.ascontiguousarray(astronaut()[:256, 96:352])  # type: ignore[no-untyped-call]  # scikit-image has no type hints


@pytest.mark.parametrize("budget", [30, 56, 120])
def test_a_face_costs_what_is_estimated(budget: int) -> None:
    """Coded strokes take the estimated bits, within a twelfth."""
    strokes = strokes_of(FACE, budget)
    estimated = empty_bits(256, 256) + START_BITS * len(strokes) + sum(map(sum, stroke_bits(strokes)))
    assert estimated == pytest.approx(8 * len(write_strokes(strokes, 256, 256)), rel=1 / 12)


def test_steps_are_placed_as_the_coder_places_them() -> None:
    """Lengths and places on the ring are those of the scalar functions, which are each other's inverse."""
    random = np.random.default_rng(0)
    steps = np.concatenate([np.argwhere(np.ones((7, 7))) - 3, random.integers(-900, 901, (200, 2))])
    steps = steps[steps.any(axis=1)].astype(np.int32)
    lengths, places = polar(steps[:, 0], steps[:, 1])
    for step, length, place in zip(steps.tolist(), lengths.tolist(), places.tolist(), strict=True):
        assert (length, place) == ring.polar(*step)
        assert list(ring.cartesian(length, place)) == step


def test_a_turn_is_what_the_coder_calls_one() -> None:
    """It is within half the ring, and with the place straight on gives the step's."""
    random = np.random.default_rng(1)
    length_before, length = random.integers(1, 60, (2, 500)).astype(np.int32)
    place_before, place = (random.integers(0, 8 * each).astype(np.int32) for each in (length_before, length))
    turns = turn(length_before, place_before, length, place)
    assert ((-4 * length <= turns) & (turns < 4 * length)).all()
    straight = (2 * place_before * length + length_before) // (2 * length_before)
    off = (straight + turns - place) % (8 * length)
    assert (np.minimum(off, 8 * length - off) <= 1).all()
    assert (off == 0).mean() > 0.95


def test_every_length_has_a_cost() -> None:
    """Strokes of one segment cost a finite number of bits, more when longer by far."""
    strokes = [np.array(((0, 0), (0, length)), np.int32) for length in (1, 10, 100, LARGEST - 1)]
    costs = [sum(bits) for bits in stroke_bits(strokes)]
    assert np.isfinite(costs).all()
    assert costs[0] < costs[2] < costs[3] < 60


def test_nothing_costs_nothing() -> None:
    """Without strokes there are no costs."""
    assert stroke_bits([]) == []
