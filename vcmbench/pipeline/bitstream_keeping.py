"""The bitstreams of one shard, from when they are coded until their file is written."""

from __future__ import annotations

from collections.abc import Sequence

from vcmbench.bitstreams import BITSTREAM, BitstreamSpool, bitstream_tables
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.rows import Row
from vcmbench.results import RunDirectory


class BitstreamKeeper:
    """Takes bitstreams from rows and stores those of the rows that the shard holds in the end."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._spool = BitstreamSpool()

    def close(self) -> None:
        """Give memory and disk back."""
        self._spool.close()

    def begin(self) -> None:
        """Forget the shard before, even one that was not finished."""
        self._spool.clear()

    def take(self, row: Row) -> Row:
        """Return the row without its bitstream, if it has one."""
        bitstream = row.pop(BITSTREAM, None)
        if isinstance(bitstream, bytes):
            self._spool.put(str(row["bitstream_hash"]), bitstream)
        return row

    def store(self, work: ShardWork, rows: Sequence[Row], former: str, writer: str) -> str:
        """Write the file of these rows and return its name; what was not coded now comes from the shard's former file.

        "" where there is no bitstream. A row of which neither has the bitstream, such as one that could not be coded again,
        goes without.
        """
        wanted = {str(row["bitstream_hash"]) for row in rows if row.get("bitstream_hash")}
        missing = {name for name in wanted if name not in self._spool}
        if former and missing:
            for kept in self._run.read_bitstreams(former):
                if kept.bitstream_hash in missing:
                    self._spool.put(kept.bitstream_hash, kept.bitstream)
        return self._run.write_bitstreams(work.shard, work.generation, bitstream_tables(rows, self._spool), writer)
