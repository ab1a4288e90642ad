"""Scoring one decoded batch with every metric: a metric may fail, its neighbours must not notice."""

from __future__ import annotations

import math
import numbers
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from vcmbench.interfaces import Batch, Metric, Missing, Value
from vcmbench.pipeline.memory import is_want_of_memory
from vcmbench.pipeline.processes import describe


class Scorer:
    """Scores batches of equal images, each metric on as many at once as it has memory for; serves several threads."""

    def __init__(self) -> None:
        # Metric → images. Of two threads that write at once the one with more may win, which costs one attempt.
        self._at_once: dict[str, int] = {}

    def score(self, metrics: Sequence[Metric], reference: Batch, decoded: Batch) -> dict[str, list[Value]]:
        """Return each column of each metric, one value or `Missing` per image; frees features as soon as none needs them."""
        scores: dict[str, list[Value]] = {}
        for position, metric in enumerate(metrics):
            scores.update(self._score(metric, reference, decoded))
            decoded.release(keep={extractor for later in metrics[position + 1 :] for extractor in later.extractors})
        return scores

    def _score(self, metric: Metric, reference: Batch, decoded: Batch) -> dict[str, list[Value]]:
        """Score the batch in parts that fit into memory; an image that does not even fit alone has no value."""
        scores: dict[str, list[Value]] = {name: [] for name in metric.columns}
        start = 0
        while start < len(decoded):
            stop = min(start + self._at_once.get(metric.name, len(decoded)), len(decoded))
            outcome = _attempt(metric, reference.part(start, stop), decoded.part(start, stop))
            if isinstance(outcome, _OutOfMemory):
                _free(reference, decoded)
                if stop - start > 1:
                    self._at_once[metric.name] = (stop - start + 1) // 2
                    continue
                outcome = _attempt(metric, reference.part(start, stop), decoded.part(start, stop))
            if isinstance(outcome, _OutOfMemory):
                reason = f"{metric.name}: out of memory on one image ({outcome.words}); free some, and run again"
                outcome = _missing(metric, Missing(reason, transient=True), 1)
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


def _attempt(metric: Metric, reference: Batch, decoded: Batch) -> dict[str, list[Value]] | _OutOfMemory:
    """Score all images at once; of an exception only the words are kept."""
    try:
        return _checked(metric, metric.score(reference, decoded), len(decoded))
    except BaseException as error:  # a plug-in may raise anything; the reason is kept beside the null
        if _is_interrupt(error):
            raise
        words = describe(error)
        wanting = is_want_of_memory(error)
        error.__traceback__ = None  # its frames hold the tensors that filled the memory, and often the exception itself
        if wanting:
            return _OutOfMemory(words)
        return _missing(metric, Missing(f"{metric.name}: {words}"), len(decoded))


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C or another signal, which Python handles in the main thread; elsewhere the metric raised it."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and not isinstance(error, Exception | SystemExit)


def _missing(metric: Metric, reason: Missing, count: int) -> dict[str, list[Value]]:
    return {name: [reason] * count for name in metric.columns}


def _checked(metric: Metric, scores: object, count: int) -> dict[str, list[Value]]:
    if not isinstance(scores, Mapping):
        return _missing(metric, Missing(f"{metric.name}: its scores are {_kind(scores)}, not a mapping"), count)
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
