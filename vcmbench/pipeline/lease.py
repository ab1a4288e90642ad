"""One driver per run: a lease in the run directory, renewed for as long as its holder lives.

The lease keeps a run from being started twice. It is not what keeps the rows safe, since clocks differ and a process may
sleep for hours: `RunDirectory.write_index` does that, by refusing whoever has not seen the latest index.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from vcmbench.interfaces import StorageError, Superseded, UsageError, digest
from vcmbench.storage import Storage

LEASE = "lease.json"
RENEW_SECONDS = 10.0
EXPIRE_SECONDS = 60.0
"""A holder that was not heard of for so long is taken for dead; clocks of two machines may differ by less than this."""
CLOCK_STEP_SECONDS = 2.0
"""The system derives when a process started from a clock that is being corrected."""


class Holder(BaseModel):
    """Who holds a lease."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    user: str
    host: str
    machine: str
    """Equal for processes that see each other's process ids."""
    process: int
    process_started: float
    since: datetime
    renewed: float
    """Seconds since the epoch."""

    @classmethod
    def this_process(cls) -> Holder:
        """Describe this process, with a token of its own."""
        now = datetime.now(UTC)
        return cls(
            token=secrets.token_hex(4),
            user=_user(),
            host=socket.gethostname(),
            machine=_machine(),
            process=os.getpid(),
            process_started=psutil.Process().create_time(),
            since=now,
            renewed=now.timestamp(),
        )

    @property
    def is_gone(self) -> bool:
        """Whether the holder is known to have ended, or was not heard of for too long."""
        if self.machine == _machine():
            return not self._lives_here
        return time.time() - self.renewed > EXPIRE_SECONDS

    @property
    def _lives_here(self) -> bool:
        try:
            process = psutil.Process(self.process)
            same = abs(process.create_time() - self.process_started) < CLOCK_STEP_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        since, heard = f"{self.since:%Y-%m-%d %H:%M} UTC", max(0.0, time.time() - self.renewed)
        return f"{self.user}@{self.host}, process {self.process}, since {since}, heard of {heard:.0f} s ago"


class Lease:
    """A lease that this process holds, renewed by a thread until `release`."""

    def __init__(self, run: Storage, holder: Holder, version: str) -> None:
        self._run, self._holder, self._version = run, holder, version
        self._lost = False
        self._released = threading.Event()
        self._heartbeat = threading.Thread(target=self._renew, daemon=True)
        self._heartbeat.start()

    @property
    def token(self) -> str:
        """What names the files of this holder."""
        return self._holder.token

    def check(self) -> None:
        """Raise `Superseded` when the lease was lost."""
        if self._lost:
            raise Superseded(taken_over(self._run))

    def release(self) -> None:
        """Let the next driver in."""
        self._released.set()
        self._heartbeat.join()
        with contextlib.suppress(StorageError):  # then it expires
            if not self._lost and self._run.version(LEASE) == self._version:
                self._run.delete(LEASE)

    def _is_still_ours(self) -> bool:
        """Whether the lease is one that this holder has written, though it never got the answer."""
        try:
            data, self._version = self._run.read_version(LEASE)
            return Holder.model_validate_json(data).token == self.token
        except (FileNotFoundError, ValidationError, StorageError):
            return False

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            renewed = self._holder.model_copy(update={"renewed": time.time()})
            try:
                self._version = self._run.replace(LEASE, _spell(renewed), self._version)
            except Superseded:
                if not self._is_still_ours():
                    self._lost = True
                    return
            except StorageError:
                continue  # it may be back for the next time; what others did meanwhile will then be seen


@contextlib.contextmanager
def held(run: Storage) -> Iterator[Lease]:
    """Hold the run's lease; raise `UsageError` that says who holds it when somebody else does."""
    lease = _acquired(run)
    try:
        yield lease
    finally:
        lease.release()


def taken_over(run: Storage) -> str:
    """Say in words who has this run instead of us."""
    with contextlib.suppress(FileNotFoundError, UsageError, StorageError):
        return f"{run.url} was taken over by {_read(run)}; the run goes on there, and what this driver has stored stays"
    return (
        f"{run.url} was deleted, or changed by another driver, while this one ran; the same command continues or begins anew"
    )


def _acquired(run: Storage) -> Lease:
    while True:
        version = run.version(LEASE)
        if version is not None:
            with contextlib.suppress(FileNotFoundError):  # released in this moment
                _refuse_unless_gone(run, _read(run))
        holder = Holder.this_process()
        with contextlib.suppress(Superseded):  # somebody was faster; see who
            return Lease(run, holder, run.replace(LEASE, _spell(holder), version))


def _refuse_unless_gone(run: Storage, holder: Holder) -> None:
    if not holder.is_gone:
        raise UsageError(f"{run.url} is being run by {holder}; wait for it, stop it, or choose another `out`")


def _read(run: Storage) -> Holder:
    try:
        return Holder.model_validate_json(run.read(LEASE))
    except ValidationError as error:
        raise UsageError(f"{run.path(LEASE)} is damaged; delete it if no other vcmbench runs there") from error


def _spell(holder: Holder) -> bytes:
    return holder.model_dump_json().encode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return str(os.getuid())


def _machine() -> str:
    """Tells apart machines, their boots, and the containers of one that do not see each other's processes."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = [boot.read_text(), str(namespace.readlink())] if boot.exists() else [str(psutil.boot_time())]
    return digest([socket.gethostname(), *known])
