"""What every worker of a run is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Dataset, ParameterValue, Setup
from vcmbench.run_index import Index


@dataclass(frozen=True)
class MetricOrder:
    """A metric as `module:Class`, which any machine can load, and its parameters."""

    spelling: str
    params: Mapping[str, ParameterValue]


@dataclass(frozen=True)
class WorkerJob:
    """All a worker needs to know; it can be pickled and sent to another machine."""

    run_url: str
    writer: str
    """What the driver's lease calls its holder; it names the files that this driver's workers store."""
    index: Index
    dataset: Dataset
    preparation: Preparation
    codecs: tuple[Codec, ...]
    """In the order of the index's settings."""
    metrics: tuple[MetricOrder, ...]
    """In the order of the index's metrics."""
    setup: Setup
    feature_images: int
    """For how many images of the manifest's beginning features are stored."""
    processes: int
    threads: int
    """How many batches are scored side by side."""
    batch_size: int
    time_limit: float
    """Seconds for one image in a codec process; what runs in the worker itself has as much, and the grace."""
    grace: float = 300.0
    """Seconds in which a network is loaded and compiled."""
