"""Reading and coding images in processes that may be killed.

A codec is anybody's native code: it may raise, hang, crash or eat memory. So one task, a batch of images × one setting, runs
in a process of its own; when that process dies or a time limit passes, the batch is tried again image by image, and only
the culprit becomes a failure.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Dataset
from vcmbench.pipeline.blocks import BlockName
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source, code_images, load_images
from vcmbench.pipeline.processes import ProcessDied, ProcessPool, Result, TaskFailed

Outcome = TypeVar("Outcome")

QUARANTINE = 10
"""After so many images in a row that ended its process, a setting is no longer tried in this worker."""


class CodecPool:
    """Killable processes that read images into blocks and code blocks into blocks."""

    def __init__(self, processes: int, time_limit: float) -> None:
        self._time_limit = time_limit
        self._pool = ProcessPool(processes)
        self._deaths: Counter[str] = Counter()

    def close(self) -> None:
        """End every process, whatever it is doing."""
        self._pool.close()

    def load(
        self, dataset: Dataset, sources: Sequence[Source], preparation: Preparation, target: BlockName
    ) -> Pending[Loaded]:
        """Start reading images; the i-th lands in the i-th place of the block."""

        def start(places: Sequence[int]) -> Future[list[Loaded | Failure]]:
            chosen = [sources[place] for place in places]
            return self._schedule(len(places), load_images, dataset, chosen, places, preparation, target, self._time_limit)

        return Pending(start, len(sources), "reading the image", self._time_limit, Counter())

    def code(self, codec: Codec, count: int, source: BlockName, target: BlockName) -> Pending[Coded]:
        """Start coding the first `count` images of a block; the decoded images land in the same places of the other."""

        def start(places: Sequence[int]) -> Future[list[Coded | Failure]]:
            return self._schedule(len(places), code_images, codec, places, source, target, self._time_limit)

        return Pending(start, count, codec.variant, self._time_limit, self._deaths)

    def _schedule(self, images: int, function: Callable[..., Result], *args: object) -> Future[Result]:
        # The process ends itself when one image takes too long; this is for a process that cannot even do that.
        return self._pool.schedule(images * 2 * self._time_limit + 30, function, *args)


class Pending(Generic[Outcome]):
    """A batch under way; `result` waits for it, and tries it image by image when its process died."""

    def __init__(
        self,
        start: Callable[[Sequence[int]], Future[list[Outcome | Failure]]],
        count: int,
        what: str,
        time_limit: float,
        deaths: Counter[str],
    ) -> None:
        self._start, self._count, self._what, self._time_limit, self._deaths = start, count, what, time_limit, deaths
        self._future = None if self._in_quarantine else start(range(count))

    @property
    def _in_quarantine(self) -> bool:
        return self._deaths[self._what] >= QUARANTINE

    def result(self) -> list[Outcome | Failure]:
        """One outcome for each image, in order."""
        try:
            if self._future is not None:
                outcomes = self._future.result()
                self._deaths[self._what] = 0
                return outcomes
        except (ProcessDied, TaskFailed, TimeoutError):
            pass
        return [self._alone(place) for place in range(self._count)]

    def _alone(self, place: int) -> Outcome | Failure:
        if self._in_quarantine:
            return Failure(f"{self._what}: not tried, since its process died on {QUARANTINE} images in a row")
        try:
            outcome = self._start([place]).result()[0]
        except (ProcessDied, TimeoutError) as death:
            self._deaths[self._what] += 1
            return Failure(f"{self._what}: {_cause_of_death(death, self._time_limit)}")
        except TaskFailed as failure:
            return Failure(f"{self._what}: {failure}")
        self._deaths[self._what] = 0
        return outcome


def _cause_of_death(death: ProcessDied | TimeoutError, time_limit: float) -> str:
    if isinstance(death, TimeoutError):
        return str(death)
    exitcode = death.exitcode
    if exitcode == -signal.SIGALRM:
        return f"took longer than the time limit of {time_limit:g} s"
    if exitcode == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory"
    if exitcode < 0:
        return f"its process died ({signal.strsignal(-exitcode)})"
    return f"its process ended itself with exit code {exitcode}"
