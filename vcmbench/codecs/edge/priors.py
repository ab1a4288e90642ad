"""The static priors of all contexts, trained on faces by `edge_priors.py` and `edge_point_priors.py` in `benchmarks/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import accumulate, chain
from math import prod


@cache
def load(name: str) -> dict[str, list[int]]:
    """Return the priors of each group of contexts from `{name}_priors.json` beside this file."""
    text = files(__package__).joinpath(f"{name}_priors.json").read_text(encoding="ascii")
    priors: dict[str, list[int]] = json.loads(text)
    return priors


def first_contexts(groups: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the number of the first context of each group, by the shape of each, and in the end that of all contexts."""
    ends = accumulate((prod(shape) for shape in groups.values()), initial=0)
    return dict(zip((*groups, "all"), ends, strict=True))


def of_contexts(name: str, groups: Mapping[str, tuple[int, ...]]) -> list[int]:
    """Return the priors of all contexts of the groups, by their number."""
    trained = load(name)
    return list(chain.from_iterable(trained[group] for group in groups))
