"""From an image to its strokes: edges traced, made polylines, and cut to a budget."""

from __future__ import annotations

from itertools import accumulate
from itertools import chain as joined_chains
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import polyline
from vcmbench.codecs.edge.allocation import Candidate, allocate
from vcmbench.codecs.edge.detection import Plane, detect, scale_of
from vcmbench.codecs.edge.estimate import START_BITS, empty_bits, stroke_bits
from vcmbench.codecs.edge.geometry import Raster, Stroke
from vcmbench.codecs.edge.joining import join
from vcmbench.codecs.edge.refit import Piece, refit
from vcmbench.codecs.edge.stroke_coding import most_vertices
from vcmbench.interfaces import Image

Number = TypeVar("Number", bound=np.number)

DEFAULT_BUDGET = 58
"""Thousandths of a bit per pixel: with header and check a stream without points then takes .059 bits per pixel."""

_SHORTEST = 4
"""Pixels of the shortest chain that is kept, in an image of 256×256; in eyes there are many short ones."""
_CHEAPEST = 0.6
"""Bits that a chain's pixel costs when it is cheap."""
_SURELY = 1.3
"""The cheapest costs add up to that many times the budget before what follows is surely not paid for."""
_REFIT_SAVES = 1.4
"""What the first choice of strokes may cost by the budget, for refitting them makes them cheaper."""
_MEMORY = 4
"""Steps whose sum is the direction in which a trace goes on."""


def strokes_of(image: Image, budget: int = DEFAULT_BUDGET) -> list[Stroke]:
    """Return the strokes of H×W×3 uint8 pixels that are worth most at about the budget's cost or less.

    The budget is in thousandths of a bit per pixel, for the edge layer: header and check come to it.
    """
    height, width, _ = image.shape
    bits = budget * height * width / 1000 - empty_bits(height, width)
    edges, worth = detect(image)
    chains = join(_likely(trace(edges, max(2, round(_SHORTEST * scale_of(height, width)))), worth, bits))
    pieces = [
        Piece(chain, values, path, chain[path])
        for chain, values, path in zip(chains, _along(worth, chains), polyline.fit(chains), strict=True)
    ]
    pieces = refit(_affordable(pieces, _REFIT_SAVES * bits), height, width)
    strokes = [piece.vertices for piece in _affordable(pieces, bits)]
    vertices = np.cumsum([len(stroke) for stroke in strokes])
    return strokes[: np.searchsorted(vertices, most_vertices(height, width), side="right")]


def _likely(chains: list[Stroke], worth: Plane, bits: float) -> list[Stroke]:
    """Leave out what the budget surely does not pay, so that an image of noise takes no longer than a face."""
    costs = np.array([START_BITS + _CHEAPEST * len(chain) for chain in chains])
    worths = np.array([values.sum() for values in _along(worth, chains)])
    order = np.argsort(-worths / costs, kind="stable")
    return [chains[place] for place in order[np.cumsum(costs[order]) - costs[order] < _SURELY * bits]]


def _along(worth: Plane, chains: list[Stroke]) -> list[npt.NDArray[np.float32]]:
    """Return what the pixels of each chain are worth."""
    if not chains:
        return []
    return _parts(worth[tuple(np.concatenate(chains).T)], list(map(len, chains)))


def _parts(joined: npt.NDArray[Number], lengths: list[int]) -> list[npt.NDArray[Number]]:
    return [joined[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True)]


def _affordable(pieces: list[Piece], bits: float) -> list[Piece]:
    """Return the parts of pieces that are worth most."""
    costs = stroke_bits([piece.vertices for piece in pieces])
    kept = allocate([Candidate(*each) for each in zip(costs, map(_worth_between, pieces), strict=True)], bits)
    return [piece.part(first, last) for piece, parts in zip(pieces, kept, strict=True) for first, last in parts]


def _worth_between(piece: Piece) -> list[float]:
    """Return what each segment's pixels are worth, a vertex's counting for the segment after it."""
    worth: list[float] = np.add.reduceat(piece.worth, piece.places[:-1]).tolist()
    return worth


def trace(edges: Raster, shortest: int = 2) -> list[Stroke]:
    """Return chains of at least `shortest` (2 or more) neighbouring pixels, which go straight on where edges meet.

    Together with shorter ones they would hold every edge pixel; they share only those where one ends on another or itself.
    """
    padded = np.pad(_without_specks(edges, shortest), 1)
    stride = padded.shape[1]
    around = np.asarray(cv2.filter2D(padded.astype(np.uint8), -1, _NEIGHBOUR_BITS, borderType=cv2.BORDER_CONSTANT), np.uint8)
    places = np.flatnonzero(padded)
    around_places = around.flat[places]
    ends = places[np.bitwise_count(around_places) == 1]
    tracer = _Tracer(padded, around)
    chains = [tracer.chain(start) for start in [*ends.tolist(), *places.tolist()] if tracer.left[start]]
    kept = [chain for chain in chains if len(chain) >= shortest]
    pixels = (
        np.stack(np.divmod(np.array(list(joined_chains.from_iterable(kept)), np.intp), stride), axis=1).astype(np.int32) - 1
    )
    return _parts(pixels, list(map(len, kept)))


def _without_specks(edges: Raster, shortest: int) -> Raster:
    _, label, statistics, _ = cv2.connectedComponentsWithStats(edges.astype(np.uint8), connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= shortest
    return np.asarray(edges & large[label])


class _Tracer:
    """Edge pixels in a frame without any, by their place in memory; those of a chain are taken away."""

    def __init__(self, padded: Raster, around: npt.NDArray[np.uint8]) -> None:
        """Take the edges, and which neighbours of each pixel are on one: a bit for each of `_DIRECTIONS`."""
        self.left = bytearray(padded.tobytes())
        self._around = around.tobytes()
        self._stride = padded.shape[1]
        steps = [row * self._stride + column for row, column in _DIRECTIONS]
        self._steps = [[step for bit, step in enumerate(steps) if around >> bit & 1] for around in range(256)]
        self._direction_of = dict(zip(steps, _DIRECTIONS, strict=True))

    def chain(self, start: int) -> list[int]:
        """Take the chain that passes a place."""
        self.left[start] = 0
        backwards = self._walk([start])
        return backwards if backwards[0] == backwards[-1] else self._walk(backwards[::-1])

    def _walk(self, chain: list[int]) -> list[int]:
        """Lengthen a chain at its end, and join it to the chain that it meets there."""
        left, around, steps = self.left, self._around, self._steps
        place = chain[-1]
        while True:
            way = 0
            for step in steps[around[place]]:
                if left[place + step]:
                    if way:
                        way = self._straightest([each for each in steps[around[place]] if left[place + each]], chain)
                        break
                    way = step
            if not way:
                break
            place += way
            left[place] = 0
            chain.append(place)
        recent = chain[-_MEMORY:]
        met = [place + step for step in steps[around[place]] if place + step not in recent]
        return chain + met[:1]

    def _straightest(self, ways: list[int], chain: list[int]) -> int:
        (row, column), (to_row, to_column) = (divmod(place, self._stride) for place in (chain[-_MEMORY - 1 :][0], chain[-1]))
        down, right = to_row - row, to_column - column
        along = [down * self._direction_of[way][0] + right * self._direction_of[way][1] for way in ways]
        return ways[along.index(max(along))]


_DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))
"""Steps to a pixel's neighbours; those that share a side come first, so that no corner is cut."""
_NEIGHBOUR_BITS = np.zeros((3, 3), np.uint8)
_NEIGHBOUR_BITS[tuple(np.array(_DIRECTIONS).T + 1)] = 1 << np.arange(8)
