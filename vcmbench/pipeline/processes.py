"""Processes that may be killed, each with a socket and a thread of its own, so that what befalls one never reaches another.

The pools at hand share a queue among their processes, and one that dies idle, dies while it reads its task, or sends what
cannot be unpickled spoils them for good (pebble 5.2 and concurrent.futures alike). Here only bytes cross the socket; they
are unpickled where an exception belongs to the task, and a process that is gone is replaced before the next task.

A task yields its results one by one, and each is a sign of life. The parent keeps the time limits, which takes no help from
a process that may have blocked every signal. The process is a plain interpreter rather than one of multiprocessing's: it has
an environment of its own, leads a group of processes that dies with it, and may start children itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import queue
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

LOADING_SECONDS = 30.0
"""What a process may take beyond the time limit to start and to unpickle its task, with the imports of a plug-in."""

LONGEST_MESSAGE = 1000
"""Characters of an exception's message that are kept."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
        "RAYON_NUM_THREADS",
    ),
    "1",
)
"""There is a process for each core, so libraries are told to use one thread; most read this when they are imported."""

KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20)}
"""For glibc, which would else give the memory of every image back to the system; fresh pages took 40 % of JPEG's time."""

_POLL_SECONDS = 0.25
_LENGTH = struct.Struct("!Q")
_LONGEST_ANSWER = 2**30
_CHUNK = 2**20

_READY, _LOADED, _DONE = b"r", b"l", b"d"
"""Signs of life: the process runs, its task is unpickled, a result is there."""

_OUT_OF_MEMORY, _CUT_OFF = 112, 113
"""Exit codes of a process that has no memory left, or no connection."""

_PR_SET_PDEATHSIG = 1
"""An option of prctl, from <linux/prctl.h>."""


class ProcessDied(Exception):  # noqa: N818  # what happened, not what is wrong
    """The process ended, or had to be ended, before it answered."""

    def __init__(self, reason: str, *, transient: bool, was_fresh: bool) -> None:
        super().__init__(reason)
        self.transient = transient
        """Whether trying again may help."""
        self.was_fresh = was_fresh
        """Whether this was its first task, so that no other can be to blame."""


class TaskFailed(Exception):  # noqa: N818  # what happened, not what is wrong
    """The task threw an exception, of which only the words are kept: the exception itself may be impossible to pickle."""


class PoolClosed(BaseException):
    """The pool was closed while a task was under way; like an interrupt, it is nobody's failure."""


def describe(error: BaseException) -> str:
    """Name an exception's type and give its message, shortened, whatever a plug-in's class makes of being asked."""
    return f"{type(error).__name__}: {message_of(error)}"


def message_of(error: BaseException) -> str:
    """Give an exception's message, shortened, whatever a plug-in's class makes of being asked."""
    try:
        return f"{error}"[:LONGEST_MESSAGE]
    except BaseException as another:  # noqa: BLE001  # see above
        return f"(no message: asking for it raised {type(another).__name__})"


@dataclass(frozen=True)
class _Task:
    message: bytes
    time_limit: float
    fresh: bool
    future: Future[Any]


class ProcessPool:
    """Runs one task at a time in each of its processes, which start when they are needed."""

    def __init__(self, processes: int, memory_limit: int | None = None) -> None:
        """`memory_limit` is for each process, in bytes of data."""
        self._memory_limit = memory_limit
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._alive: set[_Process] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(processes)]
        for thread in self._threads:
            thread.start()

    def schedule(
        self, time_limit: float, function: Callable[..., Iterator[Item]], *args: object, fresh: bool = False
    ) -> Future[list[Item]]:
        """Collect what a function yields; it can be pickled, as its arguments and results must be.

        `time_limit` is in seconds and for each result; `fresh` asks for a process that has done nothing before. A function
        that raises `MemoryError` ends its process. The future raises `TaskFailed`, `ProcessDied`, `PoolClosed`, and
        `RuntimeError` where no process can be started.
        """
        future: Future[list[Item]] = Future()
        try:
            message = pickle.dumps((function, args))
        except Exception as error:  # noqa: BLE001  # a plug-in may refuse to be pickled in any way
            future.set_exception(TaskFailed(describe(error)))
            return future
        with self._lock:
            if self._closed:  # nobody would take the task any more
                future.set_exception(PoolClosed())
            else:
                self._tasks.put(_Task(message, time_limit, fresh, future))
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
        process: _Process | None = None
        while (task := self._tasks.get()) is not None:
            if process is not None and (task.fresh or not process.is_alive()):  # one that died idle is not this task's doing
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
            process = _Process(self._memory_limit)
            self._alive.add(process)
            return process

    def _discard(self, process: _Process | None) -> None:
        if process is not None:
            with self._lock:
                self._alive.discard(process)
            process.end()


class _Process:
    """One process, as its parent sees it."""

    def __init__(self, memory_limit: int | None) -> None:
        self._memory_limit = memory_limit
        self._is_ready = False
        self._tasks = 0
        self._socket, theirs = socket.socketpair()
        self._progress, their_progress = os.pipe()
        for end in (self._progress, their_progress):
            os.set_blocking(end, False)
        start = f"work({theirs.fileno()}, {their_progress}, {memory_limit}, {os.getpid()})"
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__name__} import work; {start}"],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD, **KEEP_MEMORY, "PYTHONPATH": path},
                pass_fds=(theirs.fileno(), their_progress),
                process_group=0,  # out of reach of the terminal's Ctrl-C, and to be killed with all that it starts
            )
        except BaseException:
            self._socket.close()
            os.close(self._progress)
            raise
        finally:
            theirs.close()
            os.close(their_progress)

    def call(self, message: bytes, time_limit: float) -> Any:
        self._tasks += 1
        self._read_signs()  # the last of the task before
        self._socket.settimeout(min(_POLL_SECONDS, time_limit / 4))
        watch = _Watch(time_limit)
        try:
            self._send(message, watch)
            done, answer = pickle.loads(self._receive(watch))  # noqa: S301  # our own process
        except ProcessDied:
            raise
        except Exception as end:  # the connection ended, or brought what a codec wrote into it, which may raise anything
            raise self._death() from end
        if not done:
            raise TaskFailed(answer)
        return answer

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of the group has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # should it have left its group

    def end(self) -> None:
        self.kill()
        self._process.wait()
        self._socket.close()
        os.close(self._progress)

    def _send(self, message: bytes, watch: _Watch) -> None:
        left = memoryview(_LENGTH.pack(len(message)) + message)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except TimeoutError:
                self._check(watch)

    def _receive(self, watch: _Watch) -> bytes:
        (length,) = _LENGTH.unpack(self._receive_exactly(_LENGTH.size, watch))
        if length > _LONGEST_ANSWER:
            raise ValueError(f"an answer of {length} bytes")
        return self._receive_exactly(length, watch)

    def _receive_exactly(self, length: int, watch: _Watch) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                some = self._socket.recv(min(length - len(data), _CHUNK))
            except TimeoutError:
                self._check(watch)
                continue
            if not some:
                raise EOFError
            data += some
        return bytes(data)

    def _check(self, watch: _Watch) -> None:
        """Raise when the process has ended, though a child of it may hold the connection, or when it takes too long."""
        if not self.is_alive():
            raise EOFError
        if delay := watch.delay(self._read_signs()):
            raise ProcessDied(delay, transient=True, was_fresh=self._was_fresh)

    def _read_signs(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            signs = os.read(self._progress, _CHUNK)
            self._is_ready = self._is_ready or bool(signs)
            return signs
        return b""

    def _death(self) -> Exception:
        try:
            exitcode = self._process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            exitcode = _CUT_OFF
        self._read_signs()
        if exitcode > 0 and not self._is_ready:
            return RuntimeError(
                f"a codec process cannot start (exit code {exitcode}); its own message is in the worker's output"
            )
        return ProcessDied(
            _cause(exitcode, self._memory_limit),
            transient=exitcode in {-signal.SIGKILL, _OUT_OF_MEMORY},
            was_fresh=self._was_fresh,
        )

    @property
    def _was_fresh(self) -> bool:
        return self._tasks == 1


class _Watch:
    """Whether a process gets on with its task."""

    def __init__(self, time_limit: float) -> None:
        self._time_limit = time_limit
        self._is_loaded = False
        self._last_sign = time.monotonic()

    def delay(self, signs: bytes) -> str | None:
        """What took too long, given the signs of life since the last look."""
        now = time.monotonic()
        if signs:
            self._last_sign = now
            self._is_loaded = self._is_loaded or _LOADED in signs
        silence = now - self._last_sign
        if self._is_loaded:
            return f"took longer than the time limit of {self._time_limit:g} s" if silence > self._time_limit else None
        limit = LOADING_SECONDS + self._time_limit
        return f"took longer than {limit:g} s to load" if silence > limit else None


def _cause(exitcode: int, memory_limit: int | None) -> str:
    if exitcode == _OUT_OF_MEMORY:
        amount = "there is" if memory_limit is None else f"the {memory_limit / 2**30:.3g} GiB its process may have"
        return f"needed more memory than {amount}"
    if exitcode == _CUT_OFF:
        return "closed or disturbed the connection of its process"
    if exitcode == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory"
    if exitcode < 0:
        return f"its process died ({signal.strsignal(-exitcode)})"
    return f"its process ended itself with exit code {exitcode}"


def work(connection: int, progress: int, memory_limit: int | None, parent: int) -> None:
    """What a process does: one task after the other, until the connection ends."""
    _end_with(parent)
    _limit_memory(memory_limit)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    home = os.open(".", os.O_RDONLY)
    stream = socket.socket(fileno=connection).makefile("rwb")
    os.write(progress, _READY)
    try:
        while header := stream.read(_LENGTH.size):
            (length,) = _LENGTH.unpack(header)
            answer = _answer(stream.read(length), progress, home)
            stream.write(_LENGTH.pack(len(answer)) + answer)
            stream.flush()
    except OSError:
        os._exit(_CUT_OFF)
    os._exit(0)  # a codec may have started threads that never end


def _end_with(parent: int) -> None:
    """End when the worker does, even inside native code that holds the interpreter's lock; elsewhere after the task."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:  # it was quicker
            os._exit(0)


def _limit_memory(limit: int | None) -> None:
    """Limit the data, not the address space, of which some libraries reserve far more than they use.

    Should the machine run out all the same, the kernel takes this process rather than the worker.
    """
    if limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    with contextlib.suppress(OSError):  # there is none but on Linux
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _answer(message: bytes, progress: int, home: int) -> bytes:
    try:
        function, args = pickle.loads(message)  # noqa: S301  # from the worker
        _get_on(_LOADED, progress, home)
        results = []
        for result in function(*args):
            results.append(result)
            _get_on(_DONE, progress, home)
        return pickle.dumps((True, results))
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)  # what has leaked would be missing in every later task
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything
        return pickle.dumps((False, describe(error)))


def _get_on(sign: bytes, progress: int, home: int) -> None:
    """Give a sign of life, and undo what a codec may have left for the next image to trip over."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.fchdir(home)
        with contextlib.suppress(BlockingIOError):  # the parent looks only now and then
            os.write(progress, sign)
    except OSError:
        os._exit(_CUT_OFF)
