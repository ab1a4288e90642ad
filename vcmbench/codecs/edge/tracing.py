"""From an image to its strokes: edges traced, made polylines, and cut to a budget."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge import polyline
from vcmbench.codecs.edge.allocation import Candidate, allocate
from vcmbench.codecs.edge.detection import Plane, detect, scale_of
from vcmbench.codecs.edge.estimate import START_BITS, segment_bits
from vcmbench.codecs.edge.geometry import Raster, Stroke
from vcmbench.interfaces import Image

DEFAULT_BUDGET = 54
"""Thousandths of a bit per pixel."""

_SHORTEST = 7
"""Pixels of the shortest chain that is kept, in an image of 256×256."""
_CHEAPEST = 0.6
"""Bits that a chain's pixel costs when it is cheap."""
_SURELY = 1.6
"""The cheapest costs add up to that many times the budget before what follows is surely not paid for."""
_MEMORY = 4
"""Steps whose sum is the direction in which a trace goes on."""


def strokes_of(image: Image, budget: int = DEFAULT_BUDGET) -> list[Stroke]:
    """Return the strokes of H×W×3 uint8 pixels that are worth most at about the budget's cost or less.

    The budget is in thousandths of a bit per pixel.
    """
    height, width, _ = image.shape
    bits = budget * height * width / 1000
    edges, worth = detect(image)
    chains = _likely(trace(edges, round(_SHORTEST * scale_of(height, width))), worth, bits)
    paths = polyline.fit(chains)
    strokes = [chain[path] for chain, path in zip(chains, paths, strict=True)]
    candidates = [
        Candidate(segment_bits(np.hypot(*np.diff(stroke, axis=0).T)).tolist(), _worth_between(worth, chain, path))
        for chain, path, stroke in zip(chains, paths, strokes, strict=True)
    ]
    kept = zip(strokes, allocate(candidates, bits), strict=True)
    return [stroke[first : last + 1] for stroke, parts in kept for first, last in parts]


def _likely(chains: list[Stroke], worth: Plane, bits: float) -> list[Stroke]:
    """Leave out what the budget surely does not pay, so that an image of noise takes no longer than a face."""
    costs = np.array([START_BITS + _CHEAPEST * len(chain) for chain in chains])
    worths = np.array([worth[tuple(chain.T)].sum() for chain in chains])
    order = np.argsort(-worths / costs, kind="stable")
    return [chains[place] for place in order[np.cumsum(costs[order]) <= _SURELY * bits]]


def _worth_between(worth: Plane, chain: Stroke, path: npt.NDArray[np.intp]) -> list[float]:
    running = np.concatenate(([0], np.cumsum(worth[tuple(chain.T)])))
    return list(np.diff(running[path]).tolist())


def trace(edges: Raster, shortest: int = 2) -> list[Stroke]:
    """Return chains of at least `shortest` (2 or more) neighbouring pixels, which go straight on where edges meet.

    Together with shorter ones they would hold every edge pixel; they share only those where one ends on another or itself.
    """
    padded = np.pad(_without_specks(edges, shortest), 1)
    stride = padded.shape[1]
    neighbours = np.array(((1, 1, 1), (1, 0, 1), (1, 1, 1)), np.uint8)
    degree = cv2.filter2D(padded.astype(np.uint8), -1, neighbours, borderType=cv2.BORDER_CONSTANT)
    places = np.flatnonzero(padded)
    ends = places[degree.flat[places] == 1]
    tracer = _Tracer(padded)
    chains = [tracer.chain(start) for start in [*ends.tolist(), *places.tolist()] if tracer.left[start]]
    return [
        np.stack(np.divmod(np.array(chain), stride), axis=1).astype(np.int32) - 1
        for chain in chains
        if len(chain) >= shortest
    ]


def _without_specks(edges: Raster, shortest: int) -> Raster:
    _, label, statistics, _ = cv2.connectedComponentsWithStats(edges.astype(np.uint8), connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= shortest
    return np.asarray(edges & large[label])


class _Tracer:
    """Edge pixels in a frame without any, by their place in memory; those of a chain are taken away."""

    def __init__(self, padded: Raster) -> None:
        self.left = bytearray(padded.tobytes())
        self._edges = bytes(self.left)
        self._stride = padded.shape[1]
        self._steps = [(row * self._stride + column, row, column) for row, column in _DIRECTIONS]

    def chain(self, start: int) -> list[int]:
        """Take the chain that passes a place."""
        self.left[start] = 0
        backwards = self._walk([start])
        return backwards if backwards[0] == backwards[-1] else self._walk(backwards[::-1])

    def _walk(self, chain: list[int]) -> list[int]:
        """Lengthen a chain at its end, and join it to the chain that it meets there."""
        while True:
            place = chain[-1]
            ways = [step for step in self._steps if self.left[place + step[0]]]
            if not ways:
                break
            row, column = self._direction(chain) if len(ways) > 1 else (0, 0)
            chain.append(place + max(ways, key=lambda step: step[1] * row + step[2] * column)[0])
            self.left[chain[-1]] = 0
        recent = chain[-_MEMORY:]
        met = [place + step for step, _, _ in self._steps if self._edges[place + step] and place + step not in recent]
        return chain + met[:1]

    def _direction(self, chain: list[int]) -> tuple[int, int]:
        (row, column), (to_row, to_column) = (divmod(place, self._stride) for place in (chain[-_MEMORY - 1 :][0], chain[-1]))
        return to_row - row, to_column - column


_DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))
"""Steps to a pixel's neighbours; those that share a side come first, so that no corner is cut."""
