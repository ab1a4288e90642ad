"""The weight files: their table, where they are looked up, whether they are the published ones, and their downloads.

Downloads come from a real HTTP server on loopback whose paths answer in different ways.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vcmbench import downloads, registry, weights
from vcmbench.interfaces import UsageError
from vcmbench.weights import Artefact

BODY = bytes(range(256)) * 1024 + b"end"  # a little more than whole chunks
HASH = hashlib.sha256(BODY).hexdigest()
OTHER = b"of another network" * 1000
LOADED_BY = {
    "vgg16": ("torchvision", "models/vgg.py"),
    "alexnet": ("torchvision", "models/alexnet.py"),
    "inception": ("pytorch_fid", "inception.py"),
    "fan": ("face_alignment", "api.py"),
    "sfd": ("face_alignment", "detection/sfd/sfd_detector.py"),
    "blazeface": ("face_alignment", "detection/blazeface/blazeface_detector.py"),
    "blazeface_anchors": ("face_alignment", "detection/blazeface/blazeface_detector.py"),
    "gender": ("deepface", "models/demography/pytorch/Gender.py"),
    "arcface": ("deepface", "models/facial_recognition/pytorch/ArcFace.py"),
    "facenet512": ("deepface", "models/facial_recognition/pytorch/Facenet.py"),
}
"""Package and module: importing them would take longer than all the tests here."""
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "weights.md"


# ---------------------------------------------------------------------------------------------------------- server


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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, and a home without any."""
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME", "DEEPFACE_HOME", weights.UNVERIFIED):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(weights.FOLDER, str(tmp_path / "weights"))
    return tmp_path / "weights"


def artefact(*urls: str, name: str = "net", sha256: str = HASH) -> Artefact:
    """An artefact of our own."""
    return Artefact(
        name=name,
        file=f"{name}.pth",
        urls=urls,
        sha256=sha256,
        size=len(BODY),
        licence="ours",
        source="here",
        serves=("psnr",),
    )


def table(*artefacts: Artefact) -> weights.Table:
    """A table of them."""
    return {entry.name: entry for entry in artefacts}


def obtain(*artefacts: Artefact, progress: bool = False) -> None:
    """Obtain all of them."""
    weights.obtain(table(*artefacts), progress=progress, table=table(*artefacts))


def files(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ----------------------------------------------------------------------------------------------------------- table


@pytest.mark.parametrize("name", weights.ARTEFACTS)
def test_a_hash_is_the_one_that_the_file_is_named_for(name: str) -> None:
    """Where torch.hub would read a hash from the file's name, ours begins with it; a hash is never cut short."""
    entry = weights.ARTEFACTS[name]
    published = re.search(r"-([a-f0-9]*)\.", entry.file)
    assert re.fullmatch(r"[0-9a-f]{64}|", entry.sha256)
    assert published is None or entry.sha256.startswith(published.group(1))
    assert all(entry.file in url for url in entry.urls)


@pytest.mark.parametrize("name", weights.ARTEFACTS)
def test_the_addresses_are_those_of_the_package(name: str) -> None:
    """Each file comes from where the package that its network is of would load it, as that package's source spells it."""
    package, module = LOADED_BY[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    source = (Path(spec.origin).parent / module).read_text(encoding="utf-8")
    spelled = [url for url in re.findall(r"https://[^\s\"']+", source) if weights.ARTEFACTS[name].file in url]
    assert tuple(spelled) == weights.ARTEFACTS[name].urls


@pytest.mark.parametrize("name", registry.metrics.classes)
def test_the_table_knows_what_serves_a_metric(name: str) -> None:
    """Each file that a metric names is in the table, which names that metric."""
    needed = registry.metrics.classes[name]().weights
    assert [entry for entry in needed if name not in weights.ARTEFACTS[entry].serves] == []


def test_the_document_tells_of_every_file() -> None:
    """Its table has each name, file and licence."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for entry in weights.ARTEFACTS.values():
        assert [row for row in rows if f"`{entry.name}`" in row and f"`{entry.file}`" in row and entry.licence in row]


def test_the_detector_beside_the_checkout_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's hashes of BlazeFace are those of the real files."""
    shared = Path(__file__).resolve().parents[2] / "shared" / "weights"
    if not shared.is_dir():
        pytest.skip("the detector is not beside this checkout (../shared/weights)")
    monkeypatch.setenv(weights.FOLDER, str(shared))
    for name in ("blazeface", "blazeface_anchors"):
        assert weights.verified(name).stat().st_size == weights.ARTEFACTS[name].size


def test_the_table_is_read_without_torch() -> None:
    """Importing the module, and listing all there is, imports neither torch nor deepface."""
    program = (
        "import sys; from vcmbench import weights; [weights.describe(name) for name in weights.ARTEFACTS]; "
        "print({'torch', 'deepface'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"


# --------------------------------------------------------------------------------------------------------- look-up


def test_folders_are_searched_in_their_order(tmp_path: Path, folder: Path) -> None:
    """Ours first, then torch.hub's, then deepface's."""
    entry = artefact()
    places = [folder, tmp_path / "home/.cache/torch/hub/checkpoints", tmp_path / "home/.deepface/weights"]
    for place in places:
        place.mkdir(parents=True)
        (place / entry.file).write_bytes(BODY)
    for place in places:
        assert weights.find("net", table(entry)) == place / entry.file
        (place / entry.file).unlink()
    assert weights.find("net", table(entry)) is None


@pytest.mark.parametrize(
    "variables",
    [{}, {"XDG_CACHE_HOME": "{0}/cache"}, {"TORCH_HOME": "{0}/torch", "XDG_CACHE_HOME": "{0}"}, {"TORCH_HOME": "~/t"}],
)
def test_the_cache_is_the_one_that_torch_uses(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch.hub downloaded is found, wherever the environment puts it."""
    hub = importlib.import_module("torch.hub")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.format(tmp_path))
    cached = Path(hub.get_dir(), "checkpoints", "net.pth")
    cached.parent.mkdir(parents=True)
    cached.write_bytes(BODY)
    assert weights.find("net", table(artefact())) == cached


def test_the_cache_is_the_one_that_deepface_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What deepface downloaded is found, wherever the environment puts it."""
    pytest.importorskip("deepface")
    homes = importlib.import_module("deepface.commons.folder_utils")
    for home in (tmp_path / "home", tmp_path / "elsewhere"):
        if home.name == "elsewhere":
            monkeypatch.setenv("DEEPFACE_HOME", str(home))
        cached = Path(homes.get_deepface_home(), ".deepface/weights/net.pth")
        cached.parent.mkdir(parents=True)
        cached.write_bytes(BODY)
        assert weights.find("net", table(artefact())) == cached


def test_an_unknown_name_is_told_the_known_ones() -> None:
    """The error lists what there is."""
    with pytest.raises(UsageError, match=r"there are no weights 'vgg19'; there are: vgg16, alexnet, inception"):
        weights.find("vgg19")


def test_what_is_lacking_is_told_with_the_remedy(folder: Path) -> None:
    """Only what is not there is named, once; nothing when all is there."""
    entries = table(artefact(), artefact(name="other"))
    reason = weights.lacking(["net", "other", "net"], entries)
    assert reason == (
        "net.pth (0.26 MB), other.pth (0.26 MB) not on this machine: run `vcmbench weights fetch net other`, "
        "or put them into the folder that VCMBENCH_WEIGHTS names"
    )
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    assert str(weights.lacking(["net", "other"], entries)).startswith("other.pth (0.26 MB) not on this machine: run")
    with pytest.raises(UsageError, match=r"^other\.pth .* fetch other`, or put it into the folder that VCMBENCH_WEIGHTS"):
        weights.verified("other", table=entries)
    (folder / "other.pth").write_bytes(OTHER)
    assert weights.lacking(["net", "other"], entries) is None


# ---------------------------------------------------------------------------------------------------- verification


def test_the_published_file_is_accepted(folder: Path) -> None:
    """By the whole hash, or by the beginning that a file's name publishes."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    for expected in (HASH, HASH[:8]):
        entries = table(artefact(sha256=expected))
        assert weights.verified("net", table=entries) == folder / "net.pth"
        assert weights.published("net", entries) is True
        assert weights.check("net", entries) == f"net: as published, SHA-256 {HASH}, {folder}/net.pth"


def test_another_file_is_refused_unless_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, both hashes and the remedy; a check refuses it even where it may be used."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(OTHER)
    entries = table(artefact())
    message = (
        f"{folder}/net.pth is not the published net: its SHA-256 is {hashlib.sha256(OTHER).hexdigest()} where {HASH} is "
        "published; delete it and run `vcmbench weights fetch net`, or accept it with `unverified_weights: true` or "
        "VCMBENCH_UNVERIFIED_WEIGHTS=1"
    )
    for value in (None, "", "0"):
        if value is not None:
            monkeypatch.setenv(weights.UNVERIFIED, value)
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            weights.verified("net", table=entries)
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        weights.obtain(["net"], progress=False, table=entries)
    assert weights.verified("net", unverified=True, table=entries) == folder / "net.pth"
    weights.obtain(["net"], unverified=True, progress=False, table=entries)
    monkeypatch.setenv(weights.UNVERIFIED, "1")
    assert weights.verified("net", table=entries) == folder / "net.pth"
    assert weights.published("net", entries) is False
    with pytest.raises(UsageError, match="is not the published net"):
        weights.check("net", entries)


def test_a_file_without_a_published_hash_is_accepted_and_named(folder: Path) -> None:
    """Its own hash is what is told; neither a check nor a listing calls it published."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(OTHER)
    entries = table(artefact(sha256=""))
    path = weights.verified("net", table=entries)
    assert weights.published("net", entries) is None
    assert weights.check("net", entries) == f"net: no published hash, SHA-256 {weights.sha256(path)}, {path}"
    assert weights.describe("net", entries).startswith("net: net.pth, 0.26 MB, no published hash, for psnr\n")


def test_a_file_that_changed_is_hashed_again(folder: Path) -> None:
    """The hash of a process's first look does not outlive the file."""
    folder.mkdir()
    path = folder / "net.pth"
    path.write_bytes(BODY)
    assert weights.sha256(path) == HASH
    path.write_bytes(BODY[::-1])
    os.utime(path, ns=(0, 0))
    assert weights.sha256(path) == hashlib.sha256(BODY[::-1]).hexdigest()


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """The error says which file, and why."""
    with pytest.raises(UsageError, match=r"weights/net\.pth cannot be read: No such file or directory"):
        weights.sha256(folder / "net.pth")


def test_a_listing_says_what_a_file_is_for_and_where(folder: Path) -> None:
    """File, size, metrics, origin, licence and place."""
    entries = table(artefact(), artefact(name="other"))
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    assert weights.describe("net", entries) == f"net: net.pth, 0.26 MB, for psnr\n    here; ours\n    {folder}/net.pth"
    assert weights.describe("other", entries).endswith("\n    not on this machine")


# ------------------------------------------------------------------------------------------------------- downloads


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
