"""Small real runs: a folder of images, a task over it, and bringing its run directory up to date in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from vcmbench import codecs, metrics
from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Codec
from vcmbench.pipeline.driver import Executor, Outcome, Resources, converge, open_run
from vcmbench.pipeline.local import execute_here
from vcmbench.pipeline.plan import Retry
from vcmbench.pipeline.task import Task
from vcmbench.results import RunDirectory

SIZE = 32


def write_images(folder: Path, count: int, marked: Sequence[int] = ()) -> None:
    """Write PNG images of seeded noise, 000.png and so on; those in `marked` get a red upper left pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for number in range(count):
        coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
        pixels = np.array(PIL.Image.fromarray(coarse).resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC))
        pixels[0, 0] = (255, 0, 0) if number in marked else (10, 20, 30)
        PIL.Image.fromarray(pixels).save(folder / f"{number:03}.png")


def make_task(images: Path, out: Path | str, **changes: Any) -> Task:
    """A task of two JPEG settings and two pixel metrics over a folder of `SIZE`×`SIZE` images, in shards of 4."""
    task = Task(
        name="test",
        out=str(out),
        dataset=Folder(root=str(images)),
        selection=Selection(),
        preparation=Preparation(size=SIZE),
        codecs=(codecs.create("jpeg", quality=10), codecs.create("jpeg", quality=50)),
        metrics=(metrics.create("psnr_rgb"), metrics.create("ssim_y")),
        shard_size=4,
        time_limit=10.0,
        resolved={},
    )
    task = replace(task, **changes)
    section = {"root": str(images), "size": task.preparation.size, "limit": task.selection.limit}
    return replace(task, resolved={"name": task.name, "dataset": section, "shard_size": task.shard_size})


def bring_up_to_date(
    task: Task,
    execute: Executor = execute_here,
    *,
    batch_size: int = 3,
    progress: Callable[[int], None] = lambda _: None,
    retry: Retry | None = None,
) -> Outcome:
    """Run what the task's directory lacks, with two codec processes."""
    resources = Resources("cpu", processes=2, threads=2, batch_size=batch_size)
    with open_run(task) as run:
        return converge(run, run.missing_work(retry), resources, execute, progress)


@dataclass(frozen=True)
class Finished:
    """A run that nothing happened to, made once to be looked at and copied."""

    images: Path
    out: Path
    outcome: Outcome

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row, as `rows` gives them."""
        return rows(self.outcome, self.out)

    def copy(self, out: Path) -> Task:
        """Its task over a copy of its directory, which may be changed."""
        shutil.copytree(self.out, out)
        return make_task(self.images, out)


def finish_run(folder: Path, count: int) -> Finished:
    """Run `make_task` over so many images in a new folder."""
    write_images(folder / "images", count)
    return Finished(folder / "images", folder / "run", bring_up_to_date(make_task(folder / "images", folder / "run")))


def rows(outcome: Outcome, out: Path | str, codecs: Sequence[Codec] | None = None) -> list[dict[str, Any]]:
    """Every stored row, in order of image and variant, without the times; only those of `codecs` if given."""
    run = RunDirectory(str(out))
    tables = [run.read_shard(record.file) for record in outcome.index.shards.values()]
    everything = pa.concat_tables(tables, promote_options="default").drop_columns(["encode_ms", "decode_ms"]).to_pylist()
    variants = None if codecs is None else {codec.variant for codec in codecs}
    chosen = [row for row in everything if variants is None or row["variant"] in variants]
    return sorted(chosen, key=lambda row: (row["image"], row["variant"]))


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of one shard file."""
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def bitstreams(outcome: Outcome, out: Path | str) -> dict[tuple[str, str], bytes]:
    """Every bitstream that the run has kept, by image and variant."""
    run = RunDirectory(str(out))
    kept: dict[tuple[str, str], bytes] = {}
    for file in filter(None, (record.bitstreams for record in outcome.index.shards.values())):
        with run.open(file) as source:
            for row in pq.read_table(source).to_pylist():
                assert (row["image"], row["variant"]) not in kept
                kept[row["image"], row["variant"]] = row["bitstream"]
    return kept
