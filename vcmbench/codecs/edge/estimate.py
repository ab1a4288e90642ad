"""About what strokes cost, by the priors alone: for choosing between them without coding them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.geometry import LARGEST, Stroke
from vcmbench.codecs.edge.range_coder import PRECISION
from vcmbench.codecs.edge.stroke_coding import (
    GROUPS,
    LEAVES,
    LENGTHS,
    STRAIGHT,
    cell_side,
    length_class,
    turn_context,
    turn_width,
)

Bits = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int32]

START_BITS = 10.7
"""A stroke, beside its segments: the cell in which it begins and the place there."""

_EMPTY_BITS = 0.1
"""That no stroke begins in a cell."""
_LEFT, _RIGHT = np.int32(-1), np.int32(1)
_SEGMENT_BITS, _OCTAVE_BITS = 4.4, 2.1
"""A segment of one pixel, and what doubling its length adds: fitted to coded portraits."""
_BEYOND_BITS = 5.0
"""What a turn that has no leaf of its own costs more than the leaf that says so."""


def empty_bits(height: int, width: int) -> float:
    """Return the bits of an image without strokes."""
    cell = cell_side(height, width)
    return _EMPTY_BITS * -(-height // cell) * -(-width // cell)


def segment_bits(lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the bits of segments whose lengths in pixels are known, and turns are not."""
    return np.asarray(_SEGMENT_BITS + _OCTAVE_BITS * np.log2(lengths))


def polar(down: Whole, right: Whole) -> tuple[Whole, Whole]:
    """Return lengths, at least 1, and places on the ring, as `ring.polar` does."""
    length = np.maximum(np.maximum(np.abs(down), np.abs(right)), 1)
    place = np.where(down == length, 2 * length - right, np.where(right == -length, 4 * length - down, 6 * length + right))
    return length, np.where(right == length, down, place) % (8 * length)


def turn(length_before: Whole, place_before: Whole, length: Whole, place: Whole) -> Whole:
    """Return how many places on the ring a step is beside that straight on."""
    straight = np.floor(length * ((place_before / length_before).astype(np.float32)) + np.float32(0.5)).astype(np.int32)
    beside = place - straight
    half = 4 * length
    beside -= 2 * half * (beside >= half)
    beside += 2 * half * (beside < -half)
    return np.asarray(beside)


def turn_bits(turn_before: Whole, length_before: Whole, length: Whole, beside: Whole) -> Bits:
    """Return the bits of a step that follows another one: of its length, its turn, and of the stroke's going on."""
    table = tables()
    sharp = np.where(turn_before == 0, 0, np.where(3 * np.abs(turn_before) <= length_before, 1, 2))
    before = (table.turn_before[length_before] + sharp) * LEAVES
    length_of = table.length_before[length_before]
    sided = beside * np.where(turn_before < 0, _LEFT, _RIGHT)
    leaf = (sided + table.half_width[length] >> table.width_bits[length]) + np.int32(STRAIGHT)
    leaf = np.minimum(leaf.view(np.uint32), np.uint32(LEAVES - 1)).view(np.int32)
    context = before + table.turn_now[length]
    return np.asarray(table.turn.take(context + leaf) + table.length.take(length_of + length))


def first_bits(length: Whole) -> Bits:
    """Return the bits of a stroke's first step: of its length, its direction, and of the stroke's going on."""
    return tables().first[length]


def stroke_bits(strokes: Sequence[Stroke]) -> list[list[float]]:
    """Return for each stroke the bits of its segments; `START_BITS` is what it costs beside them."""
    if not strokes:
        return []
    ends = np.cumsum([len(stroke) - 1 for stroke in strokes])
    steps = np.concatenate([stroke[1:] - stroke[:-1] for stroke in strokes])
    length, place = polar(steps[:, 0], steps[:, 1])
    length_before, place_before = np.roll(length, 1), np.roll(place, 1)
    beside = turn(length_before, place_before, length, place)
    starts = np.append(0, ends[:-1])
    beside[starts] = 0
    bits = turn_bits(np.roll(beside, 1), length_before, length, beside)
    bits[starts] = first_bits(length[starts])
    return [bits[start:end].tolist() for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class _Tables:
    """By length, from 0 to `LARGEST`, and flat."""

    length_before: Whole
    turn_before: Whole
    turn_now: Whole
    half_width: Whole
    width_bits: Whole
    length: Bits
    turn: Bits
    first: Bits


@cache
def tables() -> _Tables:
    """Return what is known of costs; it must be forgotten where other priors come."""
    trained = priors.load("stroke")
    lengths = np.arange(LARGEST + 1)
    positive = np.maximum(lengths, 1).tolist()
    widths = np.array([turn_width(length) for length in positive])
    leaf = np.searchsorted(LENGTHS, lengths, side="right") - 1
    last = len(LENGTHS) - 1
    inside = np.log2(np.diff(LENGTHS, append=2 * LENGTHS[-1]))[leaf]
    inside += np.where(leaf == last, 2 * np.log2(np.maximum(lengths / LENGTHS[-1], 1)), 0)
    ends = np.array(trained["end"]).reshape(GROUPS["end"])[0, 1:] / (1 << PRECISION)
    by_length = _number_bits(trained["length"], GROUPS["length"])[:, leaf] + inside + float(np.mean(-np.log2(ends)))
    turns = _number_bits(trained["turn"], GROUPS["turn"])
    turns[..., -1] += _BEYOND_BITS
    first = by_length[0] + np.log2(8 * np.array(positive))
    by_length += np.log2(widths)
    return _Tables(
        np.array([length_class(length) for length in positive], np.int32) * len(lengths),
        np.array([turn_context(length, 1, 0) for length in positive], np.int32),
        np.array([turn_context(1, length, 0) for length in positive], np.int32) * LEAVES,
        (widths // 2).astype(np.int32),
        np.log2(widths).astype(np.int32),
        np.ravel(by_length),
        np.ravel(turns),
        first.astype(np.float32),
    )


def _number_bits(prior: list[int], shape: tuple[int, ...]) -> Bits:
    """Return the bits of each number in each context; the last axis of the shape is that of the numbers."""
    zero = np.array(prior).reshape(shape) / (1 << PRECISION)
    node = -np.log2(np.stack((zero, 1 - zero), axis=-1))
    bits = np.zeros((*shape[:-1], 1))
    while bits.shape[-1] < shape[-1]:
        level = bits.shape[-1]
        bits = (bits[..., None] + node[..., level : 2 * level, :]).reshape(*shape[:-1], 2 * level)
    return bits.astype(np.float32)
