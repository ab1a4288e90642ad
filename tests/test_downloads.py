"""Downloads of weight files, from a real HTTP server on loopback whose paths answer in different ways."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from file_server import Server, serve_files
from own_weights import BODY, HASH, OTHER, artefact, table, use_empty_folder

from vcmbench import downloads, weights
from vcmbench.interfaces import UsageError
from vcmbench.weights import Artefact


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve_files() as listening:
        yield listening


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, and a home without any."""
    return use_empty_folder(tmp_path, monkeypatch)


def obtain(*artefacts: Artefact, progress: bool = False) -> None:
    """Obtain all of them."""
    weights.obtain(table(*artefacts), progress=progress, table=table(*artefacts))


def files(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ----------------------------------------------------------------------------------------------- files and servers


def test_missing_files_are_downloaded_and_others_are_not(server: Server, folder: Path) -> None:
    """Only what is missing is asked for, once; what is there is verified."""
    folder.mkdir()
    (folder / "here.pth").write_bytes(BODY)
    entries = table(artefact(f"{server.url}/good/net.pth"), artefact(f"{server.url}/good/here.pth", name="here"))
    weights.obtain(["net", "here", "net"], progress=False, table=entries)
    assert server.requests == [("/good/net.pth", None)]
    assert (folder / "net.pth").read_bytes() == BODY
    assert files(folder) == ["here.pth", "net.pth"]


def test_without_a_folder_of_ours_files_go_to_the_cache_of_torch(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There other tools find them too."""
    monkeypatch.delenv(weights.FOLDER)
    obtain(artefact(f"{server.url}/good/net.pth"))
    assert (tmp_path / "home/.cache/torch/hub/checkpoints/net.pth").read_bytes() == BODY


def test_servers_are_asked_in_turn(server: Server, folder: Path) -> None:
    """One that lacks the file, is busy, gives another file or a web page is followed by the next one."""
    ways = ("404", "503", "other", "page", "good", "whole")
    obtain(artefact(*(f"{server.url}/{way}/net.pth" for way in ways)))
    assert server.ways() == ["404", "503", "other", "page", "good"]
    assert (folder / "net.pth").read_bytes() == BODY


def test_a_file_that_no_server_gives_is_told_with_every_reason(server: Server, folder: Path) -> None:
    """The other files come nevertheless, and nothing is left of the one that did not."""
    missing = artefact(f"{server.url}/404/net.pth", f"{server.url}/other/net.pth")
    with pytest.raises(UsageError) as raised:
        obtain(missing, artefact(f"{server.url}/good/next.pth", name="next"))
    assert str(raised.value) == (
        f"net.pth cannot be downloaded: {server.url}/404/net.pth: 404 Not Found; {server.url}/other/net.pth: "
        f"it gives another file, whose SHA-256 is {hashlib.sha256(OTHER).hexdigest()} where {HASH} is published; "
        f"try again later, or put the files into {folder}"
    )
    assert files(folder) == ["next.pth"]


def test_a_wrong_download_is_refused_even_where_unverified_files_are_used(server: Server, folder: Path) -> None:
    """Only a file that the user put there is accepted unverified."""
    entries = table(artefact(f"{server.url}/other/net.pth"))
    with pytest.raises(UsageError, match="it gives another file"):
        weights.obtain(["net"], unverified=True, progress=False, table=entries)
    assert files(folder) == []


@pytest.mark.parametrize("way", ["unmeasured", "page", "cut"])
def test_without_a_published_hash_a_doubtful_answer_is_refused(way: str, server: Server, folder: Path) -> None:
    """A part of a file, or what may be one, never passes for the whole; nothing is left of it."""
    with pytest.raises(UsageError, match=r"net\.pth cannot be downloaded"):
        obtain(artefact(f"{server.url}/{way}/net.pth", sha256=""))
    assert files(folder) == []


def test_a_cut_download_continues_where_it_broke_off(server: Server, folder: Path) -> None:
    """Only the rest is asked for."""
    obtain(artefact(f"{server.url}/cut-once/net.pth"))
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={round(len(BODY) / 2)}-"]
    assert (folder / "net.pth").read_bytes() == BODY


def test_a_cut_download_without_a_published_hash_is_started_anew(server: Server, folder: Path) -> None:
    """Nothing would tell whether two parts are of one file."""
    obtain(artefact(f"{server.url}/cut-once/net.pth", sha256=""))
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert (folder / "net.pth").read_bytes() == BODY


@pytest.mark.parametrize("way", ["stalled-once", "silent"])
def test_a_server_that_falls_silent_is_not_waited_for(
    way: str, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a cut connection: the rest is asked for, and then the next server."""
    monkeypatch.setattr(downloads, "READ_SECONDS", 0.1)
    monkeypatch.setattr(downloads, "TRIES", 2)
    obtain(artefact(f"{server.url}/{way}/net.pth", f"{server.url}/good/net.pth"))
    assert server.ways() == (["silent", "silent", "good"] if way == "silent" else ["stalled-once", "stalled-once"])
    assert (folder / "net.pth").read_bytes() == BODY


def test_what_came_is_kept_for_the_next_time(server: Server, folder: Path) -> None:
    """A server that cuts again and again is given up; the next call asks for what is still lacking."""
    with pytest.raises(UsageError, match=r"it cut the connection 5 times, at last after \d+ of 262147 bytes"):
        obtain(artefact(f"{server.url}/cut/net.pth"))
    kept = (folder / "net.pth.partial").stat().st_size
    assert files(folder) == ["net.pth.partial"]
    obtain(artefact(f"{server.url}/good/net.pth"))
    assert server.requests[-1] == ("/good/net.pth", f"bytes={kept}-")
    assert (folder / "net.pth").read_bytes() == BODY


def test_a_server_that_cannot_continue_sends_all_again(server: Server, folder: Path) -> None:
    """Without range requests the file is written anew."""
    folder.mkdir()
    (folder / "net.pth.partial").write_bytes(BODY[:1000])
    obtain(artefact(f"{server.url}/whole/net.pth"))
    assert server.requests == [("/whole/net.pth", "bytes=1000-")]
    assert (folder / "net.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    ("partial", "requests"), [(BODY, 1), (OTHER, 2), (BODY + OTHER, 2)], ids=["complete", "of another file", "too long"]
)
def test_what_an_earlier_download_left_is_not_trusted(partial: bytes, requests: int, server: Server, folder: Path) -> None:
    """A complete one is taken; one that leads to another file is thrown away, and the same server asked for all of it."""
    folder.mkdir()
    (folder / "net.pth.partial").write_bytes(partial)
    obtain(artefact(f"{server.url}/good/net.pth"))
    assert [wanted for _, wanted in server.requests] == [f"bytes={len(partial)}-", None][:requests]
    assert (folder / "net.pth").read_bytes() == BODY
    assert files(folder) == ["net.pth"]


# --------------------------------------------------------------------------------------------- networks and processes


def test_without_a_network_the_first_attempt_is_the_last(server: Server, closed: str, folder: Path) -> None:
    """Neither another server nor another file is tried, and the error tells how to do without a network."""
    entries = (
        artefact(f"{closed}/good/net.pth", f"{server.url}/good/net.pth"),
        artefact(f"{server.url}/good/next.pth", name="next"),
    )
    began = time.monotonic()
    with pytest.raises(UsageError) as raised:
        obtain(*entries)
    assert time.monotonic() - began < 1
    assert str(raised.value) == (
        f"net.pth cannot be downloaded: no connection to {closed.removeprefix('http://')} (Connection refused); "
        f"run `vcmbench weights fetch net next` on a machine with a network, and copy the files into {folder}"
    )
    assert server.requests == []
    assert files(folder) == []


def test_a_server_that_takes_no_connection_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is neither taken nor refused, as behind a firewall, is given up after a few seconds, here less."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.2)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # more than wait in its queue, so that the system answers no other
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        with pytest.raises(downloads.NoConnection, match=r"no connection to 127\.0\.0\.1:\d+ \(timed out\)"):
            obtain(artefact(f"http://127.0.0.1:{listening.getsockname()[1]}/good/net.pth"))
    assert files(folder) == []


def test_one_server_that_is_away_is_not_a_missing_network(server: Server, closed: str, folder: Path) -> None:
    """Where a server has answered, the others' files are still tried."""
    with pytest.raises(UsageError, match=r"^away\.pth cannot be downloaded: no connection to .*; try again later"):
        obtain(
            artefact(f"{server.url}/good/net.pth"),
            artefact(f"{closed}/good/away.pth", name="away"),
            artefact(f"{server.url}/good/next.pth", name="next"),
        )
    assert files(folder) == ["net.pth", "next.pth"]


def test_the_proxy_of_the_environment_is_used(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that only the proxy can reach."""
    monkeypatch.setenv("http_proxy", server.url)
    obtain(artefact("http://weights.example/good/net.pth"))
    assert server.requests == [("http://weights.example/good/net.pth", None)]
    assert (folder / "net.pth").read_bytes() == BODY


PROCESS = """
import sys
from vcmbench import weights
entry = weights.Artefact("net", "net.pth", (sys.argv[1],), sys.argv[2], 1, "ours", "here", ())
weights.obtain(["net"], table={"net": entry})
print(weights.verified("net", table={"net": entry}))
"""


def start(url: str, sha256: str = HASH) -> subprocess.Popen[str]:
    """Start a process that obtains the file."""
    command = [sys.executable, "-c", PROCESS, url, sha256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("sha256", [HASH, ""], ids=["published hash", "none"])
def test_several_processes_download_a_file_once(sha256: str, server: Server, folder: Path) -> None:
    """One downloads, the others say that they wait, and all have the file."""
    processes = [start(f"{server.url}/slow/net.pth", sha256) for _ in range(3)]
    told = [process.communicate(timeout=60) for process in processes]
    assert [out for out, _ in told] == [f"{folder}/net.pth\n"] * 3
    assert len(server.requests) == 1
    assert sum(err.startswith("net.pth: 0.0 of 0.3 MB, from 127.0.0.1") for _, err in told) == 1
    assert files(folder) == ["net.pth"]


def test_one_that_waited_for_a_failure_tries_itself(server: Server, folder: Path) -> None:
    """Of two that ask at once, the first is refused and removes its empty file; the second makes another and is served."""
    entry = artefact(f"{server.url}/late-404-once/net.pth")
    with ThreadPoolExecutor(2) as threads:
        tries = [threads.submit(obtain, entry) for _ in range(2)]
    errors = [attempt.exception() for attempt in tries]
    assert sorted(str(error)[:29] for error in errors) == ["None", "net.pth cannot be downloaded:"]
    assert len(server.requests) == 2
    assert files(folder) == ["net.pth"]


def test_a_killed_download_is_continued_by_the_next_process(server: Server, folder: Path) -> None:
    """The lock goes with the process, and what it had got stays."""
    partial = folder / "net.pth.partial"
    with start(f"{server.url}/slow/net.pth") as killed:
        while not partial.exists() or partial.stat().st_size == 0:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
    obtain(artefact(f"{server.url}/good/net.pth"))
    _, wanted = server.requests[-1]
    assert re.fullmatch(r"bytes=[1-9]\d*-", str(wanted))
    assert (folder / "net.pth").read_bytes() == BODY


# ------------------------------------------------------------------------------------------------- disks and terminals


def test_a_full_disk_is_one_clear_line(server: Server, folder: Path) -> None:
    """It ends all downloads, and names the file and the remedy."""
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounting.stderr.strip()}")
    try:
        with pytest.raises(UsageError) as raised:
            obtain(artefact(f"{server.url}/good/net.pth"), artefact(f"{server.url}/good/next.pth", name="next"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert str(raised.value) == (
        f"{folder}/net.pth cannot be written: No space left on device; VCMBENCH_WEIGHTS can name another folder"
    )
    assert server.ways() == ["good"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(server: Server, folder: Path) -> None:
    """Nothing is asked of a server."""
    folder.write_text("a file")
    with pytest.raises(
        UsageError, match=r"weights/net\.pth cannot be written: .*; VCMBENCH_WEIGHTS can name another folder$"
    ):
        obtain(artefact(f"{server.url}/good/net.pth"))
    assert server.requests == []


def test_a_terminal_gets_a_bar(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the file's name, how much there is, and the rate; a continued download begins where it broke off."""
    controller, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream, monkeypatch.context() as shown_there:
        shown_there.setattr(sys, "stderr", stream)
        obtain(artefact(f"{server.url}/cut-once/net.pth"), progress=True)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports the end
        while chunk := os.read(controller, 65536):
            shown += chunk
    os.close(controller)
    assert re.search(r"net\.pth: +50%\|.*\| 131k/262k .*net\.pth: 100%\|.*\| 262k/262k \[.*B/s\]", shown.decode(), re.DOTALL)


def test_a_pipe_gets_lines(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One when the download begins, and others now and then."""
    obtain(artefact(f"{server.url}/good/net.pth"), progress=True)
    place = server.url.removeprefix("http://")
    assert capsys.readouterr().err == f"net.pth: 0.0 of 0.3 MB, from {place}\n"
    monkeypatch.setattr(downloads, "LINE_SECONDS", 0.3)
    obtain(artefact(f"{server.url}/slow/next.pth", name="next"), progress=True)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == f"next.pth: 0.0 of 0.3 MB, from {place}"
    assert 1 <= len(others) <= 4
    assert all(re.fullmatch(r"next\.pth: 0\.\d of 0\.3 MB, \d\.\d MB/s", line) for line in others)


def test_nothing_is_shown_when_not_asked_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker downloads in silence."""
    obtain(artefact(f"{server.url}/good/net.pth"))
    assert capsys.readouterr() == ("", "")
