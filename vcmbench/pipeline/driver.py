"""Bring a run directory to what a job asks for: manifest, index, plan, then one commit per finished shard."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa
import yaml

from vcmbench import registry, weights
from vcmbench.datasets.selection import select
from vcmbench.interfaces import Superseded, UsageError
from vcmbench.pipeline.environment import environment
from vcmbench.pipeline.lease import Lease, held, taken_over
from vcmbench.pipeline.plan import Retry, ShardWork, plan
from vcmbench.pipeline.task import Task
from vcmbench.pipeline.worker import ShardResult
from vcmbench.pipeline.worker_job import MetricOrder, WorkerJob
from vcmbench.results import BITSTREAMS, CONFIG, FEATURES, INDEX, MANIFEST, RESULTS, RunDirectory
from vcmbench.run_index import Index, MetricRecord, SettingRecord
from vcmbench.storage import UNFINISHED

GROWING = ("limit",)
"""Keys of the data set that a later job may change, since a larger one only appends images."""


BATCH_SIDE = 256


@dataclass(frozen=True)
class Resources:
    """What each worker may use."""

    device: str
    processes: int
    threads: int
    batch_size: int
    """Images of `BATCH_SIDE`×`BATCH_SIDE` pixels that are scored together; fewer of larger ones."""


def share(device: str, cores: int) -> Resources:
    """What a worker makes of its cores: a codec process for each, and on the CPU as many threads that score."""
    if device == "cuda":
        return Resources(device, processes=cores, threads=1, batch_size=64)
    return Resources(device, processes=cores, threads=cores, batch_size=16)


class Executor(Protocol):
    """Runs shards in workers, here or on a cluster, and hands back each as it is finished."""

    def __call__(self, job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        """Yield each shard's result; `progress` is told the images × settings finished so far."""


@dataclass(frozen=True)
class Survey:
    """What a run directory holds, and what the job asks of it; nothing was written."""

    task: Task
    directory: RunDirectory
    index: Index
    """What is asked for now, with the shards that are stored; one whose file is gone is computed again."""
    begun: bool
    grows: bool
    """Whether the manifest must be written or appended to."""
    files: frozenset[str]
    """Everything in the folders of shard files."""

    def shard_sizes(self) -> dict[int, int]:
        """Shard → its number of images, as the manifest says or will say."""
        sizes = self.directory.shard_sizes() if self.begun else {}
        if self.grows:
            images = sum(batch.num_rows for batch in select(self.task.dataset.images(), self.task.selection))
            first, new = max(sizes, default=-1) + 1, images - sum(sizes.values())
            full, rest = divmod(new, self.task.shard_size)
            sizes |= dict.fromkeys(range(first, first + full), self.task.shard_size)
            sizes |= {first + full: rest} if rest else {}
        return sizes


@dataclass(frozen=True)
class Run:
    """A run directory that this driver holds, with manifest and index as the job asks."""

    task: Task
    directory: RunDirectory
    index: Index
    lease: Lease

    def missing_work(self, retry: Retry | None = None) -> list[ShardWork]:
        """What the run still needs, shard by shard."""
        return plan(self.directory.shard_sizes(), self.index, retry)


@dataclass
class Outcome:
    """How a run ended."""

    index: Index
    computed: int = 0
    """Images × settings coded by this call; 0 when nothing was missing."""
    seconds: dict[str, float] = field(default_factory=dict)
    not_deterministic: set[str] = field(default_factory=set)
    replaced: list[str] = field(default_factory=list)
    """Images that are no longer those which the stored rows were computed from."""


def survey(task: Task) -> Survey:
    """Look at a run directory; raise `UsageError` when the job contradicts what it was begun with."""
    directory = RunDirectory(task.out)
    stored = directory.read_index()
    before = _checked_job(directory, task)
    if before is not None and not directory.exists(MANIFEST):
        raise UsageError(f"{directory.path(MANIFEST)} is missing; restore it, or choose another `out`")
    files = frozenset(file for folder in (RESULTS, FEATURES, BITSTREAMS) for file in directory.names(folder))
    shards = stored.shards if stored else {}
    index = Index(
        name=task.name,
        notice="; ".join(filter(None, (task.dataset.notice, *task.notices))),
        settings=tuple(SettingRecord.of(codec, task.preparation.identity) for codec in task.codecs),
        metrics=tuple(MetricRecord.of(metric) for metric in task.metrics),
        without=dict(task.without),
        keep_bitstreams=task.keep_bitstreams,
        cell_sets=stored.cell_sets if stored else {},
        bitstream_sets=stored.bitstream_sets if stored else {},
        shards={shard: found for shard, record in shards.items() if (found := record.found_in(files))},
    )
    # A manifest without a job is what a run left that was killed here; nothing was computed from it.
    return Survey(task, directory, index, begun=before is not None, grows=_grows(before, task), files=files)


@contextlib.contextmanager
def open_run(task: Task) -> Iterator[Run]:
    """Hold the run directory while the block runs, and make manifest, resolved job and index those of the job.

    Raises `UsageError` when the job contradicts what the directory was begun with, or another driver holds it.
    """
    directory = RunDirectory(task.out)
    # A data set that is not there is told before anything is written.
    images = _selected(task) if _grows(_checked_job(directory, task), task) else None
    with held(directory) as lease:
        _delete_unfinished(directory)
        found = survey(task)
        directory = found.directory
        if found.grows:
            directory.write_manifest(images or _selected(task), task.shard_size, append=found.begun)
        del images  # the listing's memory
        directory.write(CONFIG, yaml.safe_dump(dict(task.resolved), sort_keys=False, allow_unicode=True).encode())
        index = found.index.model_copy(update={"writer": lease.token})
        directory.write_index(index)
        for file in found.files - {file for record in index.shards.values() for file in record.files}:
            directory.delete(file)  # a former generation, or what a killed run left
        yield Run(task, directory, index, lease)


def converge(
    run: Run,
    works: Sequence[ShardWork],
    resources: Resources,
    execute: Executor,
    progress: Callable[[int], None],
) -> Outcome:
    """Compute every missing cell; each finished shard is committed to the index before the next is awaited.

    Raises `Superseded` as soon as another driver is seen to have taken the run over.
    """
    outcome = Outcome(run.index)
    if works:
        # The report shows the provenance, and a tracking URI may hold a password.
        job = {key: value for key, value in run.task.resolved.items() if key != "mlflow"}
        run.directory.write_provenance({"environment": environment(), "weights": _weights(run.task), "job": job})

    def show(done: int) -> None:
        run.lease.check()
        progress(done)

    for result in execute(worker_job(run, resources), works, show):
        _commit(run, outcome, result)
    return outcome


def _selected(task: Task) -> Iterator[pa.RecordBatch]:
    """The images of the job, of which the first have been listed already."""
    images = select(task.dataset.images(), task.selection)
    return itertools.chain([next(images)], images)


def _weights(task: Task) -> dict[str, str]:
    """The weight files that the job's networks are made from, and their SHA-256."""
    names = dict.fromkeys(name for metric in task.metrics for name in metric.weights)
    files = [] if task.setup.untrained else [weights.verified(name, unverified=task.setup.unverified) for name in names]
    return {file.name: weights.sha256(file) for file in files}


def _commit(run: Run, outcome: Outcome, result: ShardResult) -> None:
    if not all(run.directory.exists(file) for file in filter(None, (result.file, result.features, result.bitstreams))):
        if not run.directory.exists(INDEX):
            raise Superseded(taken_over(run.directory))
        raise UsageError(
            f"{run.directory.path(result.file)} was stored by a worker but is not here; put `out` where all nodes see it"
        )
    outcome.index = outcome.index.with_shard(
        result.shard,
        result.file,
        result.generation,
        result.cells,
        result.errors,
        result.transient,
        result.features,
        result.bitstreams,
        result.bitstreams_of,
    )
    try:
        run.directory.write_index(outcome.index)
    except Superseded as loss:
        raise Superseded(taken_over(run.directory)) from loss
    outcome.computed += result.size
    outcome.not_deterministic |= set(result.not_deterministic)
    outcome.replaced += result.replaced
    for stage, seconds in result.seconds.items():
        outcome.seconds[stage] = outcome.seconds.get(stage, 0.0) + seconds


def _delete_unfinished(directory: RunDirectory) -> None:
    """Delete the manifest that a killed run had begun to write, before this run writes anything in the same way."""
    for file in directory.names(""):
        if file.endswith(UNFINISHED):
            directory.delete(file)


def worker_job(run: Run, resources: Resources) -> WorkerJob:
    """What every worker of this run is told."""
    task = run.task
    return WorkerJob(
        run_url=run.directory.absolute_url,
        writer=run.lease.token,
        index=run.index,
        dataset=task.dataset,
        preparation=task.preparation,
        codecs=task.codecs,
        metrics=tuple(MetricOrder(registry.spell(type(metric)), metric.params) for metric in task.metrics),
        setup=replace(task.setup, device=resources.device),
        feature_images=task.feature_images,
        time_limit=task.time_limit,
        processes=resources.processes,
        threads=resources.threads,
        batch_size=batch_of(resources.batch_size, task.preparation.size),
    )


def batch_of(batch_size: int, side: int) -> int:
    """How many images of that side take the memory of so many of `BATCH_SIDE`; not more of smaller ones."""
    return max(1, min(batch_size, batch_size * BATCH_SIDE**2 // side**2))


def _checked_job(run: RunDirectory, task: Task) -> dict[str, Any] | None:
    """The job that the directory was begun with; raises `UsageError` when the new one contradicts it."""
    before = _stored_job(run)
    if before is not None:
        _refuse_contradiction(before, task, run)
    return before


def _stored_job(run: RunDirectory) -> dict[str, Any] | None:
    if not run.exists(CONFIG):
        return None
    try:
        job = yaml.safe_load(run.read(CONFIG))
    except (yaml.YAMLError, UnicodeDecodeError):
        job = None
    if not isinstance(job, dict) or not isinstance(job.get("dataset"), dict):
        raise UsageError(f"{run.path(CONFIG)} is damaged; restore it, or choose another `out`")
    return job


def _refuse_contradiction(before: Mapping[str, Any], task: Task, run: RunDirectory) -> None:
    old, new = _fixed(before), _fixed(task.resolved)
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            begun = f"{run.url} was begun with {old.get(key)!r}"
            raise UsageError(f"{key} is {new.get(key)!r}, but {begun}; restore it, or choose another `out`")
    if _limit(task.resolved) < _limit(before):
        raise UsageError(
            f"dataset.limit is {task.resolved['dataset']['limit']}, but {run.url} already holds "
            f"{before['dataset']['limit'] or 'all'} images; raise it, or choose another `out`"
        )


def _fixed(job: Mapping[str, Any]) -> dict[str, object]:
    """What may not change in a run directory, by dotted key: which images, how prepared, in which shards."""
    section = {key: value for key, value in job["dataset"].items() if key not in GROWING}
    return {"shard_size": job["shard_size"], "feature_images": job.get("feature_images"), **_dotted("dataset", section)}


def _dotted(prefix: str, section: Mapping[str, Any]) -> dict[str, object]:
    keys: dict[str, object] = {}
    for key, value in section.items():
        name = f"{prefix}.{key}"
        keys |= _dotted(name, value) if isinstance(value, dict) else {name: value}
    return keys


def _grows(before: Mapping[str, Any] | None, task: Task) -> bool:
    """Whether the manifest must be written or appended to."""
    return before is None or _limit(task.resolved) > _limit(before)


def _limit(job: Mapping[str, Any]) -> float:
    limit = job["dataset"].get("limit")
    return math.inf if limit is None else float(limit)
