"""From chains of pixels to the polylines that are cheapest for how near they stay.

Vertices are chosen by dynamic programming over rate and distortion, after Schuster and Katsaggelos, "An optimal polygonal
boundary encoding scheme in the rate distortion sense" (IEEE Transactions on Image Processing 7(1), 1998): of all polylines
with vertices on the chain and within a tolerance of it, the one whose bits and squared deviations weigh least.
"""

from __future__ import annotations

from collections.abc import Sequence

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

_Places = npt.NDArray[np.intp]
_Complex = npt.NDArray[np.complex128]
"""Column + i row."""


def fit(chains: Sequence[Stroke]) -> list[_Places]:
    """Return for each chain, K×2 rows and columns of neighbouring pixels, the places of the vertices of its polyline.

    They rise from 0 to K − 1.
    """
    if not chains:
        return []
    longest_first = sorted(range(len(chains)), key=lambda place: -len(chains[place]))
    lengths = np.array([len(chains[place]) for place in longest_first])
    starts = np.cumsum(lengths) - lengths
    pixels = np.concatenate([chains[place] for place in longest_first]) @ (1j, 1)
    weights = _segment_weights(pixels, np.repeat(starts + lengths - 1, lengths))
    paths = _paths(_best_before(weights, starts, lengths), starts, lengths)
    return [paths[rank] for rank in np.argsort(longest_first)]


def _segment_weights(pixels: _Complex, last: _Places) -> npt.NDArray[np.float32]:
    """Return what the segment from `_LONGEST` − k places before to each place weighs (places × `_LONGEST`, by k).

    It is infinite where a pixel between is too far off. All segments that begin at one place are found together: the
    directions in which a line passes every pixel so far are an interval, which narrows from pixel to pixel.
    """
    weights = np.full((len(pixels), _LONGEST), np.inf, np.float32)
    deviations = _Deviations(pixels)
    begins = np.arange(len(pixels))
    ahead = np.ones(len(pixels), np.complex128)
    lowest, highest = np.full(len(pixels), -np.inf), np.full(len(pixels), np.inf)
    farthest = np.zeros(len(pixels))
    for step in range(1, _LONGEST + 1):
        left = begins + step <= last[begins]
        begins, ahead, farthest = begins[left], ahead[left], farthest[left]
        lowest, highest = lowest[left], highest[left]
        ends = begins + step
        chord = pixels[ends] - pixels[begins]
        length = np.abs(chord)
        if step <= 2:  # the second pixel tells the direction better; from then on angles are measured from it
            ahead = chord.conj()
        direction = np.angle(chord * ahead)
        fits = (lowest <= direction) & (direction <= highest)
        fits &= (length > 0) & (length + _TOLERANCE >= farthest)
        distortion = _DEVIATION_BITS * deviations.of(begins[fits], ends[fits])
        weights[ends[fits], _LONGEST - step] = segment_bits(length[fits]) + distortion
        margin = np.where(length > _TOLERANCE, np.arcsin(_TOLERANCE / np.maximum(length, _TOLERANCE)), np.inf)
        lowest, highest = np.maximum(lowest, direction - margin), np.minimum(highest, direction + margin)
        farthest = np.maximum(farthest, length)
        left = lowest <= highest
        begins, ahead, farthest = begins[left], ahead[left], farthest[left]
        lowest, highest = lowest[left], highest[left]
    return weights


class _Deviations:
    """Sums of squared distances of pixels from the line through the first and the last, from running sums."""

    def __init__(self, pixels: _Complex) -> None:
        self._pixels = pixels
        terms = (pixels, pixels**2, np.abs(pixels) ** 2)
        self._running = [np.concatenate(([0], np.cumsum(term))) for term in terms]

    def of(self, first: _Places, last: _Places) -> npt.NDArray[np.float64]:
        """Return Σ(|z|² − Re(z² ū²)) / 2 of the pixels' offsets z from the first, u being the unit vector to the last."""
        origin = self._pixels[first]
        chord = self._pixels[last] - origin
        sums, squares, norms = (running[last + 1] - running[first] for running in self._running)
        count = last - first + 1
        squares = squares - 2 * origin * sums + count * origin**2
        norms = norms - 2 * (origin.conj() * sums).real + count * np.abs(origin) ** 2
        unit = chord.conj() / np.abs(chord)
        return np.asarray(np.maximum(norms.real - (squares * unit**2).real, 0) / 2)


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
