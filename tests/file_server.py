"""A real HTTP server on loopback whose paths answer in different ways."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from own_weights import BODY, OTHER


@dataclass(frozen=True)
class Way:
    """How the server answers."""

    body: bytes = BODY
    status: int = 200
    kind: str = "application/octet-stream"
    ranges: bool = True
    measured: bool = True
    """Whether it says how long the body is."""
    share: float = 1
    """How much of what it announces it sends."""
    seconds: float = 0
    """How long it takes to send it."""
    delay: float = 0
    """Seconds before its answer."""
    stall: float = 0
    """Seconds after its answer, before it closes the connection."""
    once: bool = False
    """Only the first time; after that it answers as it should."""


WAYS = {
    "good": Way(),
    "404": Way(status=404),
    "503": Way(status=503),
    "late-404-once": Way(status=404, delay=0.3, once=True),
    "page": Way(b"<html>Log in to the network</html>", kind="text/html"),
    "other": Way(OTHER),
    "whole": Way(ranges=False),
    "unmeasured": Way(measured=False),
    "silent": Way(delay=1),
    "cut": Way(share=0.5),
    "cut-once": Way(share=0.5, once=True),
    "stalled-once": Way(share=0.5, stall=1, once=True),
    "slow": Way(seconds=1),
}


class Server(ThreadingHTTPServer):
    """Answers in the way that the first part of a path names, and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header of each request."""

    def ways(self) -> list[str]:
        """The first part of each path that was asked for."""
        return [path.split("/")[1] for path, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self) -> None:
        """Answer in the way that the path names."""
        self.server.requests.append((self.path, self.headers["Range"]))
        name = self.path.removeprefix("http://weights.example").split("/")[1]  # a proxy is asked for whole addresses
        way = WAYS[name]
        if way.once and self.server.ways().count(name) > 1:
            way = Way()
        start = int(self.headers["Range"][6:-1]) if way.ranges and self.headers["Range"] else 0
        with contextlib.suppress(ConnectionError):  # the client was killed, or gave up
            time.sleep(way.delay)
            if way.status != 200:
                self.send_error(way.status)
            elif start >= len(way.body):
                self.send_error(416)
            else:
                self._send(way, start)
            time.sleep(way.stall)

    def _send(self, way: Way, start: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", way.kind)
        if way.measured:
            self.send_header("Content-Length", str(len(way.body) - start))
        self.end_headers()
        rest = way.body[start : start + round((len(way.body) - start) * way.share)]
        parts = [rest[at : at + (1 << 14)] for at in range(0, len(rest), 1 << 14)]
        for part in parts:
            self.wfile.write(part)
            time.sleep(way.seconds / len(parts))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve_files() -> Iterator[Server]:
    """Run the server while the block runs."""
    with Server() as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening
        finally:
            listening.shutdown()
            thread.join()
