"""Run shards on a Ray cluster: the only file that imports Ray.

Ray Core rather than Ray Data, which drops a failing block silently or retries a dying actor for ever. One actor a GPU, or a
group of cores, holds a worker; the driver keeps one shard in flight for each, and gives out again a shard whose worker died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
import ray._private.services
import ray.util
from ray.exceptions import RayActorError, RayTaskError

from vcmbench.interfaces import StorageError, UsageError
from vcmbench.pipeline.driver import Resources, share
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult, Worker
from vcmbench.pipeline.worker_job import WorkerJob

logger = logging.getLogger(__name__)

ATTEMPTS = 4
TOGETHER = 2
"""Attempts at a shard as a whole; in the others its images are computed one by one, in processes that may die."""
SILENT_SECONDS = 600
"""A worker that does not answer for so long holds Python's lock and will perhaps never give it back."""
LONELY_SECONDS = 60
POLL_SECONDS = 0.5
CLOSE_SECONDS = 10
KNOCK_SECONDS = 10
CORES_PER_WORKER = 8
"""Without a GPU, a worker for so many cores: enough codec processes to keep the scoring thread busy."""


@dataclass(frozen=True)
class Layout:
    """How many workers a cluster gets, and what each may use."""

    workers: int
    cores: int
    gpus: int

    @property
    def resources(self) -> Resources:
        """What one worker makes of its share."""
        return share("cuda" if self.gpus else "cpu", self.cores)


@dataclass(frozen=True)
class Node:
    """What one machine of a cluster has."""

    cores: int
    gpus: int

    def room(self, cores: int, *, on_gpu: bool) -> int:
        """How many workers of so many cores, with a GPU each if they need one, find a place here."""
        return min(self.cores // cores, self.gpus) if on_gpu else self.cores // cores


def layout(nodes: Sequence[Node], workers: int | None, device: str | None) -> Layout:
    """Share a cluster among workers: one worker a GPU, or one for `CORES_PER_WORKER` cores, with the most cores that fit.

    A worker needs its cores on one node. `device` is "cuda", "cpu", or None for cuda where the cluster has it.
    """
    gpus = sum(node.gpus for node in nodes)
    on_gpu = gpus > 0 if device is None else device == "cuda"
    if on_gpu and gpus == 0:
        raise UsageError("--device cuda: this cluster has no GPU; use --device cpu")

    def room(cores: int) -> int:
        return sum(node.room(cores, on_gpu=on_gpu) for node in nodes)

    count = workers or (room(1) if on_gpu else room(CORES_PER_WORKER) or len(nodes))
    if count > room(1):
        unit = "GPU" if on_gpu else "core"
        raise UsageError(f"--workers {count}: each needs a {unit}, and this cluster has {room(1)}")
    most = max(node.cores for node in nodes)
    return Layout(count, max(cores for cores in range(1, most + 1) if room(cores) >= count), int(on_gpu))


@contextlib.contextmanager
def connected(address: str) -> Iterator[list[Node]]:
    """Connect to a cluster and yield its nodes.

    "auto" takes the cluster named by RAY_ADDRESS, as `ray job submit` sets it, or starts one on this machine that listens on
    the loopback interface only, asks for a token (Ray's default), and ends with the block; anything else is the address of a
    running cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # under `uv run`, Ray would build another environment
    target = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    try:
        if target:
            _knock(target)
            ray.init(address=target, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start_on_loopback()
    except (OSError, RuntimeError, ValueError) as error:
        place = f"the Ray cluster at {target}" if target else "a Ray cluster on this machine"
        raise UsageError(f"{place} cannot be reached: {error}; --address local runs without Ray") from error
    try:
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own
        yield [Node(int(each["CPU"]), int(each.get("GPU", 0))) for each in resources if each.get("CPU", 0) >= 1]
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise `OSError` where nothing listens, for which Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def _start_on_loopback() -> None:
    # Ray replaces a loopback address by the network card's and would listen on every interface; only these two functions
    # know the address, and there is no public setting (2.60; a test lists the listeners).
    for module in (ray._private.services, ray.util):
        vars(module)["get_node_ip_address"] = _loopback
    ray.init(
        address="local",  # or Ray would join any cluster of this user that it finds traces of
        num_cpus=len(os.sched_getaffinity(0)),
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        object_store_memory=128 * 2**20,  # results go to files, so the store holds next to nothing
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},  # plug-ins beside a script, too
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _loopback(*_: object, **__: object) -> str:
    return "127.0.0.1"


@dataclass(frozen=True)
class _Pulse:
    """What a worker answers while it runs a shard."""

    done: int
    is_overdue: bool


class _Actor:
    """A worker in a Ray actor; it is made by the first shard, so that a restarted actor makes its own."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._worker: Worker | None = None
        self._running = threading.Lock()

    def run(self, work: ShardWork) -> ShardResult:
        with self._running:  # the driver may have lost sight of this actor while it ran another shard
            if work.isolated:
                self.close()
            if self._worker is None:
                self._worker = Worker(self._job, isolated=work.isolated)
            try:
                return self._worker.run(work)
            except Exception:
                self.close()  # the next shard gets a worker without this one's history
                raise
            finally:
                if work.isolated:
                    self.close()

    def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def pulse(self) -> _Pulse:
        worker = self._worker
        return _Pulse(worker.done, worker.is_overdue) if worker else _Pulse(0, is_overdue=False)


class RayExecutor:
    """Runs shards in actors of the connected cluster."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        """Yield each shard's result as it is finished; raise `RuntimeError` for a shard that fails again and again."""
        actors = [self._actor(job) for _ in works[: self._layout.workers]]
        try:
            yield from _share_out(actors, works, progress)
        finally:
            _end(actors)

    def _actor(self, job: WorkerJob) -> Any:
        remote = ray.remote(_Actor).options(
            num_cpus=self._layout.cores,
            num_gpus=self._layout.gpus,
            max_restarts=-1,
            max_task_retries=0,  # a lost shard is given out again here, which Ray's own retries have been seen to hang on
            max_concurrency=2,  # `pulse` is answered while `run` runs
        )
        return remote.remote(job)


def _share_out(actors: Sequence[Any], works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
    """Keep one shard in flight for each actor that is there; a shard that was lost goes to the end of the queue."""
    queue = _Queue(works)
    crew = _Crew(actors)
    running: dict[Any, tuple[Any, ShardWork]] = {}
    results: list[ShardResult] = []
    finished = 0
    while queue.waiting or running or results:
        while queue.waiting and crew.idle:
            actor, work = crew.idle.pop(), queue.waiting.popleft()
            running[actor.run.remote(work)] = actor, work
        yield from results  # committed while the next shards are computed
        results.clear()
        for reference in _finished(running):
            actor, work = running.pop(reference)
            result = _result(reference)
            if isinstance(result, ShardResult):
                crew.idle.append(actor)
                finished += work.size
                results.append(result)
            else:
                crew.absent.append(actor)
                queue.put_back(work, result)
        crew.listen(busy=[actor for actor, _ in running.values()])
        progress(finished + sum(min(crew.done(actor), work.size) for actor, work in running.values()))
    queue.raise_for_lost()


class _Queue:
    """The shards that wait for an actor, and those that were given up."""

    def __init__(self, works: Sequence[ShardWork]) -> None:
        self.waiting = deque(works)
        self._losses: Counter[int] = Counter()
        self._lost: dict[int, Exception] = {}

    def put_back(self, work: ShardWork, problem: Exception) -> None:
        """Queue a shard for another attempt, in the next generation since the lost worker may yet write its file."""
        self._losses[work.shard] += 1
        attempts = self._losses[work.shard]
        if attempts == ATTEMPTS:
            self._lost[work.shard] = problem
        else:
            self.waiting.append(replace(work, generation=work.generation + 1, isolated=attempts >= TOGETHER))

    def raise_for_lost(self) -> None:
        """Raise `RuntimeError` for shards that were given up."""
        if self._lost:
            shard, problem = next(iter(self._lost.items()))
            others = f", and {len(self._lost) - 1} more shards" if len(self._lost) > 1 else ""
            raise RuntimeError(
                f"shard {shard} was not finished in {ATTEMPTS} attempts: {type(problem).__name__}: {problem}{others}; "
                "the other shards are stored, and the same command tries these again"
            ) from problem


class _Crew:
    """Which actors are there, which are idle, and how far each has come."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self.idle: list[Any] = []
        self.absent = list(actors)
        self._actors = actors
        self._pulses: dict[Any, _Pulse | None] = {}
        self._heard = dict.fromkeys(actors, time.monotonic())
        self._lonely_since: float | None = time.monotonic()

    def done(self, actor: Any) -> int:
        """The images × settings of its shard that an actor has finished, as far as it was heard of."""
        pulse = self._pulses[actor]
        return pulse.done if pulse else 0

    def listen(self, busy: Collection[Any]) -> None:
        """Hear every actor; those that have come are idle, and those that hang at their shard are killed and restarted."""
        now = time.monotonic()
        for actor in self._actors:
            self._pulses[actor] = pulse = _pulse(actor)
            if pulse:
                self._heard[actor] = now
        for actor in busy:
            pulse = self._pulses[actor]
            if (pulse and pulse.is_overdue) or now - self._heard[actor] > SILENT_SECONDS:
                self._heard[actor] = now
                ray.kill(actor, no_restart=False)
        # An actor that starts, waits for a node, or finds no room on any, would fail or keep the shard it is given.
        self.idle += [actor for actor in self.absent if self._pulses[actor]]
        self.absent = [actor for actor in self.absent if not self._pulses[actor]]
        self._complain(now)

    def _complain(self, now: float) -> None:
        if len(self.absent) < len(self._actors):
            self._lonely_since = None
        elif self._lonely_since is None:
            self._lonely_since = now
        elif now - self._lonely_since > LONELY_SECONDS:
            logger.warning(
                "no worker has found a place on the cluster for %d s: others use it, or its nodes are gone", LONELY_SECONDS
            )
            self._lonely_since = now


def _finished(running: Collection[Any]) -> list[Any]:
    """The shards that are done, waiting a moment for one; without any, for an actor to be there."""
    if not running:
        time.sleep(POLL_SECONDS)
        return []
    ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
    return ready


def _result(reference: Any) -> Any:
    """What an actor's method returned, or the exception that may not come again; what will come again is raised."""
    try:
        return ray.get(reference)
    except RayActorError as death:
        return _unless_it_cannot_start(death)
    except RayTaskError as error:
        if isinstance(error.cause, UsageError | StorageError):
            raise error.cause from error
        return error.cause


def _end(actors: Sequence[Any]) -> None:
    if actors:
        ray.wait([actor.close.remote() for actor in actors], num_returns=len(actors), timeout=CLOSE_SECONDS)
    for actor in actors:
        ray.kill(actor)


def _pulse(actor: Any) -> _Pulse | None:
    """What an actor answers; None when it does not."""
    try:
        pulse: _Pulse = ray.get(actor.pulse.remote(), timeout=POLL_SECONDS)
    except TimeoutError:
        return None
    except RayActorError as death:
        _unless_it_cannot_start(death)
        return None
    return pulse


def _unless_it_cannot_start(death: RayActorError) -> RayActorError:
    if death.actor_init_failed:
        reason = str(death).strip().splitlines()[-1]
        raise UsageError(f"a worker cannot start: {reason}; install vcmbench and plug-ins on all nodes") from death
    return death
