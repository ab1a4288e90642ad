"""Which cells are missing: the difference between what the job asks for and what the run directory has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vcmbench.results import Cells, Index

Lacking: TypeAlias = dict[str, tuple[str, ...]]
"""Setting key → the keys of the metrics it must be scored with; none where it must only be coded."""


@dataclass(frozen=True)
class ShardWork:
    """What one shard still needs."""

    shard: int
    images: int
    generation: int
    missing: Lacking

    @property
    def size(self) -> int:
        """The number of images × settings to code."""
        return self.images * len(self.missing)


def plan(shard_sizes: Mapping[int, int], index: Index) -> list[ShardWork]:
    """Return the work of every shard that lacks a cell, in order."""
    work = []
    missing_of: dict[str | None, Lacking] = {}  # few distinct states among many shards
    for shard, images in sorted(shard_sizes.items()):
        record = index.shards.get(shard)
        state = record.cells if record else None
        if state not in missing_of:
            missing_of[state] = missing_cells(index.wanted, index.cells(shard))
        if missing_of[state]:
            work.append(ShardWork(shard, images, record.generation + 1 if record else 1, missing_of[state]))
    return work


def missing_cells(wanted: Cells, stored: Cells) -> Lacking:
    """The wanted settings that lack a column's values, each with the metrics that give them."""
    missing: Lacking = {}
    for setting, columns in wanted.items():
        has = stored.get(setting, {})
        lacking = dict.fromkeys(metric for column, metric in columns.items() if has.get(column) != metric)
        if lacking or setting not in stored:
            missing[setting] = tuple(lacking)
    return missing
