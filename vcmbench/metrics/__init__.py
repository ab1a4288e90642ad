"""The built-in metrics: one file per metric, found by scanning this folder."""

from __future__ import annotations

from vcmbench import registry
from vcmbench.interfaces import Metric


def create(name: str, device: str = "cpu") -> Metric:
    """Return the metric of that name on `device`; raises `UsageError` for an unknown name or missing weights."""
    return registry.metrics.get(name)(device=device)
