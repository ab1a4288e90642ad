"""Bitstreams that a run keeps: held until their shard is stored, and as the tables of its file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from vcmbench.interfaces import StorageError

BITSTREAM = "bitstream"
"""How a row calls its bitstream on the way to the worker that stores it."""

BITSTREAM_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("setting", pa.string()),
        ("variant", pa.string()),
        ("bitstream_hash", pa.string()),
        (BITSTREAM, pa.binary()),
    ]
)
"""The columns of a bitstream file; the first four are as in the result rows."""


@dataclass(frozen=True)
class KeptBitstream:
    """One of a file."""

    image: str
    setting: str
    """The setting's key."""
    bitstream_hash: str
    bitstream: bytes


GROUP_BYTES = 2**20
"""A row group ends where its bitstreams come to so much, so that a reader of one image fetches little more."""

HELD_BYTES = 64 * 2**20
"""How much a spool holds in memory; the rest goes to a temporary file."""


class BitstreamSpool:
    """Any number of bitstreams by their hash, in bounded memory; equal ones are held once."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=held_bytes, prefix="vcmbench-")  # noqa: SIM115  # see `close`
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def put(self, name: str, bitstream: bytes) -> None:
        """Hold a bitstream under its hash; raises `StorageError` where there is no room for it."""
        if name in self._places:
            return
        try:
            self._file.seek(self._end)
            self._file.write(bitstream)
        except OSError as error:
            raise StorageError(
                f"a temporary file of bitstreams cannot be written in {tempfile.gettempdir()}: {error.strerror}; "
                "make room there, or let TMPDIR name another folder, and run the same command again"
            ) from error
        self._places[name] = self._end, len(bitstream)
        self._end += len(bitstream)

    def size(self, name: str) -> int:
        """The length of a bitstream."""
        return self._places[name][1]

    def get(self, name: str) -> bytes:
        """Return a bitstream."""
        start, length = self._places[name]
        self._file.seek(start)
        return self._file.read(length)

    def clear(self) -> None:
        """Forget every bitstream."""
        self._places.clear()
        self._end = 0
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        """Give memory and disk back."""
        self._file.close()


def bitstream_tables(rows: Sequence[Mapping[str, object]], spool: BitstreamSpool) -> Iterator[pa.Table]:
    """The bitstreams of these rows that the spool holds, a table for each row group: one setting's, about `GROUP_BYTES`."""
    by_setting: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        if row.get("bitstream_hash") in spool:
            by_setting.setdefault(str(row["setting"]), []).append(row)
    for coded in by_setting.values():
        group: list[Mapping[str, object]] = []
        size = 0
        for row in coded:
            length = spool.size(str(row["bitstream_hash"]))
            if group and size + length > GROUP_BYTES:
                yield _table(group, spool)
                group, size = [], 0
            group.append(row)
            size += length
        yield _table(group, spool)


def _table(rows: Sequence[Mapping[str, object]], spool: BitstreamSpool) -> pa.Table:
    names = BITSTREAM_SCHEMA.names[:-1]
    columns = {name: [row[name] for row in rows] for name in names}
    bitstreams = [spool.get(str(row["bitstream_hash"])) for row in rows]
    return pa.table({**columns, BITSTREAM: bitstreams}, BITSTREAM_SCHEMA)
