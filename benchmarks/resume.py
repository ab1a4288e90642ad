"""What a run of 1,000 shards costs to open again, and what one more commit costs beside the shard's computation.

The run is one shard of real portraits × 12 settings, computed and committed by the pipeline, and 999 copies of its rows
under other names. Opening it again reads manifest, index and job, takes the lease and finds nothing missing; Ray, which a
finished run does not even start, is left out. The commit is what follows the computation of a shard: its Parquet file, and
an index that names 1,000 shards.

    .venv/bin/python benchmarks/resume.py [--portraits PATH] [--images 256] [--shards 1000] [--repeat 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from measuring import PORTRAITS, keep_to_cores, machine, print_table, spread

from vcmbench.config.job import load_job
from vcmbench.datasets.vggface2 import VggFace2
from vcmbench.pipeline.driver import Outcome, converge, open_run
from vcmbench.pipeline.local import execute_here, resources
from vcmbench.pipeline.task import Task
from vcmbench.results import MANIFEST, RunDirectory
from vcmbench.run_index import Index

CORES = 2
OPEN_ALLOWED, COMMIT_ALLOWED = 5.0, 0.02


def link_portraits(portraits: Path, count: int, folder: Path) -> None:
    """Link so many portraits into a folder; the mini set has fewer, so some come twice."""
    datasets = [VggFace2(str(portraits), split) for split in ("train", "test")]
    listed = [Path(portraits, row["path"]) for each in datasets for batch in each.images() for row in batch.to_pylist()]
    folder.mkdir()
    for number, path in enumerate(islice((listed * (count // len(listed) + 1)), count)):
        (folder / f"{number:04}.jpg").symlink_to(path.resolve())


def write_job(folder: Path, images: int, out: Path) -> Path:
    """Write a job of twelve settings and the five pixel metrics."""
    job = {
        "name": "resume",
        "dataset": {"kind": "folder", "root": str(folder)},
        "codecs": [
            {"jpeg": {"quality": [4, 6, 10, 20, 40, 75], "optimize": True}},
            {"webp": {"quality": [0, 10, 30, 50, 70, 90]}},
        ],
        "metrics": ["psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim"],
        "shard_size": images,
        "out": str(out),
    }
    path = out.with_suffix(".yaml")
    path.write_text(json.dumps(job), encoding="utf-8")  # JSON is YAML
    return path


def compute_one_shard(task: Task) -> Outcome:
    """Run the job as it is."""
    with open_run(task) as run:
        return converge(run, run.missing_work(), resources("cpu"), execute_here, lambda _: None)


def multiply(directory: RunDirectory, index: Index, shards: int) -> Index:
    """Let the run have so many shards, each with the rows of the first under other names."""
    rows = directory.read_shard(index.shards[0].file)
    manifest = directory.manifest()

    def manifests() -> Iterator[pa.Table]:
        for shard in range(shards):
            names = pa.array([f"{shard}/{name}" for name in manifest.column("image").to_pylist()])
            numbers = pa.array([shard] * len(manifest), pa.int32())
            place = manifest.schema.get_field_index
            yield manifest.set_column(place("image"), "image", names).set_column(place("shard"), "shard", numbers)

    with directory.create(MANIFEST) as file, pq.ParquetWriter(file, manifest.schema) as writer:
        for table in manifests():
            writer.write_table(table)
    cells = index.cells(0)
    for shard in range(1, shards):
        index = index.with_shard(shard, directory.write_shard(shard, 1, rows, "copy"), 1, cells)
    directory.write_index(index)
    return index


def seconds_to_open(task: Task) -> float:
    """Seconds until it is known that nothing is missing."""
    start = time.perf_counter()
    with open_run(task) as run:
        assert run.missing_work() == []
        return time.perf_counter() - start


def seconds_of_command(job: Path) -> float:
    """Seconds of the whole command, which makes the report anew."""
    start = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name("vcmbench"), "run", job], check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_to_commit(directory: RunDirectory, generation: int) -> float:
    """Seconds to store one shard and an index that names it."""
    index = directory.read_index()
    assert index is not None
    rows = directory.read_shard(index.shards[0].file)
    start = time.perf_counter()
    file = directory.write_shard(0, generation, rows, "again")
    assert directory.exists(file)
    directory.write_index(index.with_shard(0, file, generation, index.cells(0)))
    return time.perf_counter() - start


def main() -> None:
    """Make the run, and print what opening and committing take."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="a folder in VGGFace2's layout")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    keep_to_cores(CORES)
    print(machine("pyarrow", "torch", "pillow", "numpy"))
    with tempfile.TemporaryDirectory(prefix="vcmbench-resume-") as temporary:
        link_portraits(options.portraits, options.images, Path(temporary) / "portraits")
        job = write_job(Path(temporary) / "portraits", options.images, Path(temporary) / "run")
        task = load_job(job, ()).task
        outcome = compute_one_shard(task)
        directory = RunDirectory(task.out)
        directory.read_index()
        multiply(directory, outcome.index, options.shards)
        opened = [seconds_to_open(task) for _ in range(options.repeat)]
        commands = [seconds_of_command(job) for _ in range(options.repeat)]
        committed = [seconds_to_commit(RunDirectory(task.out), 2 + turn) for turn in range(options.repeat)]
    computing = outcome.seconds["compute"]
    shares = [seconds / computing for seconds in committed]
    print(f"{options.shards} shards of {options.images} images × {len(task.codecs)} settings: median (extremes)\n")
    print_table(
        ["what", "measured", "bar"],
        [
            ["a finished run opened again, s", spread(opened), f"≤ {OPEN_ALLOWED:g}"],
            ["the whole command, imports and report included, s", spread(commands, ".1f"), ""],
            ["one shard computed, s", f"{computing:.1f}", ""],
            ["one shard committed, ms", spread([1e3 * seconds for seconds in committed], ".0f"), ""],
            ["commit, share of a shard's time", spread(shares, ".2%"), f"≤ {COMMIT_ALLOWED:.0%}"],
        ],
    )
    held = statistics.median(opened) <= OPEN_ALLOWED and statistics.median(shares) <= COMMIT_ALLOWED
    print(f"\nthe bar is {'held' if held else 'missed'}")


if __name__ == "__main__":
    main()
