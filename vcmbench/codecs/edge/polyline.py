"""From chains of pixels to the polylines that are cheapest for how near they stay.

Vertices are chosen by dynamic programming over rate and distortion, after Schuster and Katsaggelos, "An optimal polygonal
boundary encoding scheme in the rate distortion sense" (IEEE Transactions on Image Processing 7(1), 1998): of all polylines
with vertices on the chain and within a tolerance of it, the one whose bits and squared deviations weigh least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.estimate import segment_bits
from vcmbench.codecs.edge.geometry import Stroke

_TOLERANCE = 1.5
"""How far in pixels a chain's pixel may be from the line through its segment."""
_LONGEST = 48
"""Pixels of a chain that one segment may stand for."""
_DEVIATION_BITS = 1.0
"""Bits that are worth a squared deviation of one pixel."""

_SPAN = 2 * _LONGEST + 1
"""By how much a pixel's number grows with its row, so that the difference of two numbers tells rows from columns."""
_TURN = np.float32(2 * np.pi)

_Places = npt.NDArray[np.intp]
_Table = npt.NDArray[np.float32]


def fit(chains: Sequence[Stroke]) -> list[_Places]:
    """Return for each chain, K×2 rows and columns of neighbouring pixels, the places of the vertices of its polyline.

    They rise from 0 to K − 1.
    """
    if not chains:
        return []
    longest_first = sorted(range(len(chains)), key=lambda place: -len(chains[place]))
    lengths = np.array([len(chains[place]) for place in longest_first])
    starts = np.cumsum(lengths) - lengths
    pixels = np.concatenate([chains[place] for place in longest_first]) @ np.array((_SPAN, 1))
    weights = _segment_weights(pixels, np.repeat(starts + lengths - 1, lengths))
    paths = _paths(_best_before(weights, starts, lengths), starts, lengths)
    return [paths[rank] for rank in np.argsort(longest_first)]


def _segment_weights(pixels: _Places, last: _Places) -> npt.NDArray[np.float32]:
    """Return what the segment from `_LONGEST` − k places before to each place weighs (places × `_LONGEST`, by k).

    It is infinite where a pixel between is too far off. All segments that begin at one place are found together: the
    directions in which a line passes every pixel so far are an interval, which narrows from pixel to pixel.
    """
    chords = _chords()
    weights = np.full(len(pixels) * _LONGEST, np.inf, np.float32)
    begins = np.flatnonzero(np.arange(len(pixels)) < last)
    pixel, last = pixels[begins] - chords.none, last[begins]
    across, down, both, ahead, farthest = np.zeros((5, len(begins)), np.float32)
    lowest, highest = np.full((2, len(begins)), [[-np.inf], [np.inf]], np.float32)
    for step in range(1, _LONGEST + 1):
        ends = begins + step
        chord = pixels.take(ends) - pixel
        length, direction = chords.length.take(chord), chords.direction.take(chord)
        if step <= 2:  # the second pixel tells the direction better; from then on angles are measured from it
            ahead = direction
        direction = direction - ahead
        direction -= _TURN * np.rint(direction / _TURN)
        across_now, down_now, both_now = (moment.take(chord) for moment in chords.moments)
        across, down, both = across + across_now, down + down_now, both + both_now
        fits = (lowest <= direction) & (direction <= highest) & (length > 0) & (length + _TOLERANCE >= farthest)
        deviation = (across * down_now + down * across_now - 2 * both * both_now) * chords.deviation_bits.take(chord)
        weights[ends * _LONGEST + (_LONGEST - step)] = np.where(fits, chords.bits.take(chord) + deviation, np.inf)
        margin = chords.margin.take(chord)
        lowest, highest = np.maximum(lowest, direction - margin), np.minimum(highest, direction + margin)
        left = np.flatnonzero((lowest <= highest) & (ends < last))
        begins, pixel, last = (each.take(left) for each in (begins, pixel, last))
        ahead, across, down, both, lowest, highest, farthest = (
            each.take(left) for each in (ahead, across, down, both, lowest, highest, np.maximum(farthest, length))
        )
    return weights.reshape(-1, _LONGEST)


@dataclass(frozen=True)
class _Chords:
    """What is known of the way from a pixel to another, by the difference of their numbers and that of no way at all."""

    none: int
    length: _Table
    direction: _Table
    margin: _Table
    """How far the direction of a line that passes the pixel may be off."""
    bits: _Table
    moments: tuple[_Table, _Table, _Table]
    """Squares of the columns and of the rows, and their product."""
    deviation_bits: _Table
    """Bits for a squared distance from the chord, times the chord's squared length."""


@cache
def _chords() -> _Chords:
    down, right = (offsets.ravel() for offsets in np.mgrid[-_LONGEST : _LONGEST + 1, -_LONGEST : _LONGEST + 1])
    moments = (right * right, down * down, right * down)
    squares = moments[0] + moments[1]
    length, some = np.sqrt(squares), np.maximum(squares, 1)
    return _Chords(
        none=len(length) // 2,
        length=length.astype(np.float32),
        direction=np.arctan2(down, right).astype(np.float32),
        margin=np.where(length > _TOLERANCE, np.arcsin(_TOLERANCE / np.maximum(length, _TOLERANCE)), np.inf).astype(
            np.float32
        ),
        bits=segment_bits(np.sqrt(some)).astype(np.float32),
        moments=tuple(moment.astype(np.float32) for moment in moments),
        deviation_bits=(_DEVIATION_BITS / some).astype(np.float32),
    )


def _best_before(weights: npt.NDArray[np.float32], starts: _Places, lengths: _Places) -> _Places:
    """Return for each place how far back the vertex before it is, on the best polyline from its chain's start.

    The chains, the longest first, are gone through side by side. Neighbouring pixels can always be joined, so there is one.
    """
    total = np.full((len(lengths), _LONGEST + lengths[0]), np.inf, np.float32)
    total[:, _LONGEST] = 0
    before = np.zeros(len(weights), np.intp)
    for place in range(1, lengths[0]):
        reaching = int(np.searchsorted(-lengths, -place))
        here = starts[:reaching] + place
        sums = total[:reaching, place : place + _LONGEST] + weights[here]
        best = sums.argmin(axis=1)
        before[here] = _LONGEST - best
        total[:reaching, place + _LONGEST] = sums[np.arange(reaching), best]
    return before


def _paths(before: _Places, starts: _Places, lengths: _Places) -> list[_Places]:
    steps = before.tolist()
    paths = []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        path = [length - 1]
        while path[-1]:
            path.append(path[-1] - steps[start + path[-1]])
        paths.append(np.array(path[::-1]))
    return paths
