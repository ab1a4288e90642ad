"""What it costs to run codecs in processes that may be killed, and what it gains: 140 portraits × 12 settings.

Cost: one process on one core calls the codecs itself, then through a pool of one process that shares this core with it. Both
do the same work, `code_images` from one block of images into another, with the same hashes.

Gain: vcmbench's worker on two cores with five pixel metrics, its codecs once in the pool and once, as networks are, in the
worker itself, where the metrics' threads run beside them. The job holds every portrait three times, in three shards; the
first, which also warms up, is left out. The sides take turns.

    .venv/bin/python benchmarks/codec_pool.py [--portraits PATH] [--images 140] [--repeat 5]
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from measuring import PORTRAITS, keep_to_cores, machine, print_table, spread
from throughput import make_task, repeat_portraits

from vcmbench.interfaces import Codec
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import CodecPool, Pending
from vcmbench.pipeline.coding import Coded, Failure, Source, code_images, load_images
from vcmbench.pipeline.driver import open_run, share, worker_job
from vcmbench.pipeline.local import execute_here
from vcmbench.pipeline.task import Task

CORES = 2
BATCH = share("cpu", CORES).batch_size
AHEAD = 2
COST_ALLOWED, GAIN_WANTED = 0.10, 1.0


@dataclass(frozen=True)
class Alone:
    """Seconds to code every image under every setting, on one core and without metrics."""

    called: float
    pooled: float

    @property
    def cost(self) -> float:
        """What the pool adds, as a share."""
        return self.pooled / self.called - 1


def measure_alone(task: Task) -> dict[str, Alone]:
    """Code the first shard's images family by family; in a process that keeps to one core."""
    keep_to_cores(1)
    rows = [row for batch in task.dataset.images() for row in batch.to_pylist()][: task.shard_size]
    sources = [Source(row["path"], (row["box_x"], row["box_y"], row["box_width"], row["box_height"])) for row in rows]
    batches = [sources[first : first + BATCH] for first in range(0, len(sources), BATCH)]
    originals = [_loaded(task, batch) for batch in batches]
    families = {codec.family: [each for each in task.codecs if each.family == codec.family] for codec in task.codecs}
    targets = [Block(BATCH, task.preparation.size) for _ in range(AHEAD + 1)]
    pool = CodecPool(1, task.time_limit)
    try:
        _call(task.codecs, originals[:1], targets)
        _send(pool, task.codecs, originals[:1], targets)
        return {
            family: Alone(_call(codecs, originals, targets), _send(pool, codecs, originals, targets))
            for family, codecs in families.items()
        }
    finally:
        pool.close()


def _loaded(task: Task, sources: Sequence[Source]) -> Block:
    block = Block(len(sources), task.preparation.size)
    outcomes = list(load_images(task.dataset, sources, range(len(sources)), task.preparation, block.name))
    assert not any(isinstance(outcome, Failure) for outcome in outcomes)
    return block


def _call(codecs: Sequence[Codec], originals: Sequence[Block], targets: Sequence[Block]) -> float:
    start = time.perf_counter()
    for block in originals:
        for codec in codecs:
            _check(list(code_images(codec, range(len(block.images)), block.name, targets[0].name)))
    return time.perf_counter() - start


def _send(pool: CodecPool, codecs: Sequence[Codec], originals: Sequence[Block], targets: Sequence[Block]) -> float:
    start = time.perf_counter()
    free, under_way = deque(targets), deque[tuple[Block, Pending[Coded]]]()

    def finish() -> None:
        target, pending = under_way.popleft()
        _check(pending.result())
        free.append(target)

    for block in originals:
        for codec in codecs:
            target = free.popleft()
            under_way.append((target, pool.code(codec, len(block.images), block.name, target.name)))
            if len(under_way) > AHEAD:
                finish()
    while under_way:
        finish()
    return time.perf_counter() - start


def _check(outcomes: Sequence[Coded | Failure]) -> None:
    assert all(isinstance(outcome, Coded) for outcome in outcomes)


def measure_with_metrics(task: Task) -> float:
    """Seconds that a worker on `CORES` cores takes to load, code and score one more shard."""
    with open_run(task) as run:
        _, *others = execute_here(worker_job(run, share("cpu", CORES)), run.missing_work(), lambda _: None)
    return statistics.fmean(result.seconds["compute"] for result in others)


def in_the_worker(codec: Codec) -> Codec:
    """The same setting, run as a network is."""
    moved = copy.copy(codec)
    moved.runs_in = "worker"
    return moved


def main() -> None:
    """Run all sides in turn and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="a folder in VGGFace2's layout")
    parser.add_argument("--images", type=int, default=140)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    keep_to_cores(CORES)
    print(machine("torch", "pillow", "numpy"))

    alone: list[dict[str, Alone]] = []
    pooled, in_worker = [], []
    with tempfile.TemporaryDirectory(prefix="vcmbench-codec-pool-") as temporary:
        folder = Path(temporary) / "portraits"
        folder.mkdir()
        images = repeat_portraits(options.portraits, options.images, folder)
        for repetition in range(options.repeat):
            task = make_task(folder, images, Path(temporary) / f"pool-{repetition}")
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
                alone.append(fresh.submit(measure_alone, task).result())
            pooled.append(measure_with_metrics(task))
            out = str(Path(temporary) / f"worker-{repetition}")
            in_worker.append(measure_with_metrics(replace(task, codecs=tuple(map(in_the_worker, task.codecs)), out=out)))

    called, sent = (
        [sum(getattr(family, side) for family in each.values()) for each in alone] for side in ("called", "pooled")
    )
    costs = [b / a - 1 for a, b in zip(called, sent, strict=True)]
    gains = [b / a for a, b in zip(pooled, in_worker, strict=True)]
    print(f"{images} portraits × {len(task.codecs)} settings: median (extremes) of {options.repeat}\n")
    print_table(
        ["what", "measured", "bar"],
        [
            ["one core, codecs called, s", spread(called), ""],
            ["one core, codec pool, s", spread(sent), ""],
            ["cost of the pool", spread(costs, ".1%"), f"≤ {COST_ALLOWED:.0%}"],
            *([f"{family} alone", spread([each[family].cost for each in alone], ".1%"), ""] for family in alone[0]),
            [f"{CORES} cores and metrics, codecs in the worker, s", spread(in_worker), ""],
            [f"{CORES} cores and metrics, codec pool, s", spread(pooled), ""],
            ["times as fast with the pool", spread(gains), f"> {GAIN_WANTED:g}"],
        ],
    )
    held = statistics.median(costs) <= COST_ALLOWED and statistics.median(gains) > GAIN_WANTED
    print(f"\nthe bar is {'held' if held else 'missed'}")


if __name__ == "__main__":
    main()
