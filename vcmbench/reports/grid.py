"""A run's values as matrices: for each column, settings down and images across.

What compares settings needs all of an image's values side by side. So the place of every row is found once, and a column is
then read from the files straight into its matrix. That takes the memory of one column at a time, however many a run has.

Only the files that the index names are read, and of them only the shards that are complete.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vcmbench.interfaces import UsageError
from vcmbench.results import MANIFEST, RunDirectory
from vcmbench.run_index import Index, complete_shards

Matrix: TypeAlias = npt.NDArray[np.float64]
"""S×I: settings down, images across; NaN where there is no value."""
Places: TypeAlias = npt.NDArray[np.signedinteger]
Taken = TypeVar("Taken")

_AT_ONCE = 2
"""Columns that are in memory side by side, and files of which it is found at the same time where their rows belong."""
_NO_REASON = "no reason was stored"


@dataclass(frozen=True)
class _File:
    """A file of rows, and where each of them is in a flattened matrix; −1 for rows that no matrix shows."""

    name: str
    path: Path
    """Where it is on this machine."""
    places: Places


@dataclass(frozen=True)
class Grid:
    """The complete shards of a run."""

    run: RunDirectory
    files: Sequence[_File]
    settings: tuple[str, ...]
    """S keys, in the order of the index."""
    images: pa.ChunkedArray
    """I names, in the order of the manifest."""
    clusters: npt.NDArray[np.int64]
    """I numbers from 0: images of one identity have the same; an image without one has a number of its own."""
    identities: int
    """How many identities the manifest names."""
    rows: npt.NDArray[np.int64]
    """S counts of the rows of each setting."""
    errors: npt.NDArray[np.int64]
    """S counts of those with the status "error"."""
    reasons: Counter[tuple[str | None, str]]
    """How many rows lack a column (None: everything) for a reason."""

    def values(self, column: str) -> Matrix:
        """Return a column's values, a flag's as 0 and 1; raise `UsageError` for a file that cannot be read."""
        matrix = np.full(len(self.settings) * len(self.images), np.nan)
        for file in self.files:
            with _readable(self.run, file.name), pq.ParquetFile(file.path) as parquet:
                if column not in parquet.schema_arrow.names:
                    continue
                read = parquet.read([column])[column]
                numbers = pc.cast(read, pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
            shown = file.places >= 0
            if shown.all():
                matrix[file.places] = numbers
            else:
                matrix[file.places[shown]] = numbers[shown]
        return matrix.reshape(len(self.settings), len(self.images))

    def each(self, columns: Sequence[str], take: Callable[[str, Matrix], Taken]) -> dict[str, Taken]:
        """Return what `take` makes of each column and its values, two columns at the same time. Raises as `values` does."""
        with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as threads:
            found = threads.map(lambda column: take(column, self.values(column)), columns)
            return dict(zip(columns, found, strict=True))

    def sources(self) -> list[str | None]:
        """Return the hash of each image's prepared pixels; None for one that was never coded. Raises as `values` does."""
        found: list[str | None] = [None] * len(self.images)
        for file in self.files:
            with _readable(self.run, file.name):
                hashes = pq.read_table(file.path, columns=["source_hash"])["source_hash"].to_pylist()
            for place, source in zip(file.places.tolist(), hashes, strict=True):
                if place >= 0:
                    found[place % len(self.images)] = source
        return found


@contextlib.contextmanager
def open_grid(run: RunDirectory, index: Index) -> Iterator[Grid]:
    """Find the place of each row; raise `UsageError` for a file that cannot be read.

    Files on an object store are copied to a temporary folder first, since each is read once for every column.
    """
    shards = complete_shards(index)
    if run.is_local:
        yield _grid(run, index, {shard: Path(run.path(index.shards[shard].file)) for shard in shards})
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = {shard: Path(folder) / f"{shard}.parquet" for shard in shards}
        for shard, copy in copies.items():
            with _readable(run, index.shards[shard].file):
                copy.write_bytes(run.read(index.shards[shard].file))
        yield _grid(run, index, copies)


def _grid(run: RunDirectory, index: Index, paths: Mapping[int, Path]) -> Grid:
    settings = tuple(setting.key for setting in index.settings)
    with _readable(run, MANIFEST):
        images = _manifest(run, list(paths))
    shard_of = images["shard"].to_numpy() if paths else np.zeros(0, np.int32)

    def placed(shard: int) -> _Placed:
        first, last = np.searchsorted(shard_of, [shard, shard + 1])
        with _readable(run, index.shards[shard].file):
            described = pq.read_table(
                paths[shard],
                columns=["image", "setting", "status", "error", "metric_errors"],
                read_dictionary=["image", "setting", "status", "error"],
            )
        return _placed(described, settings, images["image"].slice(first, last - first), first, len(images))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = list(threads.map(placed, paths))
    clusters, identities = _clusters(images["identity"])
    return Grid(
        run,
        [_File(index.shards[shard].file, paths[shard], each.places) for shard, each in zip(paths, found, strict=True)],
        settings,
        images["image"],
        clusters,
        identities,
        rows=sum((each.rows for each in found), np.zeros(len(settings), np.int64)),
        errors=sum((each.errors for each in found), np.zeros(len(settings), np.int64)),
        reasons=sum((each.reasons for each in found), Counter()),
    )


@dataclass(frozen=True)
class _Placed:
    """What one file holds: where its rows belong, and what the grid counts."""

    places: Places
    rows: npt.NDArray[np.int64]
    errors: npt.NDArray[np.int64]
    reasons: Counter[tuple[str | None, str]]


def _placed(described: pa.Table, settings: Sequence[str], names: pa.ChunkedArray, first: int, images: int) -> _Placed:
    """Place rows of a shard whose images, so named, are the grid's from `first` on; the grid has so many."""
    count = len(settings)
    setting = _positions(described["setting"], pa.array(settings, pa.string()))
    image = _positions(described["image"], names)
    failed = pc.equal(described["status"], "error").to_numpy()
    asked = (setting >= 0) & (image >= 0)
    places = np.where(asked & ~failed, setting * images + first + image, -1)
    return _Placed(
        places.astype(np.min_scalar_type(-count * images - 1)),
        np.bincount(setting[asked], minlength=count),
        np.bincount(setting[asked & failed], minlength=count),
        _reasons(described.filter(pa.array(asked))),
    )


@contextlib.contextmanager
def _readable(run: RunDirectory, file: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, FileNotFoundError) as error:
        problem = "it is missing" if isinstance(error, FileNotFoundError) else str(error).partition("\n")[0]
        remedy = "if the file is damaged, delete it; running the job again computes what is missing"
        raise UsageError(f"the results of {run.url} cannot be read: {run.path(file)}: {problem}; {remedy}") from error


def _manifest(run: RunDirectory, shards: Sequence[int]) -> pa.Table:
    """The images of these shards, whose numbers never fall from row to row."""
    schema = pa.schema([("image", pa.string()), ("identity", pa.string()), ("shard", pa.int32())])
    wanted = pa.array(shards, pa.int32())
    batches = (batch.filter(pc.is_in(batch["shard"], wanted)) for batch in run.manifest_batches(schema.names))
    return pa.Table.from_batches(batches, schema)


def _positions(words: pa.ChunkedArray, known: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return where each word is among the known ones, −1 for others."""
    parts = [np.zeros(0, np.int64)]
    for chunk in words.chunks:
        positions = pc.fill_null(pc.index_in(chunk.dictionary, known), -1).to_numpy().astype(np.int64)
        parts.append(positions[chunk.indices.to_numpy()] if len(chunk) else parts[0])
    return np.concatenate(parts)


def _reasons(described: pa.Table) -> Counter[tuple[str | None, str]]:
    """Count why rows, and columns of rows that are not errors, have no values."""
    counts: Counter[tuple[str | None, str]] = Counter()
    if not len(described):  # of nothing, pyarrow's kernels end the process
        return counts
    failed = pc.equal(described["status"], "error")
    for entry in pc.value_counts(described["error"].filter(failed).cast(pa.string())).to_pylist():
        counts[None, entry["values"] or _NO_REASON] += entry["counts"]
    for chunk in described["metric_errors"].filter(pc.invert(failed)).chunks:
        pairs = pa.table({"column": chunk.keys, "reason": chunk.items})
        for entry in pairs.group_by(["column", "reason"]).aggregate([([], "count_all")]).to_pylist():
            counts[entry["column"], entry["reason"]] += entry["count_all"]
    return counts


def _clusters(identities: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], int]:
    encoded = identities.combine_chunks().dictionary_encode()
    named = len(encoded.dictionary)
    codes = cast("npt.NDArray[np.int64]", pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64))
    nameless = codes < 0
    codes[nameless] = named + np.arange(nameless.sum())
    return codes, named
