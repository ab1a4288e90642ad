"""Processes that may be killed, each with a pipe and a thread of its own, so that what befalls one never reaches another.

The pools at hand share a queue among their processes, and one that dies idle, dies while it reads its task, or sends what
cannot be unpickled spoils them for good (pebble 5.2 and concurrent.futures alike). Here only bytes cross the pipe; they are
unpickled where an exception belongs to the task, and a process that is gone is replaced before the next task.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any, TypeVar

Result = TypeVar("Result")

_SPAWN = multiprocessing.get_context("spawn")


class ProcessDied(Exception):  # noqa: N818  # what happened, not what is wrong
    """The process ended before it answered."""

    def __init__(self, exitcode: int) -> None:
        super().__init__(f"its process ended with exit code {exitcode}")
        self.exitcode = exitcode


class TaskFailed(Exception):  # noqa: N818  # what happened, not what is wrong
    """The task threw an exception, of which only the words are kept: the exception itself may be impossible to pickle."""


class PoolClosed(BaseException):
    """The pool was closed while a task was under way; like an interrupt, it is nobody's failure."""


@dataclass(frozen=True)
class _Task:
    message: bytes
    time_limit: float
    future: Future[Any]


class ProcessPool:
    """Runs one task at a time in each of its processes, which start when they are needed."""

    def __init__(self, processes: int) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._alive: set[_Process] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(processes)]
        for thread in self._threads:
            thread.start()

    def schedule(self, time_limit: float, function: Callable[..., Result], *args: object) -> Future[Result]:
        """Run a function that can be pickled, as its arguments and result must be.

        The future raises `TaskFailed`, `ProcessDied`, `TimeoutError` when the process was killed after `time_limit`
        seconds, and `PoolClosed`.
        """
        future: Future[Result] = Future()
        try:
            message = pickle.dumps((function, args))
        except Exception as error:  # noqa: BLE001  # a plug-in may refuse to be pickled in any way
            future.set_exception(TaskFailed(_words(error)))
        else:
            self._tasks.put(_Task(message, time_limit, future))
        return future

    def close(self) -> None:
        """End every process, whatever it is doing."""
        with self._lock:
            self._closed = True
            for process in self._alive:
                process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        resource_tracker.ensure_running()  # starting it, as the first process would, unblocks the signal again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes inherit it: the worker decides when they end
        process: _Process | None = None
        while (task := self._tasks.get()) is not None:
            if process is not None and not process.is_alive():  # it died idle, which is not this task's doing
                self._discard(process)
                process = None
            try:
                process = process or self._start()
                task.future.set_result(process.call(task.message, task.time_limit))
            except TaskFailed as failure:
                task.future.set_exception(failure)
            except BaseException as end:  # noqa: BLE001  # whatever it was, the task ends with it and the process, too
                self._discard(process)  # before anybody hears of it: it must not write into a block that is used again
                process = None
                task.future.set_exception(PoolClosed() if self._closed else end)
        self._discard(process)

    def _start(self) -> _Process:
        with self._lock:
            if self._closed:
                raise PoolClosed
            process = _Process()
            self._alive.add(process)
            return process

    def _discard(self, process: _Process | None) -> None:
        if process is not None:
            with self._lock:
                self._alive.discard(process)
            process.end()


class _Process:
    def __init__(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, message: bytes, time_limit: float) -> Any:
        try:
            self._pipe.send_bytes(message)
            if not multiprocessing.connection.wait([self._pipe, self._process.sentinel], time_limit):
                raise TimeoutError(f"took longer than {time_limit:g} s")
            done, answer = pickle.loads(self._answer())  # noqa: S301  # our own process
        except (EOFError, BrokenPipeError, ConnectionResetError) as end:
            self._process.join()
            raise ProcessDied(self._process.exitcode or 0) from end
        if not done:
            raise TaskFailed(answer)
        return answer

    def _answer(self) -> bytes:
        if not self._pipe.poll():  # it is the process that is ready: it has ended, though a child of it may hold the pipe
            raise EOFError
        return self._pipe.recv_bytes()

    def kill(self) -> None:
        self._process.kill()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: multiprocessing.connection.Connection) -> None:
    """What a process does: one task after the other, until the pipe ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside native code
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        pipe.send_bytes(_outcome(pipe.recv_bytes()))


def _outcome(message: bytes) -> bytes:
    try:
        function, args = pickle.loads(message)  # noqa: S301  # from the worker
        return pickle.dumps((True, function(*args)))
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything
        return pickle.dumps((False, _words(error)))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
