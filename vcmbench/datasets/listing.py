"""What listing and selecting millions of images share: a listing's columns, and a DuckDB workspace to join and sort in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

BOX = ("box_x", "box_y", "box_width", "box_height")

COLUMNS = pa.schema(
    [
        pa.field("image", pa.string()),
        pa.field("path", pa.string()),
        pa.field("identity", pa.string()),
        *[pa.field(name, pa.float32()) for name in BOX],
    ]
)
"""The columns of every listing, before its label columns; see `Dataset.images`."""

ROWS = 20_000
"""Rows of a batch: enough for speed, few enough that a batch takes a few megabytes."""


@contextmanager
def workspace() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection that keeps to 100 MB and puts the rest in a temporary folder, removed at the end.

    Two threads, because the memory that DuckDB needs grows with their number.
    """
    with (
        tempfile.TemporaryDirectory(prefix="vcmbench-") as folder,
        duckdb.connect(config={"memory_limit": "100MB", "threads": 2, "temp_directory": folder}) as connection,
    ):
        yield connection


def load(connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Create a table from record batches of one schema."""
    connection.register("batch", schema.empty_table())
    connection.execute(f"CREATE TABLE {table} AS FROM batch")
    for batch in batches:
        connection.register("batch", batch)
        connection.execute(f"INSERT INTO {table} BY NAME FROM batch")
    connection.unregister("batch")


def stream(connection: duckdb.DuckDBPyConnection, query: str, **parameters: object) -> Iterator[pa.RecordBatch]:
    """Run a query and yield its rows in batches."""
    yield from connection.sql(query, params=parameters).to_arrow_reader(ROWS)


def repeated(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> str | None:
    """Return a value that occurs more than once in a column of names, or None."""
    query = f"SELECT {column} FROM {table} GROUP BY {column} HAVING count(*) > 1 ORDER BY {column} LIMIT 1"  # noqa: S608  # our own names
    rows = connection.execute(query).fetchall()
    return rows[0][0] if rows else None
