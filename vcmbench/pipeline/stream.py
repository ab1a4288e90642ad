"""Originals and their decoded versions, read and coded ahead of whoever consumes them.

The order is batch of images → setting, so that one batch of originals, with every feature computed from it, serves all its
settings. Codec processes work ahead by a bounded number of batches × settings, across the borders of batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Batch, Codec, Dataset
from vcmbench.pipeline.blocks import Block, BlockPool
from vcmbench.pipeline.codec_pool import CodecPool, Pending
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source
from vcmbench.pipeline.family_coding import Outcome, shares_analysis
from vcmbench.pipeline.worker_coding import code_batch, decode_encoded

ManifestRow: TypeAlias = Mapping[str, Any]
"""An image's row of the manifest, and under `POSITION` its place in it."""

POSITION = "place in the manifest"


@dataclass(frozen=True)
class Unreadable:
    """Images of the manifest that could not be read, and why."""

    images: Sequence[ManifestRow]
    failures: Sequence[Failure]


@dataclass(frozen=True)
class Originals:
    """A batch of images that were read, shared by all its settings."""

    images: Sequence[ManifestRow]
    loaded: Sequence[Loaded]
    batch: Batch
    block: Block


@dataclass(frozen=True)
class Decoded:
    """One setting of one batch; where an outcome is a `Failure`, the batch holds the original in its place."""

    originals: Originals
    setting: str
    outcomes: Sequence[Coded | Failure]
    batch: Batch


@dataclass(frozen=True)
class _Loading:
    images: Sequence[ManifestRow]
    block: Block
    pending: Pending[Loaded]


@dataclass(frozen=True)
class _Coding:
    originals: Originals
    setting: str
    codec: Codec
    block: Block
    outcomes: Callable[[], Sequence[Outcome]] | None  # waits for them; None for a codec that runs in the worker itself
    is_last: bool


class CodingStream:
    """Reads and codes images in a pool of processes; one stream serves any number of shards."""

    def __init__(
        self, pool: CodecPool, dataset: Dataset, preparation: Preparation, device: str, batch_size: int, ahead: int
    ) -> None:
        self._pool = pool
        self._dataset = dataset
        self._preparation = preparation
        self._device = device
        self._batch_size = batch_size
        self._ahead = ahead
        self._blocks = BlockPool(batch_size, preparation.size)

    def close(self) -> None:
        """Free the memory shared with the codec processes."""
        self._blocks.close()

    def decode(self, images: Sequence[ManifestRow], codecs: Mapping[str, Codec]) -> Iterator[Unreadable | Decoded]:
        """Yield every batch of images under every codec, in order; what could not be read comes first in its batch."""
        under_way: deque[Unreadable | _Coding] = deque()
        for item in self._start(images, codecs):
            under_way.append(item)
            if len(under_way) > self._ahead:
                yield self._finish(under_way.popleft())
        while under_way:
            yield self._finish(under_way.popleft())

    def _start(self, images: Sequence[ManifestRow], codecs: Mapping[str, Codec]) -> Iterator[Unreadable | _Coding]:
        batches = [images[first : first + self._batch_size] for first in range(0, len(images), self._batch_size)]
        loading = [self._load(batch) for batch in batches[:1]]
        for following in [*batches[1:], None]:
            current = loading.pop()
            if following is not None:
                loading.append(self._load(following))
            originals, unreadable = self._originals(current)
            if unreadable.images:
                yield unreadable
            if originals is None:
                continue
            yield from self._code(originals, codecs)

    def _load(self, images: Sequence[ManifestRow]) -> _Loading:
        block = self._blocks.take()
        sources = [Source(image["path"], _box(image)) for image in images]
        return _Loading(images, block, self._pool.load(self._dataset, sources, self._preparation, block.name))

    def _originals(self, loading: _Loading) -> tuple[Originals | None, Unreadable]:
        outcomes = loading.pending.result()
        read = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Loaded)]
        failed = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Failure)]
        unreadable = Unreadable([loading.images[place] for place in failed], [o for o in outcomes if isinstance(o, Failure)])
        if not read:
            self._blocks.give_back(loading.block)
            return None, unreadable
        if failed:
            loading.block.images[: len(read)] = loading.block.images[read]
        loaded = [outcome for outcome in outcomes if isinstance(outcome, Loaded)]
        batch = Batch(self._tensor(loading.block, len(read)), _boxes(loaded, self._device))
        return Originals([loading.images[place] for place in read], loaded, batch, loading.block), unreadable

    def _code(self, originals: Originals, codecs: Mapping[str, Codec]) -> Iterator[_Coding]:
        """Start the settings in order; with the first of a family that shares its analysis, all of them."""
        last = list(codecs)[-1]
        started: dict[str, _Coding] = {}
        for setting, codec in codecs.items():
            if setting not in started:
                family = {name: other for name, other in codecs.items() if _are_coded_together(codec, other)}
                for coding in self._start_family(originals, family or {setting: codec}, last):
                    started[coding.setting] = coding
            yield started[setting]

    def _start_family(self, originals: Originals, codecs: Mapping[str, Codec], last: str) -> Iterator[_Coding]:
        targets = [self._blocks.take() for _ in codecs]
        waiting = self._outcomes(list(codecs.values()), len(originals.images), originals.block, targets)
        for (setting, codec), target, outcomes in zip(codecs.items(), targets, waiting, strict=True):
            yield _Coding(originals, setting, codec, target, outcomes, is_last=setting == last)

    def _outcomes(
        self, codecs: Sequence[Codec], count: int, source: Block, targets: Sequence[Block]
    ) -> Sequence[Callable[[], Sequence[Outcome]] | None]:
        codec, target = codecs[0], targets[0]
        if codec.runs_in == "worker":
            return [None]
        if codec.runs_in == "both" or shares_analysis(codec):
            return self._pool.code_family(codecs, count, source.name, [target.name for target in targets])
        return [self._pool.code(codec, count, source.name, target.name).result]

    def _finish(self, item: Unreadable | _Coding) -> Unreadable | Decoded:
        if isinstance(item, Unreadable):
            return item
        originals, count = item.originals.block.images, len(item.originals.images)
        decoded = item.block.images[:count]
        if item.outcomes is None:
            outcomes = code_batch(item.codec, originals[:count], decoded)
        else:
            outcomes = decode_encoded(item.codec, item.outcomes(), decoded)
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Failure):
                item.block.images[place] = originals[place]
        batch = Batch(self._tensor(item.block, count), item.originals.batch.boxes, item.originals.batch)
        self._blocks.give_back(item.block)
        if item.is_last:
            self._blocks.give_back(item.originals.block)
        return Decoded(item.originals, item.setting, outcomes, batch)

    def _tensor(self, block: Block, count: int) -> torch.Tensor:
        """A copy of the block's first images on the device, so that the block can be used again."""
        pixels = torch.from_numpy(block.images[:count]).permute(0, 3, 1, 2)
        return pixels.clone(memory_format=torch.contiguous_format).to(self._device)


def _are_coded_together(one: Codec, other: Codec) -> bool:
    return type(one) is type(other) and "worker" not in {one.runs_in, other.runs_in} and shares_analysis(one)


def _box(image: ManifestRow) -> tuple[float, float, float, float] | None:
    sides = image["box_x"], image["box_y"], image["box_width"], image["box_height"]
    return None if any(side is None for side in sides) else sides


def _boxes(loaded: Sequence[Loaded], device: str) -> torch.Tensor | None:
    if all(image.box is None for image in loaded):
        return None
    absent = (float("nan"),) * 4
    return torch.tensor([image.box or absent for image in loaded], dtype=torch.float32, device=device)
