"""What a run has stored of a few images: their places in the data set, their rows, and their landmarks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vcmbench.interfaces import StorageError
from vcmbench.reports.kept_bitstreams import KeptBitstreams
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, complete_shards

Points: TypeAlias = npt.NDArray[np.float32]
"""68×2: x and y in pixels of the prepared image."""

LANDMARKS = "landmarks"
"""The stored feature that is drawn: x1, y1, …, x68, y68."""


@dataclass(frozen=True)
class StoredImages:
    """Each image's row of the manifest, and its results by image and setting's key; a name that the run lacks has neither.

    `landmarks` are by image and setting's key, `feature_tables.ORIGINAL` for the original; absent where none are stored.
    `bitstreams` looks up those that the run has kept.
    """

    manifest: Mapping[str, Mapping[str, Any]]
    rows: Mapping[tuple[str, str], Mapping[str, Any]]
    landmarks: Mapping[tuple[str, str], Points]
    bitstreams: KeptBitstreams | None = None


def stored_images(run: RunDirectory, index: Index, names: Collection[str]) -> StoredImages:
    """Read what the complete shards have of these images; a damaged result file raises `StorageError`."""
    wanted = pa.array(sorted(names), pa.string())
    manifest: dict[str, dict[str, Any]] = {}
    for batch in run.manifest_batches():
        manifest |= {row["image"]: row for row in batch.filter(pc.is_in(batch["image"], wanted)).to_pylist()}
    shards = {row["shard"] for row in manifest.values()}.intersection(complete_shards(index))
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    landmarks: dict[tuple[str, str], Points] = {}
    for shard in sorted(shards):
        table = run.read_shard(index.shards[shard].file)
        found = table.filter(pc.is_in(table["image"], wanted)).to_pylist()
        rows |= {(row["image"], row["setting"]): row for row in found}
        landmarks |= _landmarks(run, index, shard, wanted)
    return StoredImages(manifest, rows, landmarks, KeptBitstreams(run, index))


def _landmarks(run: RunDirectory, index: Index, shard: int, wanted: pa.Array) -> dict[tuple[str, str], Points]:
    file = index.shards[shard].features
    if not file or LANDMARKS not in index.features:
        return {}
    try:
        return dict(_points(_landmark_table(run, file, wanted)))
    except (pa.ArrowException, OSError, StorageError):  # the figure goes without them, and says that none are stored
        return {}


def _landmark_table(run: RunDirectory, file: str, wanted: pa.Array) -> pa.Table:
    """The rows of these images that have landmarks; other features, which are many times longer, are not read."""
    with run.open(file) as source:
        parquet = pq.ParquetFile(source)
        if LANDMARKS not in parquet.schema_arrow.names:
            return pa.table({"image": [], "setting": [], LANDMARKS: []})
        table = parquet.read(["image", "setting", LANDMARKS])
    return table.filter(pc.and_(pc.is_in(table["image"], wanted), table[LANDMARKS].is_valid()))


def _points(table: pa.Table) -> Iterator[tuple[tuple[str, str], Points]]:
    for row in table.to_pylist():
        points = np.asarray(row[LANDMARKS], np.float32).reshape(-1, 2)
        if np.isfinite(points).all():
            yield (row["image"], row["setting"]), points
