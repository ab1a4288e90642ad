"""kill -9 at random instants of real runs: the driver, a worker, a codec process, everything at once.

A small job runs undisturbed once. Then it is run over and over, each time on a Ray cluster of its own, and killed: of the
driver or of everything the same command is started again, as its user would; of a worker or a codec process the run must get
over by itself. After each kill the script prints what the run directory holds. A run that has finished must hold exactly one
row for each image × setting, equal in everything but times to the undisturbed run's; then the next one begins.

    .venv/bin/python benchmarks/kill_storm.py [--kills 50] [--seed 1] [--images 16]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
from measuring import machine, print_table

from vcmbench.results import RunDirectory

PROGRAM = Path(sys.executable).with_name("vcmbench")
VICTIMS = ("driver", "worker", "codec process", "everything")


@dataclass(frozen=True)
class Holdings:
    """What a run directory holds: rows by the index, how many image × setting are there more than once, and their hash."""

    rows: int
    doubled: int
    fingerprint: str


def write_job(folder: Path, images: int) -> Path:
    """Write the job: views of two portraits, eight settings of which some are slow, a shard for each image."""
    job = {
        "name": "storm",
        "dataset": {"kind": "demo", "limit": images, "size": 512},
        "codecs": [{"jpeg": {"quality": [10, 50]}}, {"webp": {"quality": [10, 50]}}, {"avif": {"quality": [5, 20, 40, 60]}}],
        "metrics": ["psnr_rgb", "ssim_y", "ms_ssim"],
        "shard_size": 1,
        "out": "run",
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")  # JSON is YAML
    return path


def start(job: Path) -> subprocess.Popen[bytes]:
    """Start a run in a session of its own."""
    log = (job.parent / "log.txt").open("ab")
    with log:
        return subprocess.Popen([PROGRAM, "run", job], cwd=job.parent, stdout=log, stderr=log, start_new_session=True)


def holdings(folder: Path) -> Holdings:
    """Read the rows that the index names, the times left out."""
    run = RunDirectory(str(folder / "run"))
    index = run.read_index()
    tables = [run.read_shard(record.file) for record in index.shards.values()] if index else []
    if not tables:
        return Holdings(0, 0, "–")
    rows = pa.concat_tables(tables).drop_columns(["encode_ms", "decode_ms"]).to_pylist()
    counts = Counter((row["image"], row["setting"]) for row in rows)
    ordered = sorted(json.dumps(row, sort_keys=True) for row in rows)
    return Holdings(len(rows), len(rows) - len(counts), hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:12])


def victims(driver: psutil.Process, kind: str) -> list[psutil.Process]:
    """The processes of a run that are of that kind; none when it has none yet."""
    try:
        family = driver.children(recursive=True)
        workers = [process for process in family if process.name().startswith("ray::_Actor")]
        codecs = [
            child for worker in workers for child in worker.children() if "pipeline.processes" in " ".join(child.cmdline())
        ]
    except psutil.NoSuchProcess:
        return []
    return {"driver": [driver], "worker": workers, "codec process": codecs, "everything": [driver, *family]}[kind]


def kill(driver: psutil.Process, kind: str, chance: random.Random) -> bool:
    """Kill one of that kind, or all; return whether there was one."""
    found = victims(driver, kind)
    for process in found if kind == "everything" else chance.sample(found, min(1, len(found))):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return bool(found)


def ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a run ends by itself in so many seconds."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def survivors(family: Sequence[psutil.Process], seconds: float = 30.0) -> int:
    """How many processes of a killed run are still there after some seconds."""
    _, alive = psutil.wait_procs(family, timeout=seconds)
    return sum(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in alive)


def storm(job: Path, kills: int, longest: float, chance: random.Random, expected: Holdings) -> list[list[str]]:
    """Kill so many times, after `longest` seconds at most, over as many runs as it takes; return what to print of each."""
    told: list[list[str]] = []
    killed = 0
    while True:
        child = start(job)
        begun = time.monotonic()
        while killed < kills and (kind := strike(child, longest, chance)):
            killed += 1
            tell(told, str(killed), kind, f"{time.monotonic() - begun:.1f} s", holdings(job.parent), "")
        if child.wait() < 0:
            continue
        final = holdings(job.parent)
        equal = child.returncode == 0 and final == expected
        tell(told, "", f"finished, exit code {child.returncode}", "", final, "equal" if equal else "DIFFERENT")
        if not equal:
            shutil.copy(job.parent / "log.txt", "kill_storm.log")
            sys.exit("the rows are not those of the undisturbed run; see kill_storm.log")
        if killed == kills:
            return told
        shutil.rmtree(job.parent / "run")


def tell(told: list[list[str]], number: str, kind: str, at: str, found: Holdings, result: str) -> None:
    """Add a line to what was told, and show it at once."""
    told.append([number, kind, at, str(found.rows), str(found.doubled), found.fingerprint, result])
    print(*told[-1], sep="\t", file=sys.stderr, flush=True)


def strike(child: subprocess.Popen[bytes], longest: float, chance: random.Random) -> str | None:
    """Kill something of a run at a random instant; return what, or None when the run has ended before."""
    kind = chance.choice(VICTIMS)
    if ends_within(child, chance.uniform(0, longest)):
        return None
    driver = psutil.Process(child.pid)
    while not ends_within(child, chance.uniform(0, 1)):
        # Ray's own agents outlive a killed driver by a minute or so; they do not touch the run.
        ours = [process for each in ("worker", "codec process") for process in victims(driver, each)]
        if kill(driver, kind, chance):
            if kind in {"driver", "everything"}:
                child.wait()
                if alive := survivors(ours):
                    sys.exit(f"{alive} processes have outlived their driver")
            return kind
    return None


def main() -> None:
    """Run undisturbed once, then storm, and print every kill."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    print(machine("ray", "torch", "pillow", "numpy"))
    with tempfile.TemporaryDirectory(prefix="storm-") as temporary:
        os.environ["RAY_TMPDIR"] = temporary  # or every killed session would leave its logs
        calm, stormy = Path(temporary) / "calm", Path(temporary) / "stormy"
        for folder in (calm, stormy):
            folder.mkdir()
            job = write_job(folder, options.images)
        began = time.monotonic()
        if start(calm / "job.yaml").wait():
            sys.exit((calm / "log.txt").read_text())
        seconds = time.monotonic() - began
        expected = holdings(calm)
        print(f"undisturbed: {expected.rows} rows, {expected.fingerprint}, in {seconds:.0f} s\n")
        told = storm(job, options.kills, 0.5 * seconds, random.Random(options.seed), expected)  # noqa: S311  # no secret
    print_table(["kill", "of", "after", "rows", "doubled", "hash of the rows", "result"], told)


if __name__ == "__main__":
    main()
