"""Images × settings to rows, in this process and its codec processes: load, code and score, which overlap."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from vcmbench import registry, weights
from vcmbench.bitstreams import BITSTREAM
from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import Codec, Metric, UsageError
from vcmbench.pipeline.codec_pool import CodecPool
from vcmbench.pipeline.coding import Coded
from vcmbench.pipeline.plan import Lacking
from vcmbench.pipeline.rows import Row, make_row
from vcmbench.pipeline.scoring import Scorer
from vcmbench.pipeline.stream import POSITION, CodingStream, Decoded, ManifestRow, Unreadable
from vcmbench.pipeline.worker_job import MetricOrder, WorkerJob
from vcmbench.run_index import MetricRecord, SettingRecord

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, from glibc's malloc.h."""


class Engine(Protocol):
    """Computes rows."""

    done: int
    """Images × settings finished since the beginning; the reader takes differences."""

    def compute(self, images: Sequence[ManifestRow], cells: Lacking) -> Iterator[Row]:
        """One row for each image × setting, in any order; with `BITSTREAM`, where the run keeps bitstreams."""

    @property
    def is_overdue(self) -> bool:
        """Whether something in this process takes longer than it may, and will perhaps never end."""

    def close(self) -> None:
        """End the processes and free what they shared."""


class ThreadedEngine:
    """Networks and metrics in threads of this process, codecs and files in processes that may be killed."""

    def __init__(self, job: WorkerJob) -> None:
        """Raise `UsageError` when this machine's codecs or metrics are not those of the driver."""
        _keep_freed_memory()
        # Threads score batches side by side instead of sharing each operation: torch's own threads wait for each other in
        # busy loops, which take the cores from the codec processes.
        torch.set_num_threads(1)
        self.done = 0
        self._job = job
        self._settings = {setting.key: setting for setting in job.index.settings}
        self._codecs = dict(zip(self._settings, _checked_codecs(job), strict=True))
        self._metrics = dict(zip([metric.key for metric in job.index.metrics], _checked_metrics(job), strict=True))
        self._scorer = Scorer()
        self._threads = ThreadPoolExecutor(job.threads, thread_name_prefix="score")
        self._watch = _Watch()
        self._pool = CodecPool(job.processes, job.time_limit, with_bitstreams=job.index.keep_bitstreams)
        self._stream = CodingStream(
            self._pool, job.dataset, job.preparation, job.setup.device, job.batch_size, ahead=2 * job.processes
        )

    @property
    def is_overdue(self) -> bool:
        """Whether a codec or metric of this process takes longer than its time limit."""
        return self._watch.is_overdue

    def close(self) -> None:
        """End the codec processes and free what they shared."""
        self._threads.shutdown(cancel_futures=True)
        self._pool.close()
        self._stream.close()

    def compute(self, images: Sequence[ManifestRow], cells: Lacking) -> Iterator[Row]:
        """One row for each image × setting, whatever happens to it."""
        scoring: deque[Future[list[Row]]] = deque()

        def finished() -> list[Row]:
            scored = scoring.popleft().result()
            self.done += len(scored)
            return scored

        stream = self._stream.decode(images, {setting: self._codecs[setting] for setting in cells})
        while (item := self._next(stream, len(cells))) is not None:
            if isinstance(item, Unreadable):
                yield from self._error_rows(item, cells)
                self.done += len(item.images) * len(cells)
                continue
            scoring.append(self._threads.submit(self._scored_rows, item, cells[item.setting]))
            if len(scoring) > self._job.threads:
                yield from finished()
        while scoring:
            yield from finished()

    def _next(self, stream: Iterator[Unreadable | Decoded], settings: int) -> Unreadable | Decoded | None:
        # A codec that runs in this process does so here. One that runs in a process has limits of its own, under which each
        # image may be tried three times, and before that with all settings of its family.
        with self._watch.at_most(self._job.grace + (3 + settings) * self._job.batch_size * self._job.time_limit):
            return next(stream, None)

    def _error_rows(self, item: Unreadable, cells: Lacking) -> list[Row]:
        size = self._job.preparation.size
        return [
            make_row(image, size, None, self._settings[setting], failure, {})
            for image, failure in zip(item.images, item.failures, strict=True)
            for setting in cells
        ]

    def _scored_rows(self, item: Decoded, keys: Sequence[str]) -> list[Row]:
        originals = item.originals
        metrics = [self._metrics[key] for key in keys]
        stored = {key for metric in metrics for feature in metric.stores for key in feature_keys(feature.name)}
        sampled = [image[POSITION] < self._job.feature_images for image in originals.images]
        with self._watch.at_most(self._job.grace + len(item.outcomes) * self._job.time_limit):
            scores = self._scorer.score(metrics, originals.batch, item.batch, with_features=any(sampled))
        rows = [
            make_row(
                image,
                self._job.preparation.size,
                loaded,
                self._settings[item.setting],
                outcome,
                {name: values[place] for name, values in scores.items() if sampled[place] or name not in stored},
            )
            for place, (image, loaded, outcome) in enumerate(
                zip(originals.images, originals.loaded, item.outcomes, strict=True)
            )
        ]
        if self._job.index.keep_bitstreams:
            for row, outcome in zip(rows, item.outcomes, strict=True):
                if isinstance(outcome, Coded):
                    row[BITSTREAM] = outcome.bitstream
        return rows


class _Watch:
    """When each of the calls under way should have ended."""

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        thread = threading.get_ident()
        self._deadlines[thread] = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._deadlines[thread]

    @property
    def is_overdue(self) -> bool:
        now = time.monotonic()
        return any(deadline < now for deadline in list(self._deadlines.values()))


def _keep_freed_memory() -> None:
    """Keep what tensors free for the next ones; glibc would give each back to the system and pay for fresh pages."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)


def _checked_metrics(job: WorkerJob) -> list[Metric]:
    metrics = [_metric(order, job) for order in job.metrics]
    if not job.setup.untrained:
        names = [name for metric in metrics for name in metric.weights]
        weights.obtain(names, unverified=job.setup.unverified, progress=False)
    for metric, expected in zip(metrics, job.index.metrics, strict=True):
        if MetricRecord.of(metric).key != expected.key:
            raise UsageError(
                f"metric {metric.name} on this worker is not the driver's: install equal versions and weights on all nodes"
            )
    return metrics


def _metric(order: MetricOrder, job: WorkerJob) -> Metric:
    try:
        metric_class: type[Metric] = registry.load(order.spelling)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"metric {order.spelling} cannot be loaded on this worker: {error}; install vcmbench and plug-ins on all nodes"
        ) from error
    metric = metric_class(job.setup, **order.params)
    if lacking := metric.unavailable():
        raise UsageError(f"metric {metric.name} cannot run on this worker: {lacking}")
    return metric


def _checked_codecs(job: WorkerJob) -> tuple[Codec, ...]:
    for codec, expected in zip(job.codecs, job.index.settings, strict=True):
        here = SettingRecord.of(codec, job.preparation.identity)
        if here.key != expected.key:
            raise UsageError(
                f"codec {codec.variant} on this worker ({here.backend}) is not the driver's ({expected.backend}): "
                "install equal versions on all nodes"
            )
    return job.codecs
