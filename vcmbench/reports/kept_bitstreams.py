"""The bitstreams that a run has kept of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcmbench.interfaces import content_hash
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index


@dataclass(frozen=True)
class Lost:
    """A bitstream that should be there, and why it is not."""

    reason: str


@dataclass(frozen=True)
class KeptBitstreams:
    """Where the bitstreams of a run are looked up."""

    run: RunDirectory
    index: Index

    def of(self, shard: int, image: str, hashes: Mapping[str, str]) -> dict[str, bytes | Lost]:
        """Return an image's bitstreams by setting's key; a setting of which the run keeps none is left out.

        `hashes` are those of the image's rows, by setting's key; `shard` is where these are.
        """
        kept = [setting for setting in self.index.bitstreams_of(shard) if setting in hashes]
        if not kept:
            return {}
        file = self.index.shards[shard].bitstreams
        try:
            found = self.run.find_bitstreams(file, image, kept) if file else {}
        except FileNotFoundError:
            return dict.fromkeys(kept, Lost("its file is not there"))
        except Exception:  # noqa: BLE001  # a damaged file may raise anything
            return dict.fromkeys(kept, Lost("its file is damaged or cannot be read"))
        return {setting: _checked(found.get(setting), hashes[setting]) for setting in kept}


def _checked(bitstream: bytes | None, expected: str) -> bytes | Lost:
    if bitstream is None:
        return Lost("it is not in its file")
    return bitstream if content_hash(bitstream) == expected else Lost("it is not that of its hash")
