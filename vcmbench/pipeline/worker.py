"""One shard of images through every setting and metric it lacks; a plain class that knows nothing of Ray."""

from __future__ import annotations

import ctypes
import platform
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa
import torch

from vcmbench import registry
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Dataset, Metric, UsageError
from vcmbench.pipeline.codec_pool import CodecPool
from vcmbench.pipeline.plan import Lacking, ShardWork
from vcmbench.pipeline.rows import Row, differing_settings, make_row, merge_rows, not_deterministic, without_superseded
from vcmbench.pipeline.scoring import score_batch
from vcmbench.pipeline.stream import CodingStream, Decoded, ManifestRow, Unreadable
from vcmbench.results import Cells, Index, MetricRecord, RunDirectory, SettingRecord, row_schema, table_of

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, from glibc's malloc.h."""


@dataclass(frozen=True)
class WorkerJob:
    """All a worker needs to know; it can be pickled and sent to another machine."""

    run_url: str
    index: Index
    dataset: Dataset
    preparation: Preparation
    codecs: tuple[Codec, ...]
    """In the order of the index's settings."""
    metrics: tuple[str, ...]
    """As `module:Class`, in the order of the index's metrics."""
    device: str
    processes: int
    threads: int
    """How many batches are scored side by side."""
    batch_size: int
    time_limit: float


@dataclass(frozen=True)
class ShardResult:
    """What came of a shard; its file counts only once the driver has put it into the index."""

    shard: int
    generation: int
    file: str
    cells: Cells
    size: int
    seconds: Mapping[str, float]
    """Stage → seconds: "read" the stored state, "compute" (load, code and score, which overlap), "write" the new file."""
    not_deterministic: tuple[str, ...]
    """Variants that coded an image to other bytes or pixels than are stored."""


class Worker:
    """Loads each network once, keeps its codec processes, and does one shard after the other."""

    def __init__(self, job: WorkerJob) -> None:
        """Raise `UsageError` when this machine's codecs or metrics are not those of the driver."""
        _keep_freed_memory()
        # Threads score batches side by side instead of sharing each operation: torch's own threads wait for each other in
        # busy loops, which take the cores from the codec processes.
        torch.set_num_threads(1)
        self.done = 0
        """Images × settings of the shard under way that are finished, those coded twice counted twice."""
        self._job = job
        self._run = RunDirectory(job.run_url)
        self._settings = {setting.key: setting for setting in job.index.settings}
        self._codecs = dict(zip(self._settings, _checked_codecs(job), strict=True))
        self._metrics = dict(zip([metric.key for metric in job.index.metrics], _loaded_metrics(job), strict=True))
        self._scorers = ThreadPoolExecutor(job.threads, thread_name_prefix="score")
        self._pool = CodecPool(job.processes, job.time_limit)
        self._stream = CodingStream(
            self._pool, job.dataset, job.preparation, job.device, job.batch_size, ahead=2 * job.processes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the codec processes and free what they shared."""
        self._scorers.shutdown(cancel_futures=True)
        self._pool.close()
        self._stream.close()

    def run(self, work: ShardWork) -> ShardResult:
        """Compute a shard's missing cells and store its new file."""
        self.done = 0
        index = self._job.index
        started = time.perf_counter()
        images = self._run.manifest(work.shard).to_pylist()
        record = index.shards.get(work.shard)
        schema = row_schema(index.columns)
        before = _without_retyped(self._run.read_shard(record.file), schema) if record else schema.empty_table()
        stored = without_superseded(before.to_pylist(), index.settings)

        read = time.perf_counter()
        fresh = self._compute(images, work.missing)
        differing = differing_settings(stored, fresh)
        unsteady = not_deterministic(stored, fresh)
        if differing:
            again = self._compute(images, dict.fromkeys(sorted(differing), tuple(self._metrics)))
            fresh = [row for row in fresh if row["setting"] not in differing] + again
        kept = _kept_cells(index.cells(work.shard), {str(row["setting"]) for row in stored} - differing, before.column_names)
        gained = {setting: self._columns(work.missing[setting]) for setting in work.missing if setting in kept}
        rows = merge_rows(stored, fresh, gained)

        computed = time.perf_counter()
        table = table_of(_in_order(rows, images, index), pa.unify_schemas([before.schema, schema]))
        file = self._run.write_shard(work.shard, work.generation, table)
        written = time.perf_counter()
        return ShardResult(
            shard=work.shard,
            generation=work.generation,
            file=file,
            cells={**kept, **{setting: {**kept.get(setting, {}), **index.wanted[setting]} for setting in work.missing}},
            size=work.size,
            seconds={"read": read - started, "compute": computed - read, "write": written - computed},
            not_deterministic=tuple(self._settings[setting].variant for setting in sorted(unsteady)),
        )

    def _compute(self, images: Sequence[ManifestRow], cells: Lacking) -> list[Row]:
        rows: list[Row] = []
        scoring: deque[Future[list[Row]]] = deque()

        def finish() -> None:
            scored = scoring.popleft().result()
            rows.extend(scored)
            self.done += len(scored)

        for item in self._stream.decode(images, {setting: self._codecs[setting] for setting in cells}):
            if isinstance(item, Unreadable):
                rows += self._error_rows(item, cells)
                self.done += len(item.images) * len(cells)
                continue
            scoring.append(self._scorers.submit(self._scored_rows, item, cells[item.setting]))
            if len(scoring) > self._job.threads:
                finish()
        while scoring:
            finish()
        return rows

    def _error_rows(self, item: Unreadable, cells: Lacking) -> list[Row]:
        size = self._job.preparation.size
        return [
            make_row(image, size, "", self._settings[setting], failure, {})
            for image, failure in zip(item.images, item.failures, strict=True)
            for setting in cells
        ]

    def _scored_rows(self, item: Decoded, metrics: Sequence[str]) -> list[Row]:
        originals = item.originals
        scores = score_batch([self._metrics[metric] for metric in metrics], originals.batch, item.batch)
        return [
            make_row(
                image,
                self._job.preparation.size,
                loaded.note,
                self._settings[item.setting],
                outcome,
                {name: values[place] for name, values in scores.items()},
            )
            for place, (image, loaded, outcome) in enumerate(
                zip(originals.images, originals.loaded, item.outcomes, strict=True)
            )
        ]

    def _columns(self, metrics: Sequence[str]) -> list[str]:
        return [name for metric in metrics for name in self._metrics[metric].columns]


def _keep_freed_memory() -> None:
    """Keep what tensors free for the next ones; glibc would give each back to the system and pay for fresh pages."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)


def _loaded_metrics(job: WorkerJob) -> list[Metric]:
    metrics: list[Metric] = [_metric_class(spelling)(device=job.device) for spelling in job.metrics]
    for metric, expected in zip(metrics, job.index.metrics, strict=True):
        if MetricRecord.of(metric).key != expected.key:
            raise UsageError(
                f"metric {metric.name} on this worker is not the driver's: install equal versions and weights on all nodes"
            )
    return metrics


def _metric_class(spelling: str) -> type[Metric]:
    try:
        return registry.load(spelling)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"metric {spelling} cannot be loaded on this worker: {error}; install vcmbench and plug-ins on all nodes"
        ) from error


def _checked_codecs(job: WorkerJob) -> tuple[Codec, ...]:
    for codec, expected in zip(job.codecs, job.index.settings, strict=True):
        here = SettingRecord.of(codec, job.preparation.identity)
        if here.key != expected.key:
            raise UsageError(
                f"codec {codec.variant} on this worker ({here.backend}) is not the driver's ({expected.backend}): "
                "install equal versions on all nodes"
            )
    return job.codecs


def _without_retyped(before: pa.Table, schema: pa.Schema) -> pa.Table:
    """The stored rows without the columns to which a metric now gives values of another type."""
    types = {field.name: field.type for field in schema}
    return before.drop_columns([field.name for field in before.schema if types.get(field.name, field.type) != field.type])


def _kept_cells(cells: Cells, settings: Collection[str], columns: Collection[str]) -> Cells:
    """The stored cells of these settings and columns."""
    return {
        setting: {column: metric for column, metric in metrics.items() if column in columns}
        for setting, metrics in cells.items()
        if setting in settings
    }


def _in_order(rows: Sequence[Row], images: Sequence[ManifestRow], index: Index) -> list[Row]:
    """By image as in the manifest, then by setting as in the job, so that a file does not depend on what ran first."""
    image_order = {image["image"]: place for place, image in enumerate(images)}
    setting_order = {setting.key: place for place, setting in enumerate(index.settings)}

    def place(row: Row) -> tuple[int, int, str]:
        setting = str(row["setting"])
        return image_order[row["image"]], setting_order.get(setting, len(setting_order)), setting

    return sorted(rows, key=place)
