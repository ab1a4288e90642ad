"""Chains that end where another one begins are one chain: a stroke fewer to begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from vcmbench.codecs.edge.geometry import Stroke

_REACH = 3
"""Pixels, in the longer direction, between ends that are joined."""
_MEMORY = 6
"""Pixels from an end that tell the direction in which a chain arrives there."""
_BEND_PIXELS = 2.0
"""Pixels of distance that are as bad as turning back."""


def join(chains: Sequence[Stroke]) -> list[Stroke]:
    """Join chains, K×2 rows and columns of neighbouring pixels, at ends near each other; those that go straight on first.

    Each end is joined once, and no chain to itself.
    """
    if not chains:
        return []
    partner: dict[int, int] = {}
    root = list(range(len(chains)))

    def root_of(chain: int) -> int:
        while root[chain] != chain:
            root[chain] = chain = root[root[chain]]
        return chain

    for one, other in _pairs(chains):
        first, second = root_of(one // 2), root_of(other // 2)
        if one not in partner and other not in partner and first != second:
            partner[one], partner[other] = other, one
            root[first] = second
    beginnings = [end for end in range(2 * len(chains)) if end not in partner]
    return [_assembled(chains, partner, end) for end in beginnings if end <= _far_end(partner, end)]


def _pairs(chains: Sequence[Stroke]) -> list[tuple[int, int]]:
    """Return the ends near each other, the best first; end 2k is the beginning of chain k, and 2k + 1 its last pixel."""
    pixels, lengths = np.concatenate(chains), np.array([len(chain) for chain in chains])
    last = np.cumsum(lengths) - 1
    back = np.minimum(_MEMORY, lengths - 1)
    first = last - lengths + 1
    ends = pixels[np.stack((first, last), axis=1).ravel()]
    arrivals = ends - pixels[np.stack((first + back, last - back), axis=1).ravel()]
    directions = arrivals / np.maximum(np.hypot(*arrivals.T), 1)[:, None]
    near = cKDTree(ends).query_pairs(_REACH, p=np.inf, output_type="ndarray")
    near = near[np.lexsort(near.T)]
    gaps = np.hypot(*(ends[near[:, 0]] - ends[near[:, 1]]).T)
    bends = (1 + (directions[near[:, 0]] * directions[near[:, 1]]).sum(axis=1)) / 2
    order: npt.NDArray[np.intp] = np.argsort(gaps + _BEND_PIXELS * bends, kind="stable")
    return [(one, other) for one, other in near[order].tolist()]


def _far_end(partner: dict[int, int], end: int) -> int:
    end ^= 1
    while end in partner:
        end = partner[end] ^ 1
    return end


def _assembled(chains: Sequence[Stroke], partner: dict[int, int], end: int) -> Stroke:
    """Return the chain that begins at an end, with the pixels between its parts."""
    parts = [_from(chains, end)]
    while (end := end ^ 1) in partner:
        end = partner[end]
        following = _from(chains, end)
        gap = int(np.abs(following[0] - parts[-1][-1]).max())
        between = np.arange(1, gap)[:, None] * (following[0] - parts[-1][-1])
        parts += [parts[-1][-1] + (2 * between + gap) // (2 * gap) if gap else between, following[gap == 0 :]]
    return np.concatenate(parts).astype(np.int32)


def _from(chains: Sequence[Stroke], end: int) -> Stroke:
    return chains[end // 2][:: -1 if end % 2 else 1]
