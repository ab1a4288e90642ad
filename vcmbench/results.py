"""The run directory: a public contract, shared by the pipeline that writes it and the reports that read it.

    config.yaml  manifest.parquet  provenance.json  index.json
    results/shard-000000.g1-5f0c9a1b.parquet  features/ (likewise, where a metric stores any)  bitstreams/ (if kept)
    summary.parquet  report/  tracking.json (how MLflow knows the run)

The directory is a local path or any fsspec URL. A shard file is immutable once `index.json` names it, and readers follow
the index, never a listing: a file that the index does not name does not exist. Every file appears whole or not at all, and
only who has seen the latest index can replace it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from vcmbench.bitstreams import BITSTREAM, BITSTREAM_SCHEMA, KeptBitstream
from vcmbench.feature_tables import feature_tables
from vcmbench.interfaces import StorageError, UsageError, content_hash
from vcmbench.run_index import ColumnRecord, Index
from vcmbench.storage import Storage

FORMAT = 1
MANIFEST, INDEX, CONFIG, PROVENANCE, SUMMARY = (
    "manifest.parquet",
    "index.json",
    "config.yaml",
    "provenance.json",
    "summary.parquet",
)

RESULTS, FEATURES, BITSTREAMS = "results", "features", "bitstreams"
"""The folders of shard files."""

ROW_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("identity", pa.string()),
        ("setting", pa.string()),
        ("family", pa.string()),
        ("curve", pa.string()),
        ("variant", pa.string()),
        ("bytes", pa.int64()),
        ("bpp", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("encode_ms", pa.float64()),
        ("decode_ms", pa.float64()),
        ("bitstream_hash", pa.string()),
        ("decoded_hash", pa.string()),
        ("note", pa.string()),
        ("source_hash", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("transient", pa.bool_()),
        ("metric_errors", pa.map_(pa.string(), pa.string())),
    ]
)
"""The columns before the metrics'. `setting` is the codec's key; `status` is "ok" or "error"; `note` says what was converted
on reading the image; `source_hash` is the SHA-256 of the prepared original's pixels, cut to 16 digits, null where the image
could not be read; `transient` tells whether trying again may help: the row's error, or a metric's, is a time limit, a death
or a lack of memory or storage; `metric_errors` maps a metric column to the reason why it is null."""

_ROW_GROUP = 16_384
"""Rows of the manifest that are read together: small enough for a worker to fetch one shard, large enough to compress."""

_ARROW_TYPES = {"float": pa.float64(), "bool": pa.bool_(), "string": pa.string()}


def row_schema(columns: Mapping[str, ColumnRecord]) -> pa.Schema:
    """The schema of result rows with these metric columns."""
    fields = [pa.field(name, _ARROW_TYPES[column.dtype]) for name, column in columns.items()]
    return pa.schema([*ROW_SCHEMA, *fields])


class RunDirectory(Storage):
    """One run's directory, local or on any fsspec file system."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._index_version: str | None = None

    # ------------------------------------------------------------------------------------------------ manifest

    def write_manifest(self, batches: Iterator[pa.RecordBatch], shard_size: int, *, append: bool = False) -> None:
        """Store the selected images in order, and with it which shard each belongs to.

        To append, the images already in the manifest are skipped at the front of `batches`; they stay in their shards, and
        the rest begins new ones. Raises `UsageError` when `batches` begins with other images than those.
        """
        known, next_shard = self._known_images() if append else (pa.chunked_array([], pa.string()), 0)
        first = next(batches, None)
        if first is None:
            return
        schema = first.schema.append(pa.field("shard", pa.int32()))
        with self.create(MANIFEST) as file, pq.ParquetWriter(file, schema) as writer:
            if append:
                for batch in self.manifest_batches():
                    writer.write_batch(batch.cast(schema), _ROW_GROUP)
            position = 0
            for batch in _chain(first, batches):
                old = known.slice(position, batch.num_rows)
                if not pa.chunked_array([batch.column("image")[: len(old)]]).equals(old):
                    raise UsageError(
                        f"{self.path(MANIFEST)} begins with other images than the data set now gives; "
                        "restore the data set, or choose another `out`"
                    )
                new = batch.slice(len(old))
                places = np.arange(position + len(old), position + batch.num_rows) - len(known)
                position += batch.num_rows
                if new.num_rows:
                    shards = pa.array(places // shard_size + next_shard, pa.int32())
                    writer.write_batch(new.append_column(schema.field("shard"), shards), _ROW_GROUP)

    def _known_images(self) -> tuple[pa.ChunkedArray, int]:
        """The names in the stored manifest and the first unused shard number."""
        names = pa.chunked_array([batch.column(0) for batch in self.manifest_batches(["image"])], pa.string())
        return names, max(self.shard_sizes(), default=-1) + 1

    def shard_sizes(self) -> dict[int, int]:
        """Shard → its number of images, read without holding the images."""
        counts: dict[int, int] = {}
        for batch in self.manifest_batches(["shard"]):
            for entry in pc.value_counts(batch.column(0)).to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
        return counts

    def manifest_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the manifest piece by piece, for it may list millions of images."""
        with self.open(MANIFEST) as file:
            yield from pq.ParquetFile(file).iter_batches(columns=columns)

    def manifest(self, shard: int | None = None) -> pa.Table:
        """The manifest of one shard, or the whole."""
        filters = None if shard is None else [("shard", "=", shard)]
        with self.open(MANIFEST) as file:
            return pq.read_table(file, filters=filters)

    # --------------------------------------------------------------------------------------------------- index

    def read_index(self) -> Index | None:
        """The index, or None for a directory that has none yet; a damaged one raises `UsageError`."""
        try:
            data, self._index_version = self.read_version(INDEX)
        except FileNotFoundError:
            self._index_version = None
            return None
        try:
            return Index.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "the file"
            raise UsageError(
                f"{self.path(INDEX)} cannot be used: {place}: {problem['msg']}; restore the file, or choose another `out`"
            ) from error

    def write_index(self, index: Index) -> None:
        """Make an index the current one.

        Raises `Superseded` when the stored one is not what this object has read or written last, or, if it has done neither,
        when there is one: a driver that was taken over must not put its index over a newer one.
        """
        self._index_version = self.replace(INDEX, index.model_dump_json().encode(), self._index_version)

    # -------------------------------------------------------------------------------------------------- shards

    def write_shard(self, shard: int, generation: int, table: pa.Table, writer: str) -> str:
        """Store a shard's rows and return the file's name, which the index must still be given.

        `writer` is a short hexadecimal token, another for each driver, so that none overwrites what a later one has named.
        """
        return self._write_tables(RESULTS, shard, generation, [table], writer)

    def write_features(self, shard: int, generation: int, rows: Sequence[Mapping[str, object]], writer: str) -> str:
        """Store the features that a shard's rows carry and return the file's name; "" where they carry none."""
        tables = feature_tables(rows)
        return self._write_tables(FEATURES, shard, generation, tables, writer) if tables else ""

    def _write_tables(self, folder: str, shard: int, generation: int, tables: Sequence[pa.Table], writer: str) -> str:
        name = _shard_file(folder, shard, generation, writer)
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, tables[0].schema, compression="zstd") as file:
            for table in tables:
                file.write_table(table)  # a row group each, so that a reader of one setting fetches only that
        self.write(name, buffer.getvalue())
        return name

    def write_bitstreams(self, shard: int, generation: int, tables: Iterator[pa.Table], writer: str) -> str:
        """Store a shard's bitstreams, a row group for each table, and return the file's name; "" where there are none.

        Only one table at a time is in memory.
        """
        first = next(tables, None)
        if first is None:
            return ""
        name = _shard_file(BITSTREAMS, shard, generation, writer)
        words = [column for column in BITSTREAM_SCHEMA.names if column != BITSTREAM]
        # Bitstreams are compressed already, and their smallest and largest are of no use to anybody.
        compression = {**dict.fromkeys(words, "zstd"), BITSTREAM: "none"}
        with (
            self.create(name) as file,
            pq.ParquetWriter(
                file, BITSTREAM_SCHEMA, compression=compression, use_dictionary=words, write_statistics=words
            ) as parquet,
        ):
            for table in itertools.chain([first], tables):
                parquet.write_table(table)
        return name

    def read_bitstreams(self, file: str) -> Iterator[KeptBitstream]:
        """Yield each bitstream of a file; a damaged file raises `StorageError`."""
        columns = [field.name for field in dataclasses.fields(KeptBitstream)]
        with self._unless_damaged(file), self.open(file) as source:
            parquet = pq.ParquetFile(source)
            for group in range(parquet.num_row_groups):
                for row in parquet.read_row_group(group, columns).to_pylist():
                    kept = KeptBitstream(**row)
                    if content_hash(kept.bitstream) != kept.bitstream_hash:
                        raise pa.ArrowInvalid("a bitstream is not that of its hash")
                    yield kept

    def find_bitstreams(self, file: str, image: str, settings: Collection[str]) -> dict[str, bytes]:
        """An image's bitstreams in a file, by setting's key; a damaged file raises `StorageError`.

        They are not compared with their hashes. Of other images only those are read that share a row group with it.
        """
        found: dict[str, bytes] = {}
        with self._unless_damaged(file), self.open(file) as source:
            parquet = pq.ParquetFile(source)
            column = parquet.schema_arrow.names.index("setting")
            for group in range(parquet.num_row_groups):
                setting = parquet.metadata.row_group(group).column(column).statistics.min
                if setting in settings:
                    images = parquet.read_row_group(group, ["image"])[0]
                    place = pc.index(images, image).as_py()
                    if place >= 0:
                        found[setting] = parquet.read_row_group(group, [BITSTREAM])[0][place].as_py()
        return found

    def read_shard(self, file: str) -> pa.Table:
        """The rows of one shard file; a damaged one raises `StorageError`."""
        with self._unless_damaged(file):
            return pq.read_table(io.BytesIO(self.read(file)))

    def read_features(self, file: str, setting: str | None = None) -> pa.Table:
        """The features of one shard, of all settings or of one; a damaged file raises `StorageError`."""
        filters = None if setting is None else [("setting", "=", setting)]
        with self._unless_damaged(file), self.open(file) as source:
            return pq.read_table(source, filters=filters)

    @contextlib.contextmanager
    def _unless_damaged(self, file: str) -> Iterator[None]:
        try:
            yield
        except pa.ArrowException as error:
            reason = f"{self.path(file)} is damaged: {error}"
            raise StorageError(f"{reason}; delete it and run the same command again, which computes it anew") from error

    # ---------------------------------------------------------------------------------------------- provenance

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Store where the values came from: versions, hardware, settings."""
        self.write(PROVENANCE, json.dumps(provenance, indent=2, ensure_ascii=False).encode())

    def read_provenance(self) -> dict[str, Any]:
        """What `write_provenance` stored; empty when nothing was."""
        return cast("dict[str, Any]", json.loads(self.read(PROVENANCE))) if self.exists(PROVENANCE) else {}


def _shard_file(folder: str, shard: int, generation: int, writer: str) -> str:
    return f"{folder}/shard-{shard:06d}.g{generation}-{writer}.parquet"


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def table_of(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; what a row does not name is null."""
    return pa.Table.from_pylist(list(rows), schema=schema)
