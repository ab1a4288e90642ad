"""Reading and coding images in processes that may be killed.

A codec is anybody's native code: it may raise, hang, crash or eat memory. So one task, a batch of images × one setting, runs
in a process of its own; when that process dies or a time limit passes, the batch is tried again image by image, and only
the culprit becomes a failure.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import pebble

from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Dataset
from vcmbench.pipeline.blocks import BlockName
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source, code_images, load_images

Outcome = TypeVar("Outcome")
Result = TypeVar("Result")


class PoolClosed(BaseException):
    """The pool was closed while a batch was under way; like an interrupt, it is nobody's failure."""


class CodecPool:
    """Killable processes that read images into blocks and code blocks into blocks."""

    def __init__(self, processes: int, time_limit: float) -> None:
        self._time_limit = time_limit
        self._under_way: set[Future[Any]] = set()
        self._pool = pebble.ProcessPool(
            max_workers=processes,
            initializer=_start_process,
            context=multiprocessing.get_context("spawn"),
        )

    def close(self) -> None:
        """End every process, whatever it is doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble's own
        self._pool.join()
        for future in list(self._under_way):
            future.set_exception(PoolClosed())  # pebble leaves whoever waits for them waiting

    def load(
        self, dataset: Dataset, sources: Sequence[Source], preparation: Preparation, target: BlockName
    ) -> Pending[Loaded]:
        """Start reading images; the i-th lands in the i-th place of the block."""

        def start(places: Sequence[int]) -> Future[list[Loaded | Failure]]:
            chosen = [sources[place] for place in places]
            return self._schedule(len(places), load_images, dataset, chosen, places, preparation, target, self._time_limit)

        return Pending(start, len(sources), "reading the image", self._time_limit)

    def code(self, codec: Codec, count: int, source: BlockName, target: BlockName) -> Pending[Coded]:
        """Start coding the first `count` images of a block; the decoded images land in the same places of the other."""

        def start(places: Sequence[int]) -> Future[list[Coded | Failure]]:
            return self._schedule(len(places), code_images, codec, places, source, target, self._time_limit)

        return Pending(start, count, codec.variant, self._time_limit)

    def _schedule(self, images: int, function: Callable[..., Result], *args: object) -> Future[Result]:
        # The process ends itself when one image takes too long; this is for a process that cannot even do that.
        backstop = images * 2 * self._time_limit + 30
        future = self._pool.schedule(function, args=args, timeout=backstop)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future


class Pending(Generic[Outcome]):
    """A batch under way; `result` waits for it, and tries it image by image when its process died."""

    def __init__(
        self, start: Callable[[Sequence[int]], Future[list[Outcome | Failure]]], count: int, what: str, time_limit: float
    ) -> None:
        self._start, self._count, self._what, self._time_limit = start, count, what, time_limit
        self._future = start(range(count))

    def result(self) -> list[Outcome | Failure]:
        """One outcome for each image, in order."""
        try:
            return self._future.result()
        except Exception:  # noqa: BLE001  # however the process ended, its images are tried one by one
            return [self._alone(place) for place in range(self._count)]

    def _alone(self, place: int) -> Outcome | Failure:
        try:
            return self._start([place]).result()[0]
        except pebble.ProcessExpired as death:
            return Failure(f"{self._what}: {_cause_of_death(death.exitcode, self._time_limit)}")
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything on its way here
            return Failure(f"{self._what}: {type(error).__name__}: {error}")


def _cause_of_death(exitcode: int, time_limit: float) -> str:
    if exitcode == -signal.SIGALRM:
        return f"took longer than the time limit of {time_limit:g} s"
    if exitcode == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory"
    if exitcode < 0:
        return f"its process died ({signal.strsignal(-exitcode)})"
    return f"its process ended itself with exit code {exitcode}"


def _start_process() -> None:
    """Make a fresh process quiet, and make it end with the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides when it ends
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside native code
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
