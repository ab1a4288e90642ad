"""Polylines moved to where they cost fewer bits.

Each vertex may move to a pixel near it, and most may be left out. Of all such polylines that is sought whose bits, by what
the coder will know of the segment before, and squared deviations weigh least: by dynamic programming over the last two
vertices, after Katsaggelos et al., "MPEG-4 and rate-distortion-based shape-coding techniques" (Proceedings of the IEEE
86(6), 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import estimate
from vcmbench.codecs.edge.geometry import Stroke

_MOVES = np.array([(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)], np.int32)
"""How far vertices may move, in rows and columns; again, diagonally, would save 1 % of the bits for as much time."""
_MOST_BACK = 2
"""Of so many successive vertices the last is kept."""
_DEVIATION_BITS = 0.8
"""Bits that are worth a squared deviation of one pixel, where a pixel is worth the mean: more follow edges more closely, but
fewer of them."""
_MOST_UNEQUAL = (0.1, 10.0)
"""Worth, by its mean, beyond which pixels do not differ."""
_SHARP = 0.3
"""A vertex where the cosine of the turn is less is not left out."""

_Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Piece:
    """A chain and a polyline for it."""

    chain: Stroke
    """K×2 rows and columns of neighbouring pixels."""
    worth: npt.NDArray[np.float32]
    """Of each pixel."""
    places: _Places
    """Of the vertices along the chain, from 0 to K − 1."""
    vertices: Stroke
    """On the chain's pixels at those places, or near them."""

    def part(self, first: int, last: int) -> Piece:
        """Return what is between two vertices, given by their numbers."""
        begin, end = self.places[first], self.places[last] + 1
        kept = slice(first, last + 1)
        return Piece(self.chain[begin:end], self.worth[begin:end], self.places[kept] - begin, self.vertices[kept])


def refit(pieces: Sequence[Piece], height: int, width: int) -> list[Piece]:
    """Return the pieces, of chains in a height×width image, with vertices moved and left out."""
    if not pieces:
        return []
    order = sorted(range(len(pieces)), key=lambda place: -len(pieces[place].places))
    refitted = _Trellis([pieces[place] for place in order], (height, width)).best()
    return [refitted[rank] for rank in np.argsort(order)]


class _Trellis:
    """The polylines of pieces, those of most vertices first, which are gone through side by side.

    Arrays of segments have the axes: vertex, how far back the one before is, that one's move, this one's move.
    """

    def __init__(self, pieces: Sequence[Piece], shape: tuple[int, int]) -> None:
        self._pieces = pieces
        self._counts = np.array([len(piece.places) for piece in pieces])
        self._starts = np.cumsum(self._counts) - self._counts
        self._lasts = self._starts + self._counts - 1
        kept = np.concatenate([piece.vertices for piece in pieces])
        self._vertices = kept[:, None] + _MOVES
        self._inside = np.asarray(((self._vertices >= 0) & (self._vertices < shape)).all(axis=-1))
        span = (len(kept), _MOST_BACK, len(_MOVES), len(_MOVES))
        self._distortion = np.full(span, np.inf, np.float32)
        self._length, self._place = np.ones(span, np.int32), np.zeros(span, np.int32)
        chain_starts = np.cumsum([0, *(len(piece.chain) for piece in pieces)])
        self._at = np.concatenate([piece.places + start for piece, start in zip(pieces, chain_starts, strict=False)])
        pixels = np.concatenate([piece.chain for piece in pieces]) @ (1j, 1)
        weights = _deviation_bits(np.concatenate([piece.worth for piece in pieces]).astype(np.float64))
        running = [np.concatenate(([0], np.cumsum(weights * term))) for term in (1, pixels, pixels**2, np.abs(pixels) ** 2)]
        begins = np.repeat(self._starts, self._counts)
        for back in range(1, _MOST_BACK + 1):
            here = np.flatnonzero(np.arange(len(kept)) - back >= begins)
            if back > 1:
                here = here[_is_smooth(kept[here - 2], kept[here - 1], kept[here])]
            self._fill(here, back, [terms[self._at[here] + 1] - terms[self._at[here - back]] for terms in running])
        off = np.abs(self._vertices @ (1j, 1) - pixels[self._at][:, None]) ** 2 * weights[self._at][:, None]
        self._start_distortion = off[self._starts].astype(np.float32)
        self._distortion[self._lasts] += off[self._lasts, None, None, :].astype(np.float32)

    def _fill(self, here: _Places, back: int, sums: Sequence[npt.NDArray[np.complex128]]) -> None:
        """Enter the segments that end at these vertices and begin so many before."""
        begin, end = self._vertices[here - back][:, :, None], self._vertices[here][:, None]
        step = end - begin
        origin, chord = begin @ (1j, 1), step @ (1j, 1)
        weight, first, squares, norms = (terms[:, None, None] for terms in sums)
        squares = squares - 2 * origin * first + weight * origin**2
        norms = (norms - 2 * (origin.conj() * first) + weight * np.abs(origin) ** 2).real
        unit = chord.conj() / np.maximum(np.abs(chord), 1)
        distortion = np.maximum(norms - (squares * unit**2).real, 0) / 2
        possible = self._inside[here - back, :, None] & self._inside[here, None] & (chord != 0)
        self._distortion[here, back - 1] = np.where(possible, distortion, np.inf)
        self._length[here, back - 1], self._place[here, back - 1] = estimate.polar(step[..., 0], step[..., 1])

    def best(self) -> list[Piece]:
        """Return the pieces as they weigh least."""
        total = np.full(self._distortion.shape, np.inf, np.float32)
        turns = np.zeros(total.shape, np.int32)
        before = np.full(total.shape, -1, np.int8)
        moves = total.shape[-1]
        for vertex in range(1, self._counts[0]):
            reaching = int(np.searchsorted(-self._counts, -vertex))
            starts = self._starts[:reaching]
            here = starts + vertex
            earlier = np.maximum(here[:, None] - range(1, _MOST_BACK + 1), starts[:, None])
            length, place = self._length[here][:, :, None, None], self._place[here][:, :, None, None]
            length_before, place_before = self._length[earlier][..., None], self._place[earlier][..., None]
            turn = estimate.turn(length_before, place_before, length, place)
            bits = estimate.turn_bits(turns[earlier][..., None], length_before, length, turn)
            bits += total[earlier][..., None]
            ways = bits.reshape(reaching, _MOST_BACK, -1, moves, moves)
            before[here] = best = ways.argmin(axis=2)
            chosen = best[:, :, None]
            total[here] = np.take_along_axis(ways, chosen, 2)[:, :, 0] + self._distortion[here]
            turns[here] = np.take_along_axis(turn.reshape(ways.shape), chosen, 2)[:, :, 0]
            if vertex <= _MOST_BACK:
                first = estimate.first_bits(self._length[here, vertex - 1]) + self._distortion[here, vertex - 1]
                total[here, vertex - 1] = first + self._start_distortion[:reaching, :, None]
                turns[here, vertex - 1], before[here, vertex - 1] = 0, -1
        return [self._path(rank, total, before) for rank in range(len(self._pieces))]

    def _path(self, rank: int, total: npt.NDArray[np.float32], before: npt.NDArray[np.int8]) -> Piece:
        start, vertex = self._starts[rank], int(self._lasts[rank])
        moves = total.shape[-1]
        back, both = divmod(int(total[vertex].argmin()), moves**2)
        move_before, move = divmod(both, moves)
        path = [(vertex, move)]
        while True:
            way = before.item(vertex, back, move_before, move)
            vertex -= back + 1
            path.append((vertex, move_before))
            if way < 0:
                break
            move = move_before
            back, move_before = divmod(way, moves)
        kept, moved = np.array(path[::-1]).T
        piece = self._pieces[rank]
        return Piece(piece.chain, piece.worth, piece.places[kept - start], self._vertices[kept, moved])


def _deviation_bits(worth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the bits that a squared deviation of one pixel is worth."""
    relative = worth / max(float(worth.mean()), 1e-9)
    return np.asarray(_DEVIATION_BITS * np.sqrt(np.clip(relative, *_MOST_UNEQUAL)))


def _is_smooth(first: Stroke, middle: Stroke, last: Stroke) -> npt.NDArray[np.bool_]:
    before, after = middle - first, last - middle
    lengths = np.hypot(*before.T) * np.hypot(*after.T)
    return np.asarray((before * after).sum(axis=1) > _SHARP * lengths)
