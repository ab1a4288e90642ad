"""Run shards one after the other in this process, without Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import torch

from vcmbench.interfaces import UsageError
from vcmbench.pipeline.driver import Resources, share
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult, Worker
from vcmbench.pipeline.worker_job import WorkerJob

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
    with ThreadPoolExecutor(max_workers=1) as thread, Worker(job) as worker:
        finished = 0
        for work in works:
            future = thread.submit(worker.run, work)
            while not future.done():
                wait_for([future], timeout=POLL_SECONDS)
                progress(finished + min(worker.done, work.size))
            yield future.result()
            finished += work.size
            progress(finished)
