"""A checked job in the pipeline's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Codec, Dataset, Metric, Setup


@dataclass(frozen=True)
class Task:
    """Which images, prepared how, under which settings and metrics, and where the results go."""

    name: str
    out: str
    dataset: Dataset
    selection: Selection
    preparation: Preparation
    codecs: tuple[Codec, ...]
    metrics: tuple[Metric, ...]
    shard_size: int
    time_limit: float
    resolved: Mapping[str, Any]
    """The whole job file, stored beside the results."""
    without: Mapping[str, str] = field(default_factory=dict)
    """Metrics that were left out → what they lack."""
    setup: Setup = field(default_factory=Setup)
    """How networks are run; on which device is decided by each worker."""
    notices: tuple[str, ...] = ()
    """What every output must say of the networks."""
    feature_images: int = 10_000
    """For how many images of the manifest's beginning features are stored."""
    keep_bitstreams: bool = False
