"""Summarising a run of 40 million rows and 25 metric columns, and writing its whole report: seconds and peak memory.

Both have bootstrap intervals, and the report has no pictures. The run is made up: shards of random numbers, identities as in
VGGFace2 (about 360 photographs each), their genders, and face sizes, which make six slices. It is written once into
`build/`, which takes 11 GB and some minutes, and read in processes of their own.

    .venv/bin/python benchmarks/summary.py [--rows 40000000] [--settings 100] [--columns 25] [--repeat 3]
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from measuring import keep_to_cores, machine, print_table, spread

from vcmbench.reports.page import write_report
from vcmbench.reports.summary import summarise
from vcmbench.results import RunDirectory, row_schema
from vcmbench.run_index import ColumnRecord, Index, MetricRecord, SettingRecord

SHARD = 1000
"""Images."""
PHOTOGRAPHS = 360
"""Of one identity."""
BATCH = 32
MEASURED = {"summary": summarise, "report": write_report}
SECONDS, GIBIBYTES = {"summary": "60"}, 2


def write_run(folder: Path, images: int, settings: int, columns: int) -> None:
    """Write the run, shard by shard; rows come batch by batch of images, each setting in turn, as workers write them."""
    run = RunDirectory(str(folder))
    run.write_manifest(_manifest(images), SHARD)
    index = _index(settings, columns)
    cells = index.wanted
    for shard, size in run.shard_sizes().items():
        table = _rows(index, [f"n{shard:06d}/{number:04d}.jpg" for number in range(size)], shard)
        index = index.with_shard(shard, run.write_shard(shard, 1, table, "0123abcd"), 1, cells)
        print(f"\r{shard + 1} shards written", end="", file=sys.stderr, flush=True)
    run.write_index(index)
    print(file=sys.stderr)


def _manifest(images: int) -> Iterator[pa.RecordBatch]:
    random = np.random.default_rng(0)
    names = [f"n{number // SHARD:06d}/{number % SHARD:04d}.jpg" for number in range(images)]
    people = random.integers(0, max(1, images // PHOTOGRAPHS), images)
    yield pa.RecordBatch.from_pydict(
        {
            "image": names,
            "identity": [f"n{person:06d}" for person in people],
            "gender": np.where(people % 2, "f", "m"),
            "face_size": random.lognormal(np.log(128), 0.5, images),
        }
    )


def _index(settings: int, columns: int) -> Index:
    records = tuple(
        SettingRecord(
            key=f"{number:016x}",
            family="made up",
            curve=f"made up option={number // 5}",
            variant=f"made up option={number // 5} quality={number % 5}",
            rate_parameter="quality",
            params={"option": number // 5, "quality": number % 5},
            backend="none",
        )
        for number in range(settings)
    )
    named = {
        f"column_{number}": ColumnRecord(title=f"{number}", better="higher", dtype="float", unit="")
        for number in range(columns)
    }
    metric = MetricRecord(key="0", name="random", kind="human", version="1", summary="random numbers", columns=named)
    return Index(name="made up", notice="random numbers", settings=records, metrics=(metric,))


def _rows(index: Index, names: list[str], seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    images, settings = len(names), len(index.settings)
    batches = [range(first, min(first + BATCH, images)) for first in range(0, images, BATCH)]
    image = np.concatenate([np.tile(np.array(batch, np.int32), settings) for batch in batches])
    setting = np.concatenate([np.repeat(np.arange(settings, dtype=np.int32), len(batch)) for batch in batches])
    count = len(image)
    rate = 0.02 * (1 + setting % 5) * random.uniform(0.8, 1.2, count)
    known = {
        "image": _words(image, names),
        "setting": _words(setting, [each.key for each in index.settings]),
        "status": _words(np.zeros(count, np.int32), ["ok"]),
        "bpp": rate,
        "bytes": (rate * 8192).astype(np.int64),
        "encode_ms": random.uniform(1, 2, count),
        "decode_ms": random.uniform(1, 2, count),
        "metric_errors": pa.MapArray.from_arrays(
            np.zeros(count + 1, np.int32), pa.array([], pa.string()), pa.array([], pa.string())
        ),
        **{name: random.normal(size=count) for name in index.columns},
    }
    schema = row_schema(index.columns)
    return pa.table(
        [pa.array(known[field.name]) if field.name in known else pa.nulls(count, field.type) for field in schema], schema
    )


def _words(codes: np.ndarray, words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words)).cast(pa.string())


def measure(folder: Path, what: str) -> None:
    """Make the summary or the report, and print seconds and the peak memory in GiB."""
    run = RunDirectory(str(folder))
    index = run.read_index()
    assert index is not None
    start = time.perf_counter()
    summary = MEASURED[what](run, index)
    seconds = time.perf_counter() - start
    assert len(summary.replicates) == len(index.columns) + 4
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    """Parse the command line, write the run where it is not there yet, and print what summary and report take."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=40_000_000)
    parser.add_argument("--settings", type=int, default=100)
    parser.add_argument("--columns", type=int, default=25)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_to_cores(2)
    if arguments.measure:
        measure(Path(arguments.measure[0]), arguments.measure[1])
        return
    folder = Path(__file__).parents[1] / "build" / f"summary-{arguments.rows}-{arguments.settings}-{arguments.columns}"
    if not (folder / "index.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_run(folder, arguments.rows // arguments.settings, arguments.settings, arguments.columns)
    print(machine("numpy", "pyarrow"))
    print(f"{arguments.rows:,} rows, {arguments.settings} settings, {arguments.columns} metric columns,", end=" ")
    print(f"{arguments.repeat} repetitions")
    rows = []
    for what in MEASURED:
        found = [_measured(folder, what) for _ in range(arguments.repeat)]
        seconds, memory = zip(*found, strict=True)
        rows.append([what, spread(seconds, ".1f"), SECONDS.get(what, ""), spread(memory), str(GIBIBYTES)])
    print_table(["", "seconds", "bar", "peak, GiB", "bar"], rows)


def _measured(folder: Path, what: str) -> tuple[float, float]:
    command = [sys.executable, __file__, "--measure", str(folder), what]
    seconds, memory = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    return float(seconds), float(memory)


if __name__ == "__main__":
    main()
