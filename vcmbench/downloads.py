"""Downloads of large files: verified, continued where they broke off, and made once however many processes ask.

Requests go through the proxies that the environment names (`https_proxy`, `no_proxy`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from tqdm import tqdm

from vcmbench import __version__
from vcmbench.interfaces import UsageError

UNFINISHED = ".partial"
"""How the name of a file ends until all of it is there and verified."""
CONNECT_SECONDS = 4.0
"""For an address of a server to take a connection."""
READ_SECONDS = 30.0
"""Without a byte after which a connection counts as cut."""
TRIES = 5
"""How often a server may cut the connection before the next one is asked."""
CHUNK = 1 << 16
LINE_SECONDS = 30.0
"""Between two lines of progress, where there is no terminal."""


class DownloadError(UsageError):
    """No server gives the file."""


class NoConnection(DownloadError):  # noqa: N818  # it says what is wrong
    """A server could not even be connected to."""


class _Refused(Exception):  # noqa: N818  # likewise
    """A server does not give the file; the message says why."""


class _Cut(Exception):  # noqa: N818  # likewise
    """The answer did not come, or not to its end."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(urls: Sequence[str], target: Path, expected: str, *, progress: bool) -> None:
    """Bring a file from the first of its servers that gives it, unless another process just did.

    It appears under its name once it is whole and its SHA-256 begins as `expected`; where none is known (""), once as many
    bytes came as the server announced. What came of a file with a known hash is kept, and the next call continues there.

    Raises `NoConnection` as soon as a server cannot be connected to, `DownloadError` when none of them gives the file, and
    `OSError` when it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + UNFINISHED)
    while not target.exists():
        with partial.open("ab") as file:
            _lock(file, target.name, progress=progress)
            if target.exists():  # another process was quicker
                partial.unlink(missing_ok=True)
            elif _is_named(file, partial):  # and not removed by a process that failed
                with _tidying(partial, keep=bool(expected)):
                    _fill(file, urls, target.name, expected, progress=progress)
                    os.fsync(file.fileno())
                    partial.replace(target)


def _lock(file: IO[bytes], name: str, *, progress: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if progress:
            sys.stderr.write(f"{name}: waiting for another process that downloads it\n")
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_named(file: IO[bytes], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextlib.contextmanager
def _tidying(partial: Path, *, keep: bool) -> Iterator[None]:
    """Leave an unfinished file behind only if there is something in it to continue from."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            if not keep or partial.stat().st_size == 0:
                partial.unlink()
        raise


# ---------------------------------------------------------------------------------------------------------- servers


def _fill(file: IO[bytes], urls: Sequence[str], name: str, expected: str, *, progress: bool) -> None:
    reasons = []
    for url in urls:
        try:
            return _fill_from(url, file, name, expected, progress=progress)
        except _Refused as refused:
            reasons.append(f"{url}: {refused}")
        except URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise NoConnection(f"{name} cannot be downloaded: no connection to {urlsplit(url).netloc} ({reason})") from error
    raise DownloadError(f"{name} cannot be downloaded: {'; '.join(reasons)}")


def _fill_from(url: str, file: IO[bytes], name: str, expected: str, *, progress: bool) -> None:
    cut = _Cut()
    for _ in range(TRIES):
        if not expected:
            file.truncate(0)  # nothing would tell whether the parts belong together
        start = file.seek(0, os.SEEK_END)
        try:
            _receive(url, file, start, name, progress=progress)
        except _Cut as error:
            cut = error
            continue
        file.flush()
        found = sha256(Path(file.name)) if expected else ""
        if found.startswith(expected):
            return
        file.truncate(0)
        if start == 0:  # else what was there before may have been of another file
            raise _Refused(f"it gives another file, whose SHA-256 is {found} where {expected} is published")
    raise _Refused(f"it cut the connection {TRIES} times, at last {cut}")


def _receive(url: str, file: IO[bytes], start: int, name: str, *, progress: bool) -> None:
    """Append what comes after the first `start` bytes, or write the file anew where the server begins at its beginning."""
    response = _request(url, start)
    if response is None:
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise _Refused("it answers with a web page")
        lacking = response.length
        if not lacking and not response.chunked:
            raise _Refused("it sends nothing, or does not say how much, so that a part could pass for the whole")
        if response.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)
            start = 0
        received = 0
        with _Meter(name, url, start, lacking, shown=progress) as meter:
            while chunk := _read(response):
                file.write(chunk)
                received += len(chunk)
                meter.reach(start + received)
        if lacking is not None and received < lacking:
            raise _Cut(f"after {start + received} of {start + lacking} bytes")


def _request(url: str, start: int) -> http.client.HTTPResponse | None:
    """Ask for a file from that byte on; None where it has no more. Raises `URLError` where there is no connection."""
    headers = {"User-Agent": f"vcmbench/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = Request(url, headers=headers)  # noqa: S310  # the addresses are a table's
    try:
        response = build_opener(_HttpHandler, _HttpsHandler).open(request, timeout=CONNECT_SECONDS)
    except HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise _Refused(f"{error.code} {error.reason}") from error
    except URLError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"without an answer ({error})") from error
    return cast(http.client.HTTPResponse, response)


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"in the middle ({error})") from error


class _HttpConnection(http.client.HTTPConnection):
    """Connects within `CONNECT_SECONDS`, and then waits longer."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _HttpsConnection(http.client.HTTPSConnection):
    """Likewise."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _HttpHandler(HTTPHandler):
    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _HttpsHandler(HTTPSHandler):
    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req)


# --------------------------------------------------------------------------------------------------------- progress


class _Meter:
    """Shows how much of a file is there: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, name: str, url: str, start: int, lacking: int | None, *, shown: bool) -> None:
        self._name = name
        self._start = self._done = start
        self._total = None if lacking is None else start + lacking
        self._lines = shown and not sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._bar = tqdm(
            desc=name,
            total=self._total,
            initial=start,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=not shown or self._lines,
        )
        if self._lines:
            self._say(f"from {urlsplit(url).netloc}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def reach(self, done: int) -> None:
        """Show that so many bytes are there."""
        self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        if self._lines and now - self._last >= LINE_SECONDS:
            self._last = now
            self._say(f"{(done - self._start) / (now - self._began) / 1e6:.1f} MB/s")

    def _say(self, what: str) -> None:
        total = "?" if self._total is None else f"{self._total / 1e6:.1f}"
        sys.stderr.write(f"{self._name}: {self._done / 1e6:.1f} of {total} MB, {what}\n")
