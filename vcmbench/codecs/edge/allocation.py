"""Which parts of strokes the budget pays for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import truediv

from vcmbench.codecs.edge.estimate import START_BITS

_HALVINGS = 12
"""Of the interval in which the price of a bit is sought."""


@dataclass(frozen=True)
class Candidate:
    """A stroke's segments: what each costs in bits, and what it is worth."""

    bits: Sequence[float]
    worth: Sequence[float]


def allocate(candidates: Sequence[Candidate], budget: float) -> list[list[tuple[int, int]]]:
    """Return the parts to keep of each stroke, as their first and last vertex.

    At one price of a bit for all strokes, the lowest at which the bits do not exceed the budget, they are worth most beyond
    what they cost (Everett, "Generalized Lagrange multiplier method", Operations Research 11(3), 1963).
    """
    low, high = 0.0, max((max(map(truediv, each.worth, each.bits)) for each in candidates), default=0.0)
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        if _cost(candidates, price) > budget:
            low = price
        else:
            high = price
    return [_best_parts(each, high) for each in candidates]


def _cost(candidates: Sequence[Candidate], price: float) -> float:
    parts = ((each, part) for each in candidates for part in _best_parts(each, price))
    return sum(START_BITS + sum(each.bits[first:last]) for each, (first, last) in parts)


def _best_parts(candidate: Candidate, price: float) -> list[tuple[int, int]]:
    """Choose by dynamic programming along the stroke: the best so far outside a part, and inside one."""
    outside, inside = 0.0, -START_BITS * price
    begins: list[bool] = []
    ends: list[bool] = []
    for bits, worth in zip(candidate.bits, candidate.worth, strict=True):
        begins.append(outside - START_BITS * price >= inside)
        inside = max(outside - START_BITS * price, inside) + worth - price * bits
        ends.append(inside > outside)
        outside = max(outside, inside)
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
