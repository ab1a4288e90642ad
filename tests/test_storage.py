"""Files appear whole or not at all, and what only one may write has one writer."""

from __future__ import annotations

import fcntl
import itertools
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from object_store import Fault, UnreliableWay

from vcmbench import storage as storage_module
from vcmbench.interfaces import StorageError, Superseded, UsageError
from vcmbench.storage import Storage

pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture(params=["local", "s3", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place on this machine, in an object store, and on a file system of which nothing is known."""
    if request.param == "local":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('bucket')}/run" if request.param == "s3" else f"memory://{tmp_path.name}"


def put_directly(store: str, url: str, data: bytes) -> None:
    """Store an object without the file systems under test knowing, as another process would."""
    fsspec.filesystem("s3", endpoint_url=store).pipe_file(url, data)


# ----------------------------------------------------------------------------------------------------- whole files


def test_files_read_back_as_they_were_written(url: str) -> None:
    """A written file exists and holds the bytes; writing again replaces it."""
    storage = Storage(url)
    assert not storage.exists("a/b.txt")
    with pytest.raises(FileNotFoundError):
        storage.read("a/b.txt")
    storage.write("a/b.txt", b"one")
    storage.write("a/b.txt", b"two")
    assert storage.exists("a/b.txt")
    assert storage.read("a/b.txt") == b"two"
    with storage.open("a/b.txt") as file:
        file.seek(1)
        assert file.read(1) == b"w"


def test_a_relative_place_is_the_same_from_anywhere(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The absolute URL leads to the same files from another working directory."""
    monkeypatch.chdir(tmp_path)
    here = Storage("run") if Storage(url).is_local else Storage(url)
    here.write("a.txt", b"one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Storage(here.absolute_url).read("a.txt") == b"one"


def test_an_interrupted_write_leaves_the_old_file(url: str) -> None:
    """When writing fails half-way, the file holds what it held before and nothing else is left behind."""
    storage = Storage(url)
    storage.write("a.txt", b"old")

    def broken_off() -> None:
        with storage.create("a.txt") as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert storage.read("a.txt") == b"old"
    assert storage.names("") == ["a.txt"]


def test_names_are_those_of_the_files_in_a_folder(url: str) -> None:
    """A folder's own files are listed by the names they are read by, hidden ones included, and deleted files are not."""
    storage = Storage(url)
    assert storage.names("results") == []
    for name in ("results/b", "results/.c.partial", "results/deeper/d", "a"):
        storage.write(name, b"x")
    assert storage.names("results") == ["results/.c.partial", "results/b"]
    assert storage.names("") == ["a"]
    storage.delete("results/.c.partial")
    storage.delete("results/never")
    assert storage.names("results") == ["results/b"]


@pytest.mark.parametrize("url", ["nosuch://bucket/run", "s3nope:///x"])
def test_an_unknown_file_system_is_refused(url: str) -> None:
    """A URL that nothing can open is named."""
    with pytest.raises(UsageError, match=f"{url} cannot be opened: "):
        Storage(url)


def test_what_another_process_stored_is_seen_at_once(bucket: str, store: str) -> None:
    """No listing of before is answered from, not even by the file system that others use directly."""
    storage = Storage(f"{bucket}/run")
    storage.write("results/a", b"x")
    assert storage.filesystem.ls(storage.path("results"), detail=False) == [storage.path("results/a")]
    put_directly(store, f"{bucket}/run/results/b", b"x")
    assert storage.filesystem.exists(storage.path("results/b"))
    assert storage.exists("results/b")
    assert storage.names("results") == ["results/a", "results/b"]


# ---------------------------------------------------------------------------------------------------- one writer


def test_a_file_is_replaced_only_by_who_has_seen_it(url: str) -> None:
    """Of two that have read the same version the later is refused, as is one that takes a file for new or still there."""
    first, second = Storage(url), Storage(url)
    assert first.version("a") is None
    version = first.replace("a", b"one", None)
    assert version == first.version("a") == second.version("a")
    assert second.read_version("a") == (b"one", version)
    newer = second.replace("a", b"two", version)
    for outdated in (version, None):
        with pytest.raises(Superseded, match="/a was replaced or deleted by another process"):
            first.replace("a", b"three", outdated)
    assert first.read_version("a") == (b"two", newer)
    second.delete("a")
    with pytest.raises(Superseded, match="/a was replaced or deleted by another process"):
        first.replace("a", b"three", newer)
    assert not first.exists("a")


def test_versions_tell_apart_what_only_the_bytes_do(tmp_path: Path) -> None:
    """On a coarse clock, two files that follow each other may have inode, size and time alike, but no version in common."""
    storage = Storage(str(tmp_path))
    version = storage.replace("a", b"one", None)
    file = tmp_path / "a"
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert storage.version("a") != version


def count(url: str, times: int) -> None:
    """Raise the number in a file by one, so many times."""
    storage = Storage(url)
    for _ in range(times):
        while True:
            data, version = storage.read_version("counter")
            try:
                storage.replace("counter", str(int(data) + 1).encode(), version)
                break
            except Superseded:
                continue


def test_processes_that_count_together_lose_nothing(tmp_path: Path) -> None:
    """Check and writing are one step: no process overwrites what another has just written."""
    Storage(str(tmp_path)).write("counter", b"0")
    spawning = multiprocessing.get_context("spawn")
    processes = [spawning.Process(target=count, args=(str(tmp_path), 60)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Storage(str(tmp_path)).read("counter") == b"180"


def test_threads_that_count_in_an_object_store_lose_nothing(bucket: str, way: UnreliableWay) -> None:
    """Nor does a conditional PUT, even while answers are lost, so that requests are sent again."""
    Storage(bucket).write("counter", b"0")
    way.faults = itertools.cycle(["", "", "", "", "", "", "", "", "", "", "no answer"])
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: count(bucket, 8), range(4)))
    way.faults = iter(())
    assert Storage(bucket).read("counter") == b"32"


def test_a_put_whose_answer_was_lost_is_recognised(bucket: str, way: UnreliableWay) -> None:
    """The second try finds what the first has stored, which is not another's, both for a new file and for a known one."""
    storage = Storage(bucket)
    version = None
    for data in (b"one", b"two"):
        way.requests.clear()
        way.faults = iter(["no answer"])
        version = storage.replace("a", data, version)
        assert way.requests == ["PUT", "PUT", "HEAD"]
        assert storage.read_version("a") == (data, version)


def test_a_put_whose_answer_was_lost_does_not_hide_a_newer_one(bucket: str, way: UnreliableWay, store: str) -> None:
    """When another process has written meanwhile, even the same bytes, the second try is refused."""
    storage = Storage(bucket)
    version = storage.replace("a", b"one", None)

    def overtaken() -> Iterator[Fault]:
        yield "no answer"
        put_directly(store, f"{bucket}/a", b"two")

    way.faults = overtaken()
    with pytest.raises(Superseded):
        storage.replace("a", b"two", version)


def test_bytes_and_version_belong_together(bucket: str, way: UnreliableWay, store: str) -> None:
    """A file that is replaced while it is read gives the new bytes with the new version."""
    storage = Storage(bucket)
    storage.write("a", b"one")

    def overtaken() -> Iterator[Fault]:
        yield ""
        put_directly(store, f"{bucket}/a", b"two")
        yield ""

    way.faults = overtaken()
    data, version = storage.read_version("a")
    assert (data, version) == (b"two", storage.version("a"))


def test_a_lock_that_is_kept_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped while it wrote does not stop the others for ever."""
    monkeypatch.setattr(storage_module, "LOCK_SECONDS", 0.05)
    storage = Storage(str(tmp_path))
    with (tmp_path / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match=r"/a cannot be written: another process holds .*\.lock; tried 3 times"):
            storage.replace("a", b"one", None)
    storage.replace("a", b"one", None)
    assert storage.read("a") == b"one"


@pytest.mark.parametrize("error", [StorageError("a cannot be read"), Superseded("a was replaced")])
def test_the_errors_travel_between_processes(error: Exception) -> None:
    """A worker's error arrives at the driver as it was raised."""
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))
