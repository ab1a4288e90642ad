"""vcmbench against CompressAI's `python -m compressai.utils.bench`, on the same images, qualities and number of processes.

Both are run as commands, with JPEG and with WebP, on PNG files of 256×256 pixels made from the portraits, and both give the
mean bits per pixel, PSNR and MS-SSIM of each quality. What counts is the slope: how much longer a command takes for each
further pair of image and quality. So the time to start drops out, of Ray on one side and of the pool on the other. The sides
take turns, and the means they give are compared.

    .venv/bin/python benchmarks/compressai_compare.py [--portraits PATH] [--pairs 500 5000] [--repeat 3] [--omp-threads N]

`--pairs 200 1000` is a quicker look. Unless `--omp-threads` limits it, torch takes its own default on CompressAI's side: as
many threads as there are cores in each of the two processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import pyarrow.parquet as pq
from compressai_environment import PACKAGES, PYTHON, make_environment
from measuring import PORTRAITS, keep_to_cores, machine, print_table, spread

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.datasets.vggface2 import VggFace2

Seconds: TypeAlias = npt.NDArray[np.float64]
"""Wall-clock seconds of commands: … × sides × (few pairs, many pairs)."""

CORES = 2
THEIRS, OURS = 0, 1
CODECS = ("jpeg", "webp")
QUALITIES = tuple(range(5, 100, 10))
MEANS = {"bpp": "bpp_mean", "psnr-rgb": "psnr_rgb_mean", "ms-ssim-rgb": "ms_ssim_mean"}
"""What CompressAI calls a mean, and what vcmbench does."""
RATIO_WANTED = 4


@dataclass(frozen=True)
class Finished:
    """A command that ended well: its wall-clock seconds, and each mean by quality."""

    seconds: float
    means: Mapping[str, Sequence[float]]


def write_images(portraits: Path, count: int, folder: Path) -> None:
    """Write the first portraits, prepared as vcmbench prepares them, as PNG files."""
    datasets = [VggFace2(str(portraits), split) for split in ("train", "test")]
    listed = ((dataset, row) for dataset in datasets for batch in dataset.images() for row in batch.to_pylist())
    chosen = list(islice(listed, count))
    if len(chosen) < count:
        sys.exit(f"{portraits} holds {len(chosen)} portraits, and so many pairs need {count}")
    folder.mkdir()
    for dataset, row in chosen:
        box = row["box_x"], row["box_y"], row["box_width"], row["box_height"]
        prepared = prepare(dataset.read(row["path"]), box, Preparation())
        PIL.Image.fromarray(prepared.image).save(folder / f"{row['identity']}.png")


def run_compressai(codec: str, images: Path, omp_threads: int | None) -> Finished:
    """Run CompressAI's command."""
    qualities = ",".join(map(str, QUALITIES))
    command = [str(PYTHON), "-m", "compressai.utils.bench", codec, str(images), "-j", str(CORES), "-q", qualities]
    limit = {} if omp_threads is None else {"OMP_NUM_THREADS": str(omp_threads)}
    seconds, printed = _timed(command, images.parent, {**os.environ, **limit})
    results = json.loads(printed)["results"]
    return Finished(seconds, {mean: results[mean] for mean in MEANS})


def run_vcmbench(codec: str, images: Path, out: Path) -> Finished:
    """Run the command of vcmbench, which makes a report as well."""
    job = {
        "name": out.name,
        "dataset": {"kind": "folder", "root": str(images)},
        "codecs": [{codec: {"quality": QUALITIES}}],
        "metrics": ["psnr_rgb", "ms_ssim"],
        "out": str(out),
    }
    job_file = out.with_suffix(".yaml")
    job_file.write_text(json.dumps(job), encoding="utf-8")  # JSON is YAML
    command = [str(Path(sys.executable).with_name("vcmbench")), "run", str(job_file)]
    seconds, _ = _timed(command, images.parent, os.environ)
    summary = pq.read_table(out / "summary.parquet").sort_by("rate")
    return Finished(seconds, {mean: summary[column].to_pylist() for mean, column in MEANS.items()})


def _timed(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> tuple[float, str]:
    start = time.perf_counter()
    finished = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if finished.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{finished.stderr}")
    return seconds, finished.stdout


def greatest_difference(theirs: Finished, ours: Finished, mean: str) -> float:
    """Return how far a mean of one side is from the other's at most, over the qualities."""
    return float(np.abs(np.subtract(theirs.means[mean], ours.means[mean])).max())


def table_row(name: str, seconds: Seconds, further_pairs: int) -> list[str]:
    """Describe the repetitions of one codec: repetitions × sides × (few, many)."""
    milliseconds = 1e3 * (seconds[:, :, 1] - seconds[:, :, 0]) / further_pairs
    return [
        name,
        *(spread(seconds[:, side, 1].tolist(), ".1f") for side in (THEIRS, OURS)),
        *(spread(milliseconds[:, side].tolist()) for side in (THEIRS, OURS)),
        spread((milliseconds[:, THEIRS] / milliseconds[:, OURS]).tolist()),
        f"≥ {RATIO_WANTED}",
    ]


def main() -> None:
    """Run both sides in turn and print their slopes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="a folder in VGGFace2's layout")
    parser.add_argument("--pairs", type=int, nargs=2, default=[500, 5000], help="images × qualities, few and many")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--omp-threads", type=int, help="threads of torch in each of CompressAI's processes")
    options = parser.parse_args()
    make_environment()
    keep_to_cores(CORES)
    print(machine("ray", "torch", "pillow", "numpy"))

    few, many = options.pairs
    seconds: Seconds = np.zeros((len(CODECS), options.repeat, 2, 2))
    differences = dict.fromkeys(MEANS, 0.0)
    with tempfile.TemporaryDirectory(prefix="vcmbench-compressai-") as temporary:
        for pairs in (few, many):
            write_images(options.portraits, pairs // len(QUALITIES), Path(temporary) / str(pairs))
        for repetition, (place, codec), (size, pairs) in itertools.product(
            range(options.repeat), enumerate(CODECS), enumerate((few, many))
        ):
            images = Path(temporary) / str(pairs)
            theirs = run_compressai(codec, images, options.omp_threads)
            ours = run_vcmbench(codec, images, Path(temporary) / f"{codec}-{pairs}-{repetition}")
            print(f"{codec}, {pairs} pairs: {theirs.seconds:.1f} s, {ours.seconds:.1f} s", file=sys.stderr)
            seconds[place, repetition, :, size] = theirs.seconds, ours.seconds
            differences = {
                mean: max(before, greatest_difference(theirs, ours, mean)) for mean, before in differences.items()
            }

    rows = [table_row(codec, times, many - few) for codec, times in zip(CODECS, seconds, strict=True)]
    rows.append(table_row("together", seconds.sum(axis=0), len(CODECS) * (many - few)))
    print(f"{PACKAGES[0]}, {options.omp_threads or 'default'} threads; median (extremes) of {options.repeat}\n")
    columns = [f"CompressAI, {many} pairs, s", f"vcmbench, {many} pairs, s", "CompressAI, ms/pair", "vcmbench, ms/pair"]
    print_table(["codec", *columns, "times as fast", "bar"], rows)
    print("\ngreatest difference of a mean:", ", ".join(f"{mean} {value:.1g}" for mean, value in differences.items()))


if __name__ == "__main__":
    main()
