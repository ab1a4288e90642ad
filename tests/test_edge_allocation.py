"""The budget goes to the parts of strokes that are worth most."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vcmbench.codecs.edge.allocation import Candidate, allocate
from vcmbench.codecs.edge.estimate import START_BITS


def cost(candidates: list[Candidate], parts: list[list[tuple[int, int]]]) -> float:
    return sum(
        START_BITS + sum(each.bits[first:last]) for each, kept in zip(candidates, parts, strict=True) for first, last in kept
    )


def worth(candidates: list[Candidate], parts: list[list[tuple[int, int]]]) -> float:
    return sum(sum(each.worth[first:last]) for each, kept in zip(candidates, parts, strict=True) for first, last in kept)


def random_candidates(seed: int, count: int) -> list[Candidate]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 9, count)
    return [Candidate(random.uniform(5, 15, length).tolist(), random.gamma(1, 20, length).tolist()) for length in lengths]


def test_what_is_affordable_is_kept_whole() -> None:
    """With bits to spare every stroke that is worth anything stays in one piece."""
    candidates = random_candidates(0, 10)
    assert allocate(candidates, 1e6) == [[(0, len(each.bits))] for each in candidates]


def test_a_worthless_end_is_cut_off() -> None:
    """Of a stroke whose one half is worth much, that half is kept when not all can be."""
    assert allocate([Candidate([10.0] * 6, [50.0, 50.0, 50.0, 1.0, 1.0, 1.0])], START_BITS + 35) == [[(0, 3)]]


def test_a_worthless_middle_is_cut_out_where_it_costs_more_than_a_new_start() -> None:
    """A long worthless stretch splits a stroke, a short one does not."""
    ends = [90.0, 90.0]
    long, short = ([10.0] * (4 + middle) for middle in (5, 1))
    assert allocate([Candidate(long, [*ends, *[0.5] * 5, *ends])], 2 * START_BITS + 41) == [[(0, 2), (7, 9)]]
    assert allocate([Candidate(short, [*ends, 0.5, *ends])], START_BITS + 51) == [[(0, 5)]]


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_is_used_and_not_exceeded(seed: int) -> None:
    """The bits never exceed the budget, most of it is spent, and a larger one buys more."""
    candidates = random_candidates(seed, 80)
    kept = [allocate(candidates, budget) for budget in (300.0, 1000.0, 2000.0)]
    costs = [cost(candidates, each) for each in kept]
    assert all(0.85 * budget < spent <= budget for spent, budget in zip(costs, (300.0, 1000.0, 2000.0), strict=True))
    assert worth(candidates, kept[0]) < worth(candidates, kept[1]) < worth(candidates, kept[2])


def test_no_choice_of_the_same_cost_is_worth_more() -> None:
    """Among all parts of few strokes none that cost as little or less are worth more."""
    candidates = random_candidates(3, 2)
    found = allocate(candidates, 90.0)
    spent, gained = cost(candidates, found), worth(candidates, found)

    def choices(each: Candidate) -> list[list[tuple[int, int]]]:
        one = list(combinations(range(len(each.bits) + 1), 2))
        return [[], *([part] for part in one), *([one, other] for one, other in combinations(one, 2) if one[1] <= other[0])]

    for first in choices(candidates[0]):
        for second in choices(candidates[1]):
            if cost(candidates, [first, second]) <= spent:
                assert worth(candidates, [first, second]) <= gained + 1e-9


def test_nothing_to_choose_from() -> None:
    """Without strokes, or without bits, nothing is kept."""
    assert allocate([], 100.0) == []
    assert allocate(random_candidates(1, 3), 0.0) == [[], [], []]
