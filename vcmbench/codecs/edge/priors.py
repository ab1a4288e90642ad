"""The static priors of all contexts, trained on faces by `edge_priors.py` and `edge_point_priors.py` in `benchmarks/`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def load(name: str) -> dict[str, list[int]]:
    """Return the prior of each group of contexts, ready for `Contexts`, from `{name}_priors.json` beside this file."""
    text = files(__package__).joinpath(f"{name}_priors.json").read_text(encoding="ascii")
    priors: dict[str, list[int]] = json.loads(text)
    return priors
