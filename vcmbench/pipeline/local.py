"""Run shards one after the other in this process, without Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from multiprocessing import resource_tracker

import torch

from vcmbench.interfaces import UsageError
from vcmbench.pipeline.driver import Resources, share
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult, Worker, WorkerJob

POLL_SECONDS = 0.5


def resources(device: str | None) -> Resources:
    """Everything this machine has, for one worker."""
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise UsageError("--device cuda: torch sees no GPU on this machine; use --device cpu")
    return share(device or ("cuda" if cuda else "cpu"), len(os.sched_getaffinity(0)))


def execute_here(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
    """Yield each shard's result; `progress` is told the images × settings finished so far."""
    if not works:
        return
    # Left in the other order: closing the worker ends a shard under way, which the thread would else wait for.
    with ThreadPoolExecutor(max_workers=1, initializer=_leave_interrupts_to_main) as thread, Worker(job) as worker:
        finished = 0
        for work in works:
            future = thread.submit(worker.run, work)
            while not future.done():
                wait_for([future], timeout=POLL_SECONDS)
                progress(finished + min(worker.done, work.size))
            yield future.result()
            finished += work.size
            progress(finished)


def _leave_interrupts_to_main() -> None:
    """Block Ctrl-C in this thread and in the codec processes that it starts, which would otherwise die of it noisily."""
    resource_tracker.ensure_running()  # starting it, as the first process would, unblocks the signal again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
