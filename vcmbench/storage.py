"""Files under one URL, on this machine or on any fsspec file system: each appears whole or not at all.

Trouble that may pass, such as a full disk or a server that is restarted, is waited out for half a minute: every operation
is tried again after each of `WAITS`, and then raises `StorageError`. What waiting cannot mend, such as a missing permission,
raises it at once. A file that is not there is an answer and not trouble: `FileNotFoundError` passes through.

On S3 each of these tries is up to five of botocore's own (`AWS_MAX_ATTEMPTS`), and each of those is given up when no
connection is made within 5 s or nothing is heard for 15 s (s3fs's `connect_timeout` and `read_timeout`). Uploads are given
up after `UPLOAD_SECONDS`, since aiohttp would wait for ever for a server that does not ask for the body. A server that takes
requests and never answers thus holds a try for a minute and a half; since no try begins after `PATIENCE`, no operation, but
for large uploads, is held for more than about four minutes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import fsspec

from vcmbench.interfaces import StorageError, Superseded, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Result = TypeVar("Result")

WAITS: tuple[float, ...] = (1, 2, 4, 8, 15)
"""Seconds between the tries of one operation."""
PATIENCE = 120.0
"""Seconds after which no operation is tried again."""
UPLOAD_SECONDS = 60.0
"""How long a small upload may take."""
UPLOAD_RATE = 250_000
"""Bytes per second that a large upload makes at the least."""
UNFINISHED = ".partial"
"""How the names of local files end while they are being written."""
LOCK = ".lock"
LOCK_SECONDS = 5.0
"""How long one try of `replace` waits for another process to release the lock."""

_S3_PROTOCOLS = ("s3", "s3a")
_LASTING = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_LASTING_NUMBERS = frozenset({errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSYS, errno.EOPNOTSUPP})
_REMEDY = "put that right and run the same command again"


class Storage:
    """The files under a URL. A `name` is a path relative to it; every file lies under it."""

    def __init__(self, url: str) -> None:
        """Raise `UsageError` when nothing can open such a URL."""
        self.url = url
        try:
            self.filesystem, self.root = fsspec.core.url_to_fs(url, **_options(url))
        except (ImportError, ValueError) as error:
            raise UsageError(f"{url} cannot be opened: {error}") from error
        if self._is_s3:
            # s3fs repeats what botocore below it has repeated, and reads of an open file twice over; we do so above both.
            self.filesystem.retries = 1

    @cached_property
    def is_local(self) -> bool:
        """Whether the files are on this machine's own file system."""
        return "file" in self._protocols

    @cached_property
    def _is_s3(self) -> bool:
        return not self._protocols.isdisjoint(_S3_PROTOCOLS)

    @property
    def _protocols(self) -> set[str]:
        protocol = self.filesystem.protocol
        return {protocol} if isinstance(protocol, str) else set(protocol)

    @property
    def absolute_url(self) -> str:
        """What leads to the files from any working directory, such as another machine's."""
        return str(self.root) if self.is_local else self.url

    def path(self, name: str) -> str:
        """The file's path on its file system."""
        return f"{self.root.rstrip('/')}/{name}"

    # ------------------------------------------------------------------------------------------------- reading

    def exists(self, name: str) -> bool:
        """Whether there is that file or folder, as of now."""
        try:
            self._patiently(name, "read", self.filesystem.info)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return self._patiently(name, "read", lambda path: bytes(self.filesystem.cat_file(path)))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[io.RawIOBase]:
        """Open a file to read parts of it; each read is tried like any other operation."""
        with self._patiently(name, "read", lambda path: self.filesystem.open(path, "rb")) as file:
            yield _PatientFile(file, lambda read: self._patiently(name, "read", lambda _: read()))

    def names(self, folder: str) -> list[str]:
        """The names of the files that lie directly in a folder, unfinished ones included; none without the folder."""
        try:
            files = self._patiently(folder, "listed", self._files)
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{file}".lstrip("/") for file in files)

    def _files(self, path: str) -> list[str]:
        if self.is_local:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        entries = self.filesystem.ls(path, detail=True)
        self.filesystem.invalidate_cache(path)  # else those who use the file system directly would not see files to come
        return [entry["name"].rpartition("/")[2] for entry in entries if entry["type"] == "file"]

    # ------------------------------------------------------------------------------------------------- writing

    def write(self, name: str, data: bytes) -> None:
        """Write a file that appears whole or not at all."""
        with self._told(name):
            self._patiently(name, "written", lambda path: self._write(path, data))

    def _write(self, path: str, data: bytes) -> None:
        if not self.is_local:
            self.filesystem.pipe_file(path, data, **self._limit(len(data)))
            return
        with _appearing(Path(path)) as file:
            file.write(data)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new file that appears, whole, when the block ends without an error.

        The block cannot be repeated, so an `OSError` in it becomes a `StorageError` at once.
        """
        with self._told(name):
            if self.is_local:
                with _appearing(Path(self.path(name))) as file:
                    yield file
                return
            # Not `filesystem.open`: what it has uploaded so far becomes the object even if the block fails.
            with tempfile.NamedTemporaryFile(prefix="vcmbench-") as temporary:
                yield temporary
                temporary.flush()
                limit = self._limit(Path(temporary.name).stat().st_size)
                self._patiently(name, "written", lambda path: self.filesystem.put_file(temporary.name, path, **limit))

    def _limit(self, size: int) -> dict[str, float]:
        """The option that gives an upload of so many bytes up when it takes too long; only asynchronous clients have it."""
        return {"timeout": UPLOAD_SECONDS + size / UPLOAD_RATE} if self.filesystem.async_impl else {}

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._patiently(name, "deleted", self.filesystem.rm_file)

    # ----------------------------------------------------------------------------------------- files of one writer

    def version(self, name: str) -> str | None:
        """What differs whenever a file's bytes do, asked freshly; None without the file. Meant for small files."""
        return self._patiently(name, "read", self._version)

    def read_version(self, name: str) -> tuple[bytes, str]:
        """A file's bytes and the version that these bytes are."""
        while True:
            version = self.version(name)
            data = self.read(name)
            if version is not None and version == self.version(name):
                return data, version

    def replace(self, name: str, data: bytes, version: str | None) -> str:
        """Write a small file only if it still is that version (None: only if there is none yet); return the new version.

        Raises `Superseded` otherwise. On this machine's file system check and writing are one step, under a lock of the
        file `.lock` (`flock`, which NFS honours, and Lustre when mounted with it); on S3 they are a conditional PUT, which
        the server must know. On other file systems another process may slip in between check and writing.
        """
        mark = secrets.token_hex(16)
        with self._told(name):
            written = self._patiently(name, "written", lambda path: self._replace(path, data, version, mark))
        if written is None:
            raise Superseded(
                f"{self._spelled(name)} was replaced or deleted by another process; "
                "let that one finish, or end it and run the same command again"
            )
        return written

    def _version(self, path: str) -> str | None:
        try:
            if self.is_local:
                # Not inode, time and size: a freed inode comes back, and many clocks tick only every few milliseconds.
                return _hash(Path(path).read_bytes())
            return str(self._head(path)["ETag"] if self._is_s3 else self.filesystem.ukey(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _replace(self, path: str, data: bytes, version: str | None, mark: str) -> str | None:
        """Return the new version, or None where the file is not the version it should be."""
        if self._is_s3:
            return self._put(path, data, version, mark)
        with _locked(Path(self.path(LOCK))) if self.is_local else contextlib.nullcontext():
            if self._version(path) != version:
                return None
            self._write(path, data)
        return _hash(data) if self.is_local else self._version(path)

    def _put(self, path: str, data: bytes, version: str | None, mark: str) -> str | None:
        """PUT on condition. One that was sent again may find what it stored at first; the mark tells that it was ours."""
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        bucket, key, _ = self.filesystem.split_path(path)
        try:
            answer = self.filesystem.call_s3(
                "put_object",
                Bucket=bucket,
                Key=key,
                Body=data,
                Metadata={"mark": mark},
                **condition,
                **self._limit(len(data)),
            )
        except OSError as error:
            status = _http_status(error)
            if status == 404 and version is not None:
                return None
            if status != 412:
                raise
            try:
                answer = self._head(path)
            except FileNotFoundError:
                return None
            if answer["Metadata"].get("mark") != mark:
                return None
        return str(answer["ETag"])

    def _head(self, path: str) -> Any:
        bucket, key, _ = self.filesystem.split_path(path)
        return self.filesystem.call_s3("head_object", Bucket=bucket, Key=key)

    # ------------------------------------------------------------------------------------------------ patience

    def _patiently(self, name: str, verb: str, operation: Callable[[str], Result]) -> Result:
        """Do it with the file's path, again after each wait; what is not there is told at once as `FileNotFoundError`."""
        path = self.path(name)
        trouble = OSError if self.is_local else Exception  # servers' clients have exceptions of their own
        started = time.monotonic()
        for tries, wait in enumerate((*WAITS, None), start=1):
            self.filesystem.invalidate_cache(path)
            try:
                return operation(path)
            except FileNotFoundError:
                raise
            except trouble as error:
                if isinstance(error, NotADirectoryError) and verb == "read":
                    raise FileNotFoundError(error.errno, error.strerror, path) from error
                if _lasts(error):
                    raise StorageError(self._failure(name, verb, error)) from error
                seconds = time.monotonic() - started
                if wait is None or seconds > PATIENCE:
                    reason = f"tried {tries} times in {seconds:.0f} s"
                    raise StorageError(self._failure(name, verb, error, reason)) from error
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Make every `OSError` of writing a `StorageError`, the lack of a folder or bucket included."""
        try:
            yield
        except OSError as error:
            raise StorageError(self._failure(name, "written", error)) from error

    def _failure(self, name: str, verb: str, error: Exception, *more: str) -> str:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        silence = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        first_line = reason.strip().partition("\n")[0] or silence
        return f"{self._spelled(name)} cannot be {verb}: " + "; ".join([first_line, *more, _REMEDY])

    def _spelled(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}"


class _PatientFile(io.RawIOBase):
    """A file each read of which is tried as `patiently` does it."""

    def __init__(self, file: IO[bytes], patiently: Callable[[Callable[[], bytes]], bytes]) -> None:
        super().__init__()
        self._file, self._patiently = file, patiently

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer)
        position = self._file.tell()

        def read() -> bytes:
            self._file.seek(position)  # where a failed read has left it is not known
            return self._file.read(len(target))

        data = self._patiently(read)
        target[: len(data)] = data
        return len(data)


def _options(url: str) -> dict[str, Any]:
    # Listings that s3fs remembers hide what other processes have written since.
    return {"use_listings_cache": False} if fsspec.utils.get_protocol(url) in _S3_PROTOCOLS else {}


def _lasts(error: Exception) -> bool:
    return isinstance(error, _LASTING) or (isinstance(error, OSError) and error.errno in _LASTING_NUMBERS)


def _http_status(error: OSError) -> int | None:
    """The status in the server's answer that s3fs made this error of."""
    response = getattr(error.__cause__, "response", {})
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _appearing(target: Path) -> Iterator[IO[bytes]]:
    """Open a local file that gets its name when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a local file, which ends with the process at the latest; raise `OSError` when another keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise BlockingIOError(error.errno, f"another process holds {path}") from error
            time.sleep(0.01)
        yield
