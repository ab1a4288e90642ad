"""How long the planning of all of VGGFace2 takes, and how much memory.

Synthetic lists in VGGFace2's layout (9,131 identities, every image with a face box, every identity with a gender) stand in
a temporary folder; no image is opened in planning. A process of its own then makes a run directory for 16 settings and
finds what is missing, which is everything. Peak memory is that of this process, its libraries included.

    .venv/bin/python benchmarks/planning.py [--images 3300000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from measuring import machine, print_table, spread

IDENTITIES = 9131
SECONDS_ALLOWED, MEGABYTES_ALLOWED = 60, 1000


@dataclass(frozen=True)
class Planned:
    """What planning took: seconds by step, the peak of the process's memory, the size of the manifest."""

    open_seconds: float
    plan_seconds: float
    peak_megabytes: float
    manifest_megabytes: float
    shards: int
    to_compute: int


def write_lists(root: Path, images: int) -> None:
    """Write the lists of a split of so many images, spelled as VGGFace2 spells them."""
    for folder in ("train", "meta", "bb_landmark"):
        (root / folder).mkdir()
    with (
        (root / "meta" / "train_list.txt").open("w", encoding="utf-8") as listed,
        (root / "bb_landmark" / "loose_bb_train.csv").open("w", encoding="utf-8") as boxes,
    ):
        boxes.write("NAME_ID,X,Y,W,H\n")
        for number in range(images):
            identity, place = number * IDENTITIES // images, number % 1000
            name = f"n{identity:06d}/{number:07d}_{1 + place % 9:02d}"
            listed.write(f"{name}.jpg\n")
            boxes.write(f'"{name}",{place % 200},{place % 150},{60 + place % 180},{70 + place % 220}\n')
    genders = (f'n{identity:06d}, "Somebody, {identity}", 362, 1, {"mf"[identity % 2]}\n' for identity in range(IDENTITIES))
    with (root / "meta" / "identity_meta.csv").open("w", encoding="utf-8") as meta:
        meta.write("Class_ID, Name, Sample_Num, Flag, Gender\n")
        meta.writelines(genders)


def plan_once(root: str, out: str) -> Planned:
    """Plan the job in this process, which must be a fresh one."""
    from vcmbench.config.job import Job  # noqa: PLC0415  # the parent's memory would count for the child's peak
    from vcmbench.config.sections import JobFile  # noqa: PLC0415  # the parent's memory would count for the child's peak
    from vcmbench.pipeline.driver import open_run  # noqa: PLC0415  # likewise
    from vcmbench.results import MANIFEST  # noqa: PLC0415  # likewise

    job = {
        "name": "planning",
        "dataset": {"kind": "vggface2", "root": root, "split": "train"},
        "codecs": [{family: {"quality": list(range(10, 90, 10))}} for family in ("jpeg", "webp")],
        "metrics": ["psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim"],
        "out": out,
    }
    task = Job(JobFile.model_validate(job)).task
    start = time.perf_counter()
    with open_run(task) as run:
        opened = time.perf_counter()
        works = run.missing_work()
        planned = time.perf_counter()
        return Planned(
            open_seconds=opened - start,
            plan_seconds=planned - opened,
            peak_megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            manifest_megabytes=Path(run.directory.path(MANIFEST)).stat().st_size / 1e6,
            shards=len(works),
            to_compute=sum(work.size for work in works),
        )


def main() -> None:
    """Plan several times, each in a new process, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=3_300_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(machine("duckdb", "pyarrow"))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="vcmbench-planning-") as folder:
        root = Path(folder) / "vggface2"
        root.mkdir()
        write_lists(root, options.images)
        outs = [f"{folder}/run-{repetition}" for repetition in range(options.repeat)]
        with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as fresh:
            runs = [fresh.submit(plan_once, str(root), out).result() for out in outs]

    seconds = [run.open_seconds + run.plan_seconds for run in runs]
    megabytes = [run.peak_megabytes for run in runs]
    print(f"{options.images:,} images, {IDENTITIES:,} identities: median (extremes) of {options.repeat}\n")
    print_table(
        ["what", "measured", "bar"],
        [
            ["manifest and index made, s", spread([run.open_seconds for run in runs]), ""],
            ["missing work found, s", spread([run.plan_seconds for run in runs]), ""],
            ["together, s", spread(seconds), f"≤ {SECONDS_ALLOWED}"],
            ["peak memory, MB", spread(megabytes, ".0f"), f"≤ {MEGABYTES_ALLOWED}"],
            ["manifest, MB", spread([run.manifest_megabytes for run in runs], ".0f"), ""],
            ["shards", f"{runs[0].shards:,}", ""],
            ["images × settings to compute", f"{runs[0].to_compute:,}", ""],
        ],
    )
    held = statistics.median(seconds) <= SECONDS_ALLOWED and max(megabytes) <= MEGABYTES_ALLOWED
    print(f"\nthe bar is {'held' if held else 'missed'}")


if __name__ == "__main__":
    main()
