"""A checked job in the pipeline's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Codec, Dataset, Metric


@dataclass(frozen=True)
class Task:
    """Which images, prepared how, under which settings and metrics, and where the results go."""

    name: str
    out: str
    dataset: Dataset
    selection: Selection
    preparation: Preparation
    codecs: tuple[Codec, ...]
    metrics: tuple[type[Metric], ...]
    shard_size: int
    time_limit: float
    resolved: Mapping[str, Any]
    """The whole job file, stored beside the results."""
