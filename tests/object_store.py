"""A real S3-compatible server on loopback, and a way to it on which requests go wrong when told so."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

import fsspec
import pytest

Fault = Literal["unavailable", "cut", "half an answer", "no answer", "slow", ""]
"""What happens to a request: the server is "unavailable" (503), or the connection is "cut" before the request is passed on;
or it is passed on, and of the answer comes only a half, or nothing, or all of it after a while."""

SLOW_SECONDS = 0.6


@contextlib.contextmanager
def serve_objects() -> Iterator[str]:
    """Run a server; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1).close()  # our own server
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()
        forget_connections()


def use_objects(url: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make that server the one that s3:// URLs lead to, and a bucket there; returns the bucket's URL."""
    forget_connections()
    bucket = bucket.replace("_", "-").lower()
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.filesystem("s3", endpoint_url=url).mkdir(bucket)
    return f"s3://{bucket}"


class UnreliableWay(ThreadingHTTPServer):
    """Passes requests on to a server, one at a time; each takes the next of `faults`, and goes well after the last."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.faults: Iterator[Fault] = iter(())
        self.requests: list[str] = []
        """The method of each request that came so far."""
        self.turn = threading.Lock()
        self.host, self.port = urlsplit(server).hostname, urlsplit(server).port
        self.url = f"http://127.0.0.1:{self.server_port}"

    @contextlib.contextmanager
    def opened(self) -> Iterator[UnreliableWay]:
        """Serve for as long as the block lasts."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()
            forget_connections()


def forget_connections() -> None:
    """Let s3:// URLs lead to where the environment says now; file systems are kept and have the server of their time."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: UnreliableWay

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.turn:  # the store behind checks a condition and stores in two steps
            self.server.requests.append(self.command)
            fault = next(self.server.faults, "")
            if fault == "cut":
                self.close_connection = True
                return
            if fault == "unavailable":
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            answer, data = self._ask(body)
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        if fault == "no answer":
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.end_headers()
        if fault == "half an answer":
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815  # the names are the base class's

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(str(self.server.host), self.server.port, timeout=30)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in {"expect", "connection"}}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the name is the base class's
        """Keep the tests' output clean."""
