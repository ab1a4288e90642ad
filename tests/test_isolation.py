"""What ends or stops a worker itself is found image by image, on a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from faulty import Deadly, InWorker
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench import codecs, metrics
from vcmbench.interfaces import Codec
from vcmbench.pipeline import cluster
from vcmbench.pipeline.cluster import Layout, RayExecutor
from vcmbench.pipeline.driver import Outcome
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.task import Task
from vcmbench.pipeline.worker import ShardResult
from vcmbench.pipeline.worker_job import WorkerJob

IMAGES, CULPRIT = 4, 1
GRACE = 5.0
"""Seconds that a worker may hang beyond its time limit."""
SEGFAULT, HANG = InWorker(fault="segfault"), InWorker(fault="hang")
JPEGS = (codecs.create("jpeg", quality=10), codecs.create("jpeg", quality=50))
METRICS = (metrics.create("psnr_rgb"), metrics.create("ssim_y"))


@dataclass(frozen=True)
class Started:
    """A run that is under way beside the others."""

    task: Task
    outcome: Future[Outcome]

    def rows(self, codecs: Sequence[Codec] | None = None) -> list[dict[str, Any]]:
        """What it has stored in the end."""
        return rows(self.outcome.result(), self.task.out, codecs)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, IMAGES, marked=[CULPRIT])
    return folder


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of the sound codecs and metrics alone."""
    out = tmp_path_factory.mktemp("alone") / "run"
    return rows(bring_up_to_date(make_task(images, out, codecs=JPEGS, metrics=METRICS)), out)


@pytest.fixture(scope="module")
def started(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Started]]:
    """A run for each test, side by side on one local cluster since most of their time goes into starting processes."""
    out = tmp_path_factory.mktemp("runs")
    with cluster.connected("auto"), ThreadPoolExecutor(3) as threads:

        def start(name: str, batch_size: int = 3, **changes: Any) -> Started:
            task = make_task(images, out / name, **changes)
            return Started(task, threads.submit(bring_up_to_date, task, _with_less_grace, batch_size=batch_size))

        yield {
            "segfault": start("segfault", codecs=(SEGFAULT, *JPEGS), shard_size=3),
            "metric": start("metric", codecs=JPEGS[:1], metrics=(Deadly(), *METRICS), shard_size=2),
            "hang": start("hang", batch_size=1, codecs=(HANG,), shard_size=2, time_limit=0.5),
        }


def _with_less_grace(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
    return RayExecutor(Layout(1, 1, 0))(replace(job, grace=GRACE), works, progress)


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """The rows without these columns."""
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def test_a_codec_that_ends_the_worker_costs_its_own_row(
    started: Mapping[str, Started], undisturbed: list[dict[str, Any]]
) -> None:
    """A segfault in the worker on one image × setting is an error row that may pass; every other row is undisturbed."""
    run = started["segfault"]
    assert run.rows(JPEGS) == undisturbed
    faulty = run.rows([SEGFAULT])
    assert [row["status"] for row in faulty] == ["error" if number == CULPRIT else "ok" for number in range(IMAGES)]
    assert faulty[CULPRIT]["error"] == (
        f"{SEGFAULT.variant}: its process died (Segmentation fault), and took the worker with it"
    )
    assert faulty[CULPRIT]["transient"]
    assert [record.generation for _, record in sorted(run.outcome.result().index.shards.items())] == [3, 1]


def test_a_metric_that_ends_the_worker_costs_its_own_values(
    started: Mapping[str, Started], undisturbed: list[dict[str, Any]]
) -> None:
    """The culprit's column is null with the reason for that image alone; other columns are as without it."""
    stored = started["metric"].rows()
    sound = [row for row in undisturbed if row["variant"] == JPEGS[0].variant]
    assert without(stored, "deadly", "metric_errors", "transient") == without(sound, "metric_errors", "transient")
    for row in stored:
        hit = row["image"] == f"{CULPRIT:03}.png"
        assert row["deadly"] == (None if hit else 1.0)
        assert row["transient"] is hit
        reason = "deadly: its process died (Segmentation fault), and took the worker with it"
        assert row["metric_errors"] == ([("deadly", reason)] if hit else [])


def test_a_codec_that_hangs_in_the_worker_is_stopped(started: Mapping[str, Started]) -> None:
    """A worker that is overdue is killed; in the end the image that it hangs on has its error row and the others theirs."""
    stored = started["hang"].rows()  # it would hang for longer than a test may take
    assert [row["status"] for row in stored] == ["error" if number == CULPRIT else "ok" for number in range(IMAGES)]
    assert "took longer than" in stored[CULPRIT]["error"]
