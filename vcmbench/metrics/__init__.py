"""The built-in metrics: one file per metric, found by scanning this folder."""

from __future__ import annotations

from vcmbench import registry
from vcmbench.interfaces import Metric, Precision, Setup, UsageError


def create(
    name: str,
    device: str = "cpu",
    precision: Precision = "fp32",
    *,
    untrained: bool = False,
    unverified: bool = False,
    **params: object,
) -> Metric:
    """Return the metric of that name; raises `UsageError` for an unknown name or parameter, or a package that is missing.

    What `device`, `precision`, `untrained` and `unverified` say of its networks is told in `vcmbench.interfaces.Setup`.
    """
    metric = registry.metrics.get(name)(Setup(device, precision, untrained, unverified), **params)
    if reason := metric.unavailable():
        raise UsageError(f"{name}: {reason}")
    return metric
