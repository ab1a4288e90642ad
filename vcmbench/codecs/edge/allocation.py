"""Which parts of strokes the budget pays for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.estimate import START_BITS

_TRIALS = 14
"""Prices of a bit that are tried at most."""
_ENOUGH = 0.995
"""A price is good at which so much of the budget is spent."""

_Parts: TypeAlias = dict[int, list[tuple[int, int]]]
"""First and last vertices of the parts to keep, by the candidate's place; only of candidates that have some."""


@dataclass(frozen=True)
class Candidate:
    """A stroke's segments: what each costs in bits, and what it is worth."""

    bits: Sequence[float]
    worth: Sequence[float]

    @cached_property
    def fair_price(self) -> float:
        """Of a bit: below it no segment costs more than it is worth, nor does the stroke."""
        whole = sum(self.worth) / (START_BITS + sum(self.bits))
        return min(whole, *(worth / bits for worth, bits in zip(self.worth, self.bits, strict=True)))


def allocate(candidates: Sequence[Candidate], budget: float) -> list[list[tuple[int, int]]]:
    """Return the parts to keep of each stroke, as their first and last vertex.

    At one price of a bit for all strokes, the lowest at which the bits do not exceed the budget, they are worth most beyond
    what they cost (Everett, "Generalized Lagrange multiplier method", Operations Research 11(3), 1963).
    """
    bits = np.array([START_BITS + sum(each.bits) for each in candidates])
    if bits.sum() <= max(budget, 0):
        return [[(0, len(each.bits))] for each in candidates]
    low, high = 0.0, np.inf
    price = _likely_price(np.array([sum(each.worth) for each in candidates]), bits, budget)
    best: _Parts = {}
    left: Iterable[int] = range(len(candidates))
    for _ in range(_TRIALS):
        tried = {place: _best_parts(candidates[place], price) for place in left}
        parts = {place: kept for place, kept in tried.items() if kept}
        cost = _cost(candidates, parts)
        if cost > budget:
            low, left = price, parts.keys()  # for what is not worth this price is not worth a higher one
        else:
            high, best = price, parts
            if cost >= _ENOUGH * budget:
                break
        price = 2 * low if high == np.inf else (max(low, high / 4) + high) / 2
    return [best.get(place, []) for place in range(len(candidates))]


def _likely_price(worth: npt.NDArray[np.float64], bits: npt.NDArray[np.float64], budget: float) -> float:
    """Return the price at which whole strokes, the best first, would cost more than the budget."""
    order = np.argsort(-worth / bits, kind="stable")
    last = order[np.searchsorted(np.cumsum(bits[order]), budget, side="right")]
    return float(worth[last] / bits[last])


def _cost(candidates: Sequence[Candidate], parts: _Parts) -> float:
    return sum(START_BITS + sum(candidates[place].bits[first:last]) for place, kept in parts.items() for first, last in kept)


def _best_parts(candidate: Candidate, price: float) -> list[tuple[int, int]]:
    """Choose by dynamic programming along the stroke: the best so far outside a part, and inside one."""
    if price < candidate.fair_price:
        return [(0, len(candidate.bits))]
    start = START_BITS * price
    outside, inside = 0.0, -start
    begins: list[bool] = []
    ends: list[bool] = []
    for bits, worth in zip(candidate.bits, candidate.worth, strict=True):
        is_begin = outside - start >= inside
        begins.append(is_begin)
        inside = (outside - start if is_begin else inside) + worth - price * bits
        is_end = inside > outside
        ends.append(is_end)
        if is_end:
            outside = inside
    parts = []
    vertex = len(ends)
    while vertex:
        last = vertex
        vertex -= 1
        if ends[vertex]:
            while not begins[vertex]:
                vertex -= 1
            parts.append((vertex, last))
    return parts[::-1]
