"""Bring a run directory to what a job asks for: manifest, index, plan, then one commit per finished shard."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Resources:
    """What each worker may use."""

    device: str
    processes: int
    threads: int
    batch_size: int


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
    before = yaml.safe_load(run.read(CONFIG)) if run.exists(CONFIG) else None
    if before is not None:
        _refuse_contradiction(before, task, run)
    if before is None or not run.exists(MANIFEST) or _grown(before, task):
        run.write_manifest(select(task.dataset.images(), task.selection), task.shard_size)
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
        run.write_provenance({"environment": environment(), "job": dict(task.resolved)})
    for result in execute(worker_job(task, index, resources), works, progress):
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
        run_url=task.out,
        index=index,
        dataset=task.dataset,
        preparation=task.preparation,
        codecs=task.codecs,
        metrics=tuple(registry.spell(metric) for metric in task.metrics),
        time_limit=task.time_limit,
        device=resources.device,
        processes=resources.processes,
        threads=resources.threads,
        batch_size=resources.batch_size,
    )


def missing_work(run: RunDirectory, index: Index) -> list[ShardWork]:
    """What the run still needs, shard by shard."""
    return plan(run.shard_sizes(), index)


def _refuse_contradiction(before: Mapping[str, Any], task: Task, run: RunDirectory) -> None:
    pairs = [("shard_size", before.get("shard_size"), task.shard_size)]
    data, wanted = before.get("dataset", {}), task.resolved["dataset"]
    pairs += [(f"dataset.{key}", data.get(key), wanted.get(key)) for key in {**data, **wanted} if key not in GROWING]
    for key, old, new in pairs:
        if old != new:
            raise UsageError(f"{key} is {new!r}, but {run.url} was begun with {old!r}; restore it, or choose another `out`")
    if _limit(wanted) < _limit(data):
        raise UsageError(
            f"dataset.limit is {wanted.get('limit')}, but {run.url} already holds {data.get('limit') or 'all'} images; "
            "raise it, or choose another `out`"
        )


def _grown(before: Mapping[str, Any], task: Task) -> bool:
    return _limit(task.resolved["dataset"]) > _limit(before["dataset"])


def _limit(section: Mapping[str, Any]) -> float:
    return float("inf") if section.get("limit") is None else float(section["limit"])
