"""Reading and coding images in processes that may be killed.

A codec is anybody's native code: it may raise, hang, crash or eat memory. So one task, a batch of images × one setting, runs
in a process of its own; when that process dies or a time limit passes, the batch is tried again image by image, and only
the culprit becomes a failure. An image is blamed for the death of a process only if that has done nothing but this image.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Dataset
from vcmbench.pipeline.blocks import BlockName
from vcmbench.pipeline.coding import Coded, Encoded, Failure, Loaded, Source, code_images, load_images
from vcmbench.pipeline.family_coding import Outcome as FamilyOutcome
from vcmbench.pipeline.family_coding import code_alone, code_family
from vcmbench.pipeline.memory import total_memory
from vcmbench.pipeline.processes import ProcessDied, ProcessPool, TaskFailed

Outcome = TypeVar("Outcome")

QUARANTINE = 10
"""After so many images in a row that ended its process, a setting is no longer tried in this worker."""

LEAST_MEMORY = 2 * 2**30
"""Bytes that a process may have even where there is less for each; the largest image that is read, 100 megapixels of 16
bits, takes most of it."""


class CodecPool:
    """Killable processes that read images into blocks and code blocks into blocks."""

    def __init__(
        self, processes: int, time_limit: float, memory_limit: int | None = None, *, with_bitstreams: bool = False
    ) -> None:
        """`time_limit` is in seconds for each image; `memory_limit` in bytes for each process, by default its share.

        Outcomes have their bitstreams only if that is asked for.
        """
        self._code_images = partial(code_images, with_bitstreams=with_bitstreams)
        self._code_family = partial(code_family, with_bitstreams=with_bitstreams)
        self._code_alone = partial(code_alone, with_bitstreams=with_bitstreams)
        self._time_limit = time_limit
        self._processes = processes
        self._pool = ProcessPool(processes, memory_limit or max(total_memory() // processes, LEAST_MEMORY))
        self._deaths: defaultdict[str, Deaths] = defaultdict(Deaths)
        self._to_be_alone: set[str] = set()

    def close(self) -> None:
        """End every process, whatever it is doing."""
        self._pool.close()

    def load(
        self, dataset: Dataset, sources: Sequence[Source], preparation: Preparation, target: BlockName
    ) -> Pending[Loaded]:
        """Start reading images; the i-th lands in the i-th place of the block."""

        def start(places: Sequence[int], *, fresh: bool) -> Future[list[Loaded | Failure]]:
            chosen = [sources[place] for place in places]
            task = dataset, chosen, places, preparation, target
            return self._pool.schedule(self._time_limit, load_images, *task, fresh=fresh)

        # However many files end their reader, the next one is another.
        return Pending(start, [source.path for source in sources], Deaths(enough=math.inf))

    def code(self, codec: Codec, count: int, source: BlockName, target: BlockName) -> Pending[Coded]:
        """Start coding the first `count` images of a block; the decoded images land in the same places of the other."""

        def start(places: Sequence[int], *, fresh: bool) -> Future[list[Coded | Failure]]:
            return self._pool.schedule(self._time_limit, self._code_images, codec, places, source, target, fresh=fresh)

        return Pending(start, [codec.variant] * count, self._deaths[codec.variant])

    def code_family(
        self, codecs: Sequence[Codec], count: int, source: BlockName, targets: Sequence[BlockName]
    ) -> list[Callable[[], list[FamilyOutcome]]]:
        """Start coding settings of one family together, each into its own block; return what waits for each one's outcomes.

        Every process takes a part of the images. Settings in whose midst one died are coded one by one from then on.
        """
        parts = [range(first, count, self._processes) for first in range(min(count, self._processes))]
        limit = len(codecs) * self._time_limit
        together = [
            None
            if self._to_be_alone.intersection(_variants(codecs))
            else self._pool.schedule(limit, self._code_family, codecs, part, source, targets)
            for part in parts
        ]

        def outcomes(number: int) -> list[FamilyOutcome]:
            found: dict[int, FamilyOutcome] = {}
            for part, future in zip(parts, together, strict=True):
                try:
                    if future is not None:
                        found |= zip(part, [row[number] for row in future.result()], strict=True)
                        continue
                except (ProcessDied, TaskFailed):
                    self._to_be_alone.update(_variants(codecs))
                found |= zip(part, self._alone(codecs[number], part, source, targets[number]), strict=True)
            return [found[place] for place in range(count)]

        return [partial(outcomes, number) for number in range(len(codecs))]

    def _alone(self, codec: Codec, part: Sequence[int], source: BlockName, target: BlockName) -> list[FamilyOutcome]:
        def start(places: Sequence[int], *, fresh: bool) -> Future[list[FamilyOutcome]]:
            chosen = [part[place] for place in places]
            return self._pool.schedule(self._time_limit, self._code_alone, codec, chosen, source, target, fresh=fresh)

        pending: Pending[Coded | Encoded] = Pending(start, [codec.variant] * len(part), self._deaths[codec.variant])
        return pending.result()


def _variants(codecs: Sequence[Codec]) -> list[str]:
    return [codec.variant for codec in codecs]


@dataclass
class Deaths:
    """How many images in a row ended their process, and whether the last of these deaths was a passing trouble."""

    enough: float = QUARANTINE
    in_a_row: int = 0
    transient: bool = False

    @property
    def are_enough(self) -> bool:
        """Whether there is no point in another."""
        return self.in_a_row >= self.enough


class Start(Protocol[Outcome]):
    """Starts the images in these places of a batch, in a new process if `fresh`."""

    def __call__(self, places: Sequence[int], *, fresh: bool) -> Future[list[Outcome | Failure]]:
        """Give one outcome for each place."""


class Pending(Generic[Outcome]):
    """A batch under way; `result` waits for it, and tries it image by image when its process died."""

    def __init__(self, start: Start[Outcome], names: Sequence[str], deaths: Deaths) -> None:
        """`names` has for each image what a failure is said of: the file, or the setting."""
        self._start, self._names, self._deaths = start, names, deaths
        self._future = None if deaths.are_enough else start(range(len(names)), fresh=False)

    def result(self) -> list[Outcome | Failure]:
        """One outcome for each image, in order."""
        try:
            if self._future is not None:
                outcomes = self._future.result()
                self._deaths.in_a_row = 0
                return outcomes
        except (ProcessDied, TaskFailed):
            pass
        return [self._alone(place) for place in range(len(self._names))]

    def _alone(self, place: int) -> Outcome | Failure:
        name = self._names[place]
        if self._deaths.are_enough:
            reason = f"{name}: not tried, since its process died on {QUARANTINE} images in a row"
            return Failure(reason, self._deaths.transient)
        try:
            outcome = self._without_accomplice(place)
        except ProcessDied as death:
            self._deaths.in_a_row += 1
            self._deaths.transient = death.transient
            return Failure(f"{name}: {death}", death.transient)
        except TaskFailed as failure:
            return Failure(f"{name}: {failure}")
        self._deaths.in_a_row = 0
        return outcome

    def _without_accomplice(self, place: int) -> Outcome | Failure:
        """Try again in a new process what may have died of what another task left in the old one."""
        try:
            return self._start([place], fresh=False).result()[0]
        except ProcessDied as death:
            if death.was_fresh:
                raise
        return self._start([place], fresh=True).result()[0]
