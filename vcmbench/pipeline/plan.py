"""Which cells are missing: the difference between what the job asks for and what the run directory has. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vcmbench.run_index import Cells, Index, ShardRecord

Lacking: TypeAlias = dict[str, tuple[str, ...]]
"""Setting key → the keys of the metrics it must be scored with; none where it must only be coded."""

Retry: TypeAlias = Literal["errors", "transient"]
"""Which stored rows to try again: all that failed, or those whose reason may pass."""


@dataclass(frozen=True)
class ShardWork:
    """What one shard still needs."""

    shard: int
    images: int
    generation: int
    missing: Lacking
    retry: Retry | None = None
    again: int = 0
    """The number of stored rows to try again."""
    isolated: bool = False
    """Whether to compute each image in a process of its own, to find the one that ends its worker."""
    first: int = 0
    """The place in the manifest of the shard's first image."""

    @property
    def size(self) -> int:
        """The number of images × settings to code."""
        return self.images * len(self.missing) + self.again


def plan(shard_sizes: Mapping[int, int], index: Index, retry: Retry | None = None) -> list[ShardWork]:
    """Return the work of every shard that lacks a cell, or has rows to try again, in order."""
    work = []
    first = 0
    missing_of: dict[tuple[str, str] | None, Lacking] = {}  # few distinct states among many shards
    for shard, images in sorted(shard_sizes.items()):
        record = index.shards.get(shard)
        state = (record.cells, record.bitstream_set) if record else None
        if state not in missing_of:
            missing_of[state] = missing_cells(index.wanted, index.cells(shard), index.without_bitstreams(shard))
        again = _failed_rows(record, index, retry) if record and retry else 0
        if missing_of[state] or again:
            generation = record.generation + 1 if record else 1
            missing = missing_of[state]
            work.append(ShardWork(shard, images, generation, missing, retry if again else None, again, first=first))
        first += images
    return work


def missing_cells(wanted: Cells, stored: Cells, without_bitstreams: Collection[str] = ()) -> Lacking:
    """The wanted settings that lack a column's values, or bitstreams to be kept, each with the metrics that give values."""
    missing: Lacking = {}
    for setting, columns in wanted.items():
        has = stored.get(setting, {})
        lacking = dict.fromkeys(metric for column, metric in columns.items() if has.get(column) != metric)
        if lacking or setting not in stored or setting in without_bitstreams:
            missing[setting] = tuple(lacking)
    return missing


def _failed_rows(record: ShardRecord, index: Index, retry: Retry) -> int:
    failed = record.transient if retry == "transient" else record.errors
    return sum(failed.get(setting.key, 0) for setting in index.settings)
