"""Images one by one in a process that may die: for a shard that ended its worker again and again.

What runs in the worker itself, a network or a metric, is anybody's native code, too. Once it has cost a worker twice, speed
does not matter any more: each image × setting, and if need be each metric, is tried in a process beside the worker, and what
ends that process becomes an error row or a null with its reason.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace

from vcmbench.pipeline.coding import Failure
from vcmbench.pipeline.engine import ThreadedEngine
from vcmbench.pipeline.plan import Lacking
from vcmbench.pipeline.processes import ProcessDied, ProcessPool, TaskFailed
from vcmbench.pipeline.rows import Row, make_row, merge_rows
from vcmbench.pipeline.stream import ManifestRow
from vcmbench.pipeline.worker_job import WorkerJob

Death = (ProcessDied, TaskFailed)


class IsolatedEngine:
    """A `ThreadedEngine` in another process, given as little at a time as it takes to find a culprit."""

    is_overdue = False  # every task has a time limit

    def __init__(self, job: WorkerJob) -> None:
        self.done = 0
        self._job = job
        self._message = pickle.dumps(replace(job, processes=1, threads=1, batch_size=1))
        self._settings = {setting.key: setting for setting in job.index.settings}
        self._row_keys = {metric.key: metric.row_keys for metric in job.index.metrics}
        self._pool = ProcessPool(1)

    def close(self) -> None:
        """End the process."""
        self._pool.close()

    def compute(self, images: Sequence[ManifestRow], cells: Lacking) -> Iterator[Row]:
        """One row for each image × setting, whatever happens to it."""
        for image in images:
            yield from self._isolate(image, cells)
            self.done += len(cells)

    def _isolate(self, image: ManifestRow, cells: Lacking) -> list[Row]:
        try:
            return self._attempt(image, cells)
        except Death as death:
            if len(cells) > 1:
                return [row for setting, metrics in cells.items() for row in self._isolate(image, {setting: metrics})]
            [(setting, metrics)] = cells.items()
            if not metrics:
                return [self._error_row(image, setting, death)]
            return self._metric_by_metric(image, setting, metrics)

    def _metric_by_metric(self, image: ManifestRow, setting: str, metrics: Sequence[str]) -> list[Row]:
        rows = self._isolate(image, {setting: ()})
        if rows[0]["status"] == "error":
            return rows
        for metric in metrics:
            try:
                scored = self._attempt(image, {setting: (metric,)})
            except Death as death:
                scored = [self._without_value(row, metric, death) for row in rows]
            rows = merge_rows(rows, scored, {setting: self._row_keys[metric]})
        return rows

    def _attempt(self, image: ManifestRow, cells: Lacking) -> list[Row]:
        limit = self._job.grace + 3 * len(cells) * self._job.time_limit
        return self._pool.schedule(limit, _compute, self._message, image, cells).result()

    def _error_row(self, image: ManifestRow, setting: str, death: Exception) -> Row:
        failure = Failure(self._reason(setting, death), transient=True)
        return make_row(image, self._job.preparation.size, None, self._settings[setting], failure, {})

    def _without_value(self, row: Row, metric: str, death: Exception) -> Row:
        reason = self._reason(metric, death)
        return {**row, "transient": True, "metric_errors": [(column, reason) for column in self._row_keys[metric]]}

    def _reason(self, key: str, death: Exception) -> str:
        names = {metric.key: metric.name for metric in self._job.index.metrics}
        names |= {setting.key: setting.variant for setting in self._job.index.settings}
        consequence = ", and took the worker with it" if isinstance(death, ProcessDied) else ""
        return f"{names[key]}: {death}{consequence}"


def _compute(message: bytes, image: ManifestRow, cells: Lacking) -> Iterator[Row]:
    yield from _engine(message).compute([image], cells)


@functools.lru_cache(maxsize=1)
def _engine(message: bytes) -> ThreadedEngine:
    """The networks stay loaded from one image to the next."""
    return ThreadedEngine(pickle.loads(message))  # noqa: S301  # from the worker
