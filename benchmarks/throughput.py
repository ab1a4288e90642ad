"""vcmbench on two cores against a single-threaded loop: 140 portraits × 12 settings × 5 pixel metrics.

One side is `plain_loop.py`, in a process of its own. The other is the pipeline as `vcmbench run` drives it, through Ray, on
a job that holds every portrait three times, in three shards. The first shard, which also starts workers, codec processes and
libraries, is left out; what counts is how long one more shard takes. The sides take turns.

The overhead is all that is not loading, coding and scoring: planning, Ray, Parquet and the index.

    .venv/bin/python benchmarks/throughput.py [--portraits PATH] [--images 140] [--repeat 3]
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from measuring import PORTRAITS, keep_to_cores, machine, print_table, spread
from plain_loop import loop_seconds

from vcmbench.config.job import Job
from vcmbench.config.sections import JobFile
from vcmbench.pipeline import cluster
from vcmbench.pipeline.coding import Source
from vcmbench.pipeline.driver import Executor, converge, open_run
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.task import Task
from vcmbench.pipeline.worker import ShardResult
from vcmbench.pipeline.worker_job import WorkerJob

CORES = 2
SHARDS = 3
RATIO_WANTED, OVERHEAD_ALLOWED = 1.8, 0.05


@dataclass(frozen=True)
class Steady:
    """One more shard in steady state: its seconds, and what share of them is overhead."""

    seconds: float
    overhead: float


class Stopwatch:
    """An executor that notes when each shard was finished."""

    def __init__(self, execute: Executor) -> None:
        self._execute = execute
        self.finished: list[tuple[float, ShardResult]] = []

    def __call__(self, job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        """Pass the results on."""
        for result in self._execute(job, works, progress):
            self.finished.append((time.perf_counter(), result))
            yield result


def repeat_portraits(portraits: Path, limit: int, folder: Path) -> int:
    """Make a folder with links to the first test portraits, once a shard, and a table of face boxes; return their number."""
    with (portraits / "bb_landmark" / "loose_bb_test.csv").open(encoding="utf-8", newline="") as published:
        boxes = list(csv.DictReader(published))[:limit]
    with (folder / "labels.csv").open("w", encoding="utf-8") as labels:
        labels.write("image,box_x,box_y,box_width,box_height\n")
        for shard in range(SHARDS):
            for box in boxes:
                target = folder / str(shard) / f"{box['NAME_ID']}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to((portraits / "test" / f"{box['NAME_ID']}.jpg").resolve())
                labels.write(f"{shard}/{box['NAME_ID']},{box['X']},{box['Y']},{box['W']},{box['H']}\n")
    return len(boxes)


def make_task(folder: Path, images: int, out: Path) -> Task:
    """The job of both sides."""
    job = {
        "name": "throughput",
        "dataset": {"kind": "folder", "root": str(folder), "labels": "labels.csv"},
        "codecs": [
            {"jpeg": {"quality": [4, 6, 10, 20, 40, 75], "optimize": True}},
            {"webp": {"quality": [0, 10, 30, 50, 70, 90]}},
        ],
        "metrics": ["psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim"],
        "shard_size": images,
        "out": str(out),
    }
    return Job(JobFile.model_validate(job)).task


def run_loop(task: Task, *, keep_memory: bool) -> float:
    """Seconds of the plain loop over one of the portraits' copies."""
    rows = [row for batch in task.dataset.images() for row in batch.to_pylist() if row["image"].startswith("0/")]
    sources = [Source(row["path"], (row["box_x"], row["box_y"], row["box_width"], row["box_height"])) for row in rows]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        inputs = task.dataset, sources, task.preparation, task.codecs, task.metrics
        return alone.submit(loop_seconds, *inputs, keep_memory=keep_memory).result()


def run_pipeline(task: Task) -> Steady:
    """Run the pipeline on a Ray cluster of its own; a shard's seconds hold its part of the planning."""
    start = time.perf_counter()
    with open_run(task) as run:
        works = run.missing_work()
        planning = (time.perf_counter() - start) / len(works)
        with cluster.connected("auto") as nodes:
            layout = cluster.layout(nodes, workers=1, device="cpu")
            stopwatch = Stopwatch(cluster.RayExecutor(layout))
            converge(run, works, layout.resources, stopwatch, lambda _: None)
    (first, _), *others = stopwatch.finished
    seconds = planning + (others[-1][0] - first) / len(others)
    computing = statistics.fmean(result.seconds["compute"] for _, result in others)
    return Steady(seconds, 1 - computing / seconds)


def main() -> None:
    """Run both sides in turn and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="a folder in VGGFace2's layout")
    parser.add_argument("--images", type=int, default=140)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    keep_to_cores(CORES)
    print(machine("ray", "torch", "pillow", "numpy"))

    loops, tuned_loops, pipelines = [], [], []
    with tempfile.TemporaryDirectory(prefix="vcmbench-throughput-") as temporary:
        folder = Path(temporary) / "portraits"
        folder.mkdir()
        images = repeat_portraits(options.portraits, options.images, folder)
        for repetition in range(options.repeat):
            task = make_task(folder, images, Path(temporary) / f"run-{repetition}")
            loops.append(run_loop(task, keep_memory=False))
            tuned_loops.append(run_loop(task, keep_memory=True))
            pipelines.append(run_pipeline(task))

    seconds = [pipeline.seconds for pipeline in pipelines]
    overheads = [pipeline.overhead for pipeline in pipelines]
    ratios, tuned_ratios = ([a / b for a, b in zip(side, seconds, strict=True)] for side in (loops, tuned_loops))
    print(f"{images} portraits × {len(task.codecs)} settings: median (extremes) of {options.repeat}\n")
    print_table(
        ["what", "measured", "bar"],
        [
            ["single-threaded loop, s", spread(loops), ""],
            ["the same, keeping its memory, s", spread(tuned_loops), ""],
            ["vcmbench, s", spread(seconds), ""],
            ["times as fast as the loop", spread(ratios), f"≥ {RATIO_WANTED}"],
            ["times as fast as the loop that keeps its memory", spread(tuned_ratios), f"≥ {RATIO_WANTED}"],
            ["overhead of plan, Ray and Parquet", spread(overheads, ".1%"), f"≤ {OVERHEAD_ALLOWED:.0%}"],
        ],
    )
    held = statistics.median(tuned_ratios) >= RATIO_WANTED and statistics.median(overheads) <= OVERHEAD_ALLOWED
    print(f"\nthe bar is {'held' if held else 'missed'}")


if __name__ == "__main__":
    main()
