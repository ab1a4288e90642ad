"""A `metrics:` list as metrics that can run, their weights being here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vcmbench import registry, weights
from vcmbench.config.messages import at, shown
from vcmbench.downloads import DownloadError
from vcmbench.interfaces import Metric, SetMetric, Setup, UsageError
from vcmbench.results import ROW_SCHEMA


def metrics_of(
    wanted: str | Sequence[object], setup: Setup, *, fetch: bool
) -> tuple[tuple[Metric, ...], dict[str, str], str]:
    """The metrics to run; for `available` the ones that cannot, with what they lack; and why nothing could be downloaded."""
    with at("metrics"):
        metrics = _named_metrics(wanted, setup)
        failure = _fetch(metrics, setup) if fetch and not setup.untrained else ""
        lacking = {metric.name: reason for metric in metrics if (reason := _lack(metric, setup))}
        if lacking and wanted != "available":
            name, reason = next(iter(lacking.items()))
            raise UsageError(f"{name} cannot run: {failure or reason}; or write `metrics: available` to go without it")
        running = tuple(metric for metric in metrics if metric.name not in lacking)
        _refuse_equal_columns(running)
    return running, lacking, failure


def _named_metrics(wanted: str | Sequence[object], setup: Setup) -> list[Metric]:
    if isinstance(wanted, str):
        known = sorted(registry.metrics.classes.values(), key=lambda metric: (metric.kind, metric.name))
        return [metric(setup) for metric in known]
    metrics: dict[str, Metric] = {}
    for entry in wanted:
        name, params = _named_params(entry)
        if name in metrics:
            raise UsageError(f"{name} is asked for twice; remove one")
        metrics[name] = registry.metrics.get(name)(setup, **params)
    return list(metrics.values())


def _named_params(entry: object) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, params)] = entry.items()
        if isinstance(params, dict | None):
            return str(name), {str(key): value for key, value in (params or {}).items()}
    raise UsageError(f"one metric must stand here, such as `psnr_y` or `landmarks: {{detector: sfd}}`, not {shown(entry)}")


def _fetch(metrics: Sequence[Metric], setup: Setup) -> str:
    """Download the weights that are not on this machine; say what could not be had."""
    usable = [metric for metric in metrics if metric.unavailable() is None]
    try:
        weights.obtain([name for metric in usable for name in metric.weights], unverified=setup.unverified)
    except DownloadError as error:
        return str(error)
    return ""


def _lack(metric: Metric, setup: Setup) -> str | None:
    """What a metric lacks on this machine; raises `UsageError` for weights that are not the published ones."""
    reason = metric.unavailable()
    if reason is not None or setup.untrained:
        return reason
    reason = weights.lacking(metric.weights)
    for name in metric.weights if reason is None else ():
        weights.verified(name, unverified=setup.unverified)
    return reason


def _refuse_equal_columns(metrics: Sequence[Metric]) -> None:
    owners = dict.fromkeys(ROW_SCHEMA.names, "vcmbench itself")
    for metric in metrics:
        names = [*metric.columns, metric.name, *metric.set_columns] if isinstance(metric, SetMetric) else [*metric.columns]
        for column in names:
            owner = owners.setdefault(column.lower(), metric.name)  # DuckDB's names do not tell cases apart
            if owner != metric.name:
                raise UsageError(f"{metric.name} and {owner} both give the column {column!r}; leave one out")
