"""Bring a run directory to what a job asks for: manifest, index, plan, then one commit per finished shard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from vcmbench import registry
from vcmbench.datasets.selection import select
from vcmbench.interfaces import UsageError
from vcmbench.pipeline.environment import environment
from vcmbench.pipeline.plan import ShardWork, plan
from vcmbench.pipeline.task import Task
from vcmbench.pipeline.worker import ShardResult, WorkerJob
from vcmbench.results import CONFIG, MANIFEST, Index, MetricRecord, RunDirectory, SettingRecord

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


@dataclass
class Outcome:
    """How a run ended."""

    index: Index
    computed: int = 0
    """Images × settings coded by this call; 0 when nothing was missing."""
    seconds: dict[str, float] = field(default_factory=dict)
    not_deterministic: set[str] = field(default_factory=set)


def open_run(task: Task) -> tuple[RunDirectory, Index]:
    """Make or reopen the run directory: manifest, resolved job and an index of what is asked for now.

    Raises `UsageError` when the job contradicts what the directory was begun with.
    """
    run = RunDirectory(task.out)
    stored = run.read_index()
    before = _stored_job(run)
    if before is not None:
        _refuse_contradiction(before, task, run)
        if not run.exists(MANIFEST):
            raise UsageError(f"{run.path(MANIFEST)} is missing; restore it, or choose another `out`")
    if before is None or _grown(before, task):
        # A manifest without a job is what a run left that was killed here; nothing was computed from it.
        images = select(task.dataset.images(), task.selection)
        run.write_manifest(images, task.shard_size, append=before is not None)
    run.write(CONFIG, yaml.safe_dump(dict(task.resolved), sort_keys=False, allow_unicode=True).encode())
    index = Index(
        name=task.name,
        notice=task.dataset.notice,
        settings=tuple(SettingRecord.of(codec, task.preparation.identity) for codec in task.codecs),
        metrics=tuple(MetricRecord.of(metric()) for metric in task.metrics),
        cell_sets=stored.cell_sets if stored else {},
        shards=stored.shards if stored else {},
    )
    run.write_index(index)
    return run, index


def converge(
    task: Task,
    run: RunDirectory,
    index: Index,
    works: Sequence[ShardWork],
    resources: Resources,
    execute: Executor,
    progress: Callable[[int], None],
) -> Outcome:
    """Compute every missing cell; each finished shard is committed to the index before the next is awaited."""
    outcome = Outcome(index)
    if works:
        # The report shows the provenance, and a tracking URI may hold a password.
        job = {key: value for key, value in task.resolved.items() if key != "mlflow"}
        run.write_provenance({"environment": environment(), "job": job})
    for result in execute(worker_job(task, index, resources), works, progress):
        if not run.exists(result.file):
            raise UsageError(
                f"{run.path(result.file)} was stored by a worker but is not here; put `out` where all nodes see it"
            )
        outcome.index = outcome.index.with_shard(result.shard, result.file, result.generation, result.cells)
        run.write_index(outcome.index)
        outcome.computed += result.size
        outcome.not_deterministic |= set(result.not_deterministic)
        for stage, seconds in result.seconds.items():
            outcome.seconds[stage] = outcome.seconds.get(stage, 0.0) + seconds
    return outcome


def worker_job(task: Task, index: Index, resources: Resources) -> WorkerJob:
    """What every worker of this task is told."""
    return WorkerJob(
        run_url=RunDirectory(task.out).absolute_url,
        index=index,
        dataset=task.dataset,
        preparation=task.preparation,
        codecs=task.codecs,
        metrics=tuple(registry.spell(metric) for metric in task.metrics),
        time_limit=task.time_limit,
        device=resources.device,
        processes=resources.processes,
        threads=resources.threads,
        batch_size=batch_of(resources.batch_size, task.preparation.size),
    )


def batch_of(batch_size: int, side: int) -> int:
    """How many images of that side take the memory of so many of `BATCH_SIDE`; not more of smaller ones."""
    return max(1, min(batch_size, batch_size * BATCH_SIDE**2 // side**2))


def missing_work(run: RunDirectory, index: Index) -> list[ShardWork]:
    """What the run still needs, shard by shard."""
    return plan(run.shard_sizes(), index)


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
    return {"shard_size": job["shard_size"], **_dotted("dataset", section)}


def _dotted(prefix: str, section: Mapping[str, Any]) -> dict[str, object]:
    keys: dict[str, object] = {}
    for key, value in section.items():
        name = f"{prefix}.{key}"
        keys |= _dotted(name, value) if isinstance(value, dict) else {name: value}
    return keys


def _grown(before: Mapping[str, Any], task: Task) -> bool:
    return _limit(task.resolved) > _limit(before)


def _limit(job: Mapping[str, Any]) -> float:
    limit = job["dataset"].get("limit")
    return math.inf if limit is None else float(limit)
