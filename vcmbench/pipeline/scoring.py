"""Scoring one decoded batch with every metric: a metric may fail, its neighbours must not notice."""

from __future__ import annotations

import contextlib
import math
import numbers
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import Batch, Metric, Missing, StoredFeature, Value
from vcmbench.pipeline.memory import is_want_of_memory
from vcmbench.pipeline.processes import describe

FeatureValue: TypeAlias = NDArray[np.float32] | Missing


class Scorer:
    """Scores batches of equal images, each metric on as many at once as it has memory for; serves several threads."""

    def __init__(self) -> None:
        # Metric → images. Of two threads that write at once the one with more may win, which costs one attempt.
        self._at_once: dict[str, int] = {}
        self._under_way: WeakKeyDictionary[Batch, list[Metric]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def score(
        self, metrics: Sequence[Metric], reference: Batch, decoded: Batch, *, with_features: bool = False
    ) -> dict[str, list[Value | FeatureValue]]:
        """Return each column of each metric, and each feature that it stores if these are wanted.

        One value or `Missing` per image; what the batch has computed is freed as soon as no later metric needs it.
        """
        scores: dict[Metric, dict[str, list[Value | FeatureValue]]] = {}
        left = list(metrics)
        while left:
            with self._one_of(left, reference) as metric:
                scores[metric] = self._score(metric, reference, decoded, with_features=with_features)
            decoded.release(keep={extractor for later in left for extractor in later.extractors})
        return {name: values for metric in metrics for name, values in scores[metric].items()}

    @contextlib.contextmanager
    def _one_of(self, left: list[Metric], reference: Batch) -> Iterator[Metric]:
        """Take the first metric that asks for no feature that another thread may be computing of these originals, if any.

        Threads that score settings of the same images would else wait for each other at every metric of the first ones.
        """
        with self._lock:
            under_way = self._under_way.setdefault(reference, [])
            busy = {extractor for metric in under_way for extractor in metric.extractors}
            metric = next((metric for metric in left if busy.isdisjoint(metric.extractors)), left[0])
            under_way.append(metric)
        left.remove(metric)
        try:
            yield metric
        finally:
            with self._lock:
                under_way.remove(metric)

    def _score(
        self, metric: Metric, reference: Batch, decoded: Batch, *, with_features: bool
    ) -> dict[str, list[Value | FeatureValue]]:
        """Score the batch in parts that fit into memory; an image that does not even fit alone has no value."""
        features = metric.stores if with_features else ()
        scores: dict[str, list[Value | FeatureValue]] = {name: [] for name in _names(metric, features)}
        start = 0
        while start < len(decoded):
            stop = min(start + self._at_once.get(metric.name, len(decoded)), len(decoded))
            outcome = _attempt(metric, features, reference.part(start, stop), decoded.part(start, stop))
            if isinstance(outcome, _OutOfMemory):
                _free(reference, decoded)
                if stop - start > 1:
                    self._at_once[metric.name] = (stop - start + 1) // 2
                    continue
                outcome = _attempt(metric, features, reference.part(start, stop), decoded.part(start, stop))
            if isinstance(outcome, _OutOfMemory):
                reason = f"{metric.name}: out of memory on one image ({outcome.words}); free some, and run again"
                outcome = _missing(_names(metric, features), Missing(reason, transient=True), 1)
            for name, values in outcome.items():
                scores[name] += values
            start = stop
        return scores


@dataclass(frozen=True)
class _OutOfMemory:
    words: str


def _free(reference: Batch, decoded: Batch) -> None:
    reference.release()
    decoded.release()
    if decoded.images.is_cuda:
        torch.cuda.empty_cache()


def _attempt(
    metric: Metric, features: Sequence[StoredFeature], reference: Batch, decoded: Batch
) -> Mapping[str, Sequence[Value | FeatureValue]] | _OutOfMemory:
    """Score all images at once; of an exception only the words are kept."""
    try:
        scores = _checked(metric, metric.score(reference, decoded), len(decoded))
        stored = [_features(metric, feature, reference, decoded) for feature in features]
    except BaseException as error:  # a plug-in may raise anything; the reason is kept beside the null
        if _is_interrupt(error):
            raise
        words = describe(error)
        wanting = is_want_of_memory(error)
        error.__traceback__ = None  # its frames hold the tensors that filled the memory, and often the exception itself
        if wanting:
            return _OutOfMemory(words)
        return _missing(_names(metric, features), Missing(f"{metric.name}: {words}"), len(decoded))
    return {**scores, **{key: values for pair in stored for key, values in pair.items()}}


def _features(metric: Metric, feature: StoredFeature, reference: Batch, decoded: Batch) -> dict[str, list[FeatureValue]]:
    return {
        key: _checked_feature(metric, feature, batch.get(feature.extractor), len(batch))
        for key, batch in zip(feature_keys(feature.name), (decoded, reference), strict=True)
    }


def _checked_feature(metric: Metric, feature: StoredFeature, values: torch.Tensor, count: int) -> list[FeatureValue]:
    if tuple(values.shape) != (count, feature.length):
        shape = "×".join(map(str, values.shape))
        return [
            Missing(f"{metric.name}: {feature.name} is {shape} for {count} images, not {count}×{feature.length}")
        ] * count
    rows = values.float().cpu().numpy()
    return [row if np.isfinite(row).all() else Missing(f"{metric.name}: no {feature.name}") for row in rows]


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C or another signal, which Python handles in the main thread; elsewhere the metric raised it."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and not isinstance(error, Exception | SystemExit)


def _names(metric: Metric, features: Sequence[StoredFeature]) -> list[str]:
    keys = [key for feature in features for key in feature_keys(feature.name)]
    return [*metric.columns, *keys]


def _missing(names: Sequence[str], reason: Missing, count: int) -> dict[str, list[Missing]]:
    return {name: [reason] * count for name in names}


def _checked(metric: Metric, scores: object, count: int) -> Mapping[str, Sequence[Value]]:
    if not isinstance(scores, Mapping):
        return _missing(
            list(metric.columns), Missing(f"{metric.name}: its scores are {_kind(scores)}, not a mapping"), count
        )
    return {name: _checked_column(metric, name, scores, count) for name in metric.columns}


def _checked_column(metric: Metric, name: str, scores: Mapping[object, object], count: int) -> list[Value]:
    values = scores.get(name)
    if name not in scores:
        fault = f"its scores have no {name}, only {', '.join(map(str, scores)) or 'nothing'}"
    elif not isinstance(values, Sequence) or isinstance(values, str):
        fault = f"{name} is {_kind(values)}, not a list of values"
    elif len(values) != count:
        fault = f"{len(values)} values of {name} for {count} images"
    else:
        return [_checked_value(metric, name, value) for value in values]
    return [Missing(f"{metric.name}: {fault}")] * count


def _checked_value(metric: Metric, name: str, value: object) -> Value:
    dtype = metric.columns[name].dtype
    if isinstance(value, Missing):
        return value
    if dtype == "float" and isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        return number if math.isfinite(number) else Missing(f"{metric.name}: {name} is {number}")
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype == "string" and isinstance(value, str):
        return str(value)
    wanted = {"float": "a number", "bool": "a bool", "string": "a str"}[dtype]
    return Missing(f"{metric.name}: {name} is {_kind(value)}, not {wanted}")


def _kind(value: object) -> str:
    kind = type(value)
    return f"a {kind.__qualname__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__qualname__}"
