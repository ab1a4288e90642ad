"""What ends or stops a worker itself is found image by image, on a real cluster."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from faulty import Faulty
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench.interfaces import Batch, Column, Metric, Scores
from vcmbench.pipeline import cluster
from vcmbench.pipeline.cluster import Layout, RayExecutor
from vcmbench.pipeline.driver import Executor
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult
from vcmbench.pipeline.worker_job import WorkerJob

IMAGES, CULPRIT = 4, 1


class InWorker(Faulty):
    """A faulty codec that runs in the worker itself, as networks do."""

    family = "in worker"
    runs_in = "worker"


class Deadly(Metric):
    """Gives 1, and reads memory that is not there when a marked image comes."""

    name = "deadly"
    summary = "ends its process on purpose"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"deadly": Column("Deadly", "higher")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Score every image, or end the process."""
        if any(tuple(image[:, 0, 0].tolist()) == (255, 0, 0) for image in reference.images):
            ctypes.string_at(0)
        return {"deadly": [1.0] * len(decoded)}


@pytest.fixture(scope="module", autouse=True)
def connected() -> Iterator[None]:
    """One local cluster for the module."""
    with cluster.connected("auto"):
        yield


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", IMAGES, marked=[CULPRIT])
    return tmp_path / "images"


def with_less_grace(seconds: float) -> Executor:
    """One worker on the cluster, which hangs for at most about so long."""

    def execute(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        return RayExecutor(Layout(1, 1, 0))(replace(job, grace=seconds), works, progress)

    return execute


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """The rows without these columns."""
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def test_a_codec_that_ends_the_worker_costs_its_own_row(images: Path, tmp_path: Path) -> None:
    """A segfault in the worker on one image × setting is an error row that may pass; every other row is undisturbed."""
    task = make_task(images, tmp_path / "run", shard_size=2)
    undisturbed = rows(bring_up_to_date(replace(task, out=str(tmp_path / "alone"))), tmp_path / "alone")
    deadly = InWorker(fault="segfault")
    outcome = bring_up_to_date(replace(task, codecs=(deadly, *task.codecs)), RayExecutor(Layout(1, 1, 0)))
    assert rows(outcome, tmp_path / "run", task.codecs) == undisturbed
    faulty = rows(outcome, tmp_path / "run", [deadly])
    assert [row["status"] for row in faulty] == ["error" if number == CULPRIT else "ok" for number in range(IMAGES)]
    assert faulty[CULPRIT]["error"] == (
        f"{deadly.variant}: its process died (Segmentation fault), and took the worker with it"
    )
    assert faulty[CULPRIT]["transient"]
    assert [record.generation for _, record in sorted(outcome.index.shards.items())] == [3, 1]


def test_a_metric_that_ends_the_worker_costs_its_own_values(images: Path, tmp_path: Path) -> None:
    """The culprit's column is null with the reason for that image alone; other columns are as without it."""
    task = make_task(images, tmp_path / "run", shard_size=2)
    undisturbed = rows(bring_up_to_date(replace(task, out=str(tmp_path / "alone"))), tmp_path / "alone")
    outcome = bring_up_to_date(replace(task, metrics=(Deadly(), *task.metrics)), RayExecutor(Layout(1, 1, 0)))
    stored = rows(outcome, tmp_path / "run")
    assert without(stored, "deadly", "metric_errors", "transient") == without(undisturbed, "metric_errors", "transient")
    for row in stored:
        hit = row["image"] == f"{CULPRIT:03}.png"
        assert row["deadly"] == (None if hit else 1.0)
        assert row["transient"] is hit
        reason = "deadly: its process died (Segmentation fault), and took the worker with it"
        assert row["metric_errors"] == ([("deadly", reason)] if hit else [])


def test_a_codec_that_hangs_in_the_worker_is_stopped(images: Path, tmp_path: Path) -> None:
    """A worker that is overdue is killed; in the end the image that it hangs on has its error row and the others theirs."""
    task = make_task(images, tmp_path / "run", codecs=(InWorker(fault="hang"),), time_limit=0.5)
    began = time.monotonic()
    outcome = bring_up_to_date(task, with_less_grace(5.0), batch_size=1)
    stored = rows(outcome, tmp_path / "run")
    assert [row["status"] for row in stored] == ["error" if number == CULPRIT else "ok" for number in range(IMAGES)]
    assert "took longer than" in stored[CULPRIT]["error"]
    assert time.monotonic() - began < 120
