"""Scoring one decoded batch with every metric: a metric may fail, its neighbours must not notice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vcmbench.interfaces import Batch, Column, Metric, Missing, Value


def score_batch(metrics: Sequence[Metric], reference: Batch, decoded: Batch) -> dict[str, list[Value]]:
    """Return every column of every metric, one value or `Missing` per image; frees features as soon as none needs them."""
    scores: dict[str, list[Value]] = {}
    for position, metric in enumerate(metrics):
        scores.update(_score(metric, reference, decoded))
        decoded.release(keep={extractor for later in metrics[position + 1 :] for extractor in later.extractors})
    return scores


def _score(metric: Metric, reference: Batch, decoded: Batch) -> dict[str, list[Value]]:
    count = len(decoded)
    try:
        scores = metric.score(reference, decoded)
        return {name: _checked(metric, name, column, scores[name], count) for name, column in metric.columns.items()}
    except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; the reason is kept beside the null
        reason = Missing(f"{metric.name}: {type(error).__name__}: {error}")
        return {name: [reason] * count for name in metric.columns}


def _checked(metric: Metric, name: str, column: Column, values: Sequence[Value], count: int) -> list[Value]:
    if len(values) != count:
        raise ValueError(f"{len(values)} values of {name} for {count} images")
    return [_check_one(metric, name, column, value) for value in values]


def _check_one(metric: Metric, name: str, column: Column, value: Value) -> Value:
    if isinstance(value, Missing):
        return value
    if column.dtype == "float":
        number = float(value)
        return number if math.isfinite(number) else Missing(f"{metric.name}: {name} is {number}")
    expected = bool if column.dtype == "bool" else str
    if not isinstance(value, expected):
        return Missing(f"{metric.name}: {name} is a {type(value).__name__}, not a {expected.__name__}")
    return value
