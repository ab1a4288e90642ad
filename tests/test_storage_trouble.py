"""Trouble that passes is waited out, on this machine and with a server; other trouble is named at once."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from object_store import Fault, UnreliableWay

from vcmbench import storage as storage_module
from vcmbench.interfaces import StorageError, Superseded
from vcmbench.results import INDEX, RunDirectory
from vcmbench.run_index import Index
from vcmbench.storage import Storage

DISK_SIZE = 256 * 1024
BEGUN = Index(name="begun", notice="", settings=(), metrics=())
REMEDY = "put that right and run the same command again"

pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of `DISK_SIZE` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounting.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounting.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no space on a disk; deleting the returned file frees it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(disk).free:
            file.write(bytes(4096))
    return filler


# --------------------------------------------------------------------------------------------- trouble on this machine


def shard(size: int) -> pa.Table:
    """Rows that take so many bytes and cannot be compressed."""
    noise = random.Random(1)
    return pa.table({"noise": [noise.randbytes(1024) for _ in range(size // 1024)]})


def test_a_shard_that_does_not_fit_is_written_once_there_is_space(disk: Path) -> None:
    """A full disk is named, the older file stays whole, nothing half-written lies about, and later the same call works."""
    run = RunDirectory(str(disk / "run"))
    kept = run.write_shard(0, 1, shard(20_000), "aaaa")
    before = run.read(kept)
    filler = fill(disk)
    message = rf"run/{kept} cannot be written: No space left on device; tried 3 times in 0 s; {REMEDY}"
    with pytest.raises(StorageError, match=message):
        run.write_shard(0, 1, shard(50_000), "aaaa")
    assert run.read(kept) == before
    assert run.names("results") == [kept]
    filler.unlink()
    run.write_shard(0, 1, shard(50_000), "aaaa")
    assert run.read_shard(kept).equals(shard(50_000))


def test_an_index_that_does_not_fit_is_written_once_there_is_space(disk: Path) -> None:
    """The old index stays the current one while the disk is full, and the same writer replaces it afterwards."""
    run = RunDirectory(str(disk / "run"))
    run.write_index(BEGUN)
    filler = fill(disk)
    longer = BEGUN.model_copy(update={"notice": "x" * 10_000})
    with pytest.raises(StorageError, match=rf"run/{INDEX} cannot be written: No space left on device; tried 3 times"):
        run.write_index(longer)
    assert RunDirectory(run.url).read_index() == BEGUN
    filler.unlink()
    run.write_index(longer)
    assert RunDirectory(run.url).read_index() == longer


def test_space_that_is_freed_in_time_is_enough(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write succeeds when the disk is full only for a while."""
    monkeypatch.setattr(storage_module, "WAITS", (0.05,) * 200)
    filler = fill(disk)
    relief = threading.Timer(0.2, filler.unlink)
    relief.start()
    Storage(str(disk)).write("a", bytes(10_000))
    relief.join()
    assert (disk / "a").stat().st_size == 10_000


def test_a_block_that_runs_out_of_space_is_not_repeated(disk: Path) -> None:
    """What is written piece by piece cannot be tried again, but fails with the same words and leaves no trace."""
    storage = Storage(str(disk))
    filler = fill(disk)

    def stream() -> None:
        with storage.create("manifest.parquet") as file:
            for _ in range(100):
                file.write(bytes(10_000))

    with pytest.raises(StorageError, match=f"manifest.parquet cannot be written: No space left on device; {REMEDY}"):
        stream()
    assert storage.names("") == [filler.name]
    filler.unlink()
    with storage.create("manifest.parquet") as file:
        file.write(bytes(10_000))
    assert len(storage.read("manifest.parquet")) == 10_000


def test_an_upload_that_does_not_fit_the_temporary_folder_fails_likewise(
    disk: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to an object store piece by piece is collected on this machine's disk first, which may be full."""
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    fill(disk)
    storage = Storage(bucket)

    def stream() -> None:
        with storage.create("manifest.parquet") as file:
            for _ in range(100):
                file.write(bytes(10_000))

    with pytest.raises(StorageError, match=r"manifest\.parquet cannot be written: No space left on device"):
        stream()
    assert not storage.exists("manifest.parquet")


def test_no_try_begins_after_the_patience(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the tries themselves take long, fewer are made."""
    monkeypatch.setattr(storage_module, "WAITS", (600,))
    monkeypatch.setattr(storage_module, "PATIENCE", 0.0)
    fill(disk)
    with pytest.raises(StorageError, match="No space left on device; tried 1 times in 0 s"):
        Storage(str(disk)).write("a", bytes(10_000))


def test_a_read_only_disk_is_not_waited_for(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waiting cannot mend is said at once, by every way of writing, and reading goes on."""
    monkeypatch.setattr(storage_module, "WAITS", (600,))
    storage = Storage(str(disk))
    version = storage.replace("a", b"one", None)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    writes: dict[str, Callable[[], object]] = {
        "a": lambda: storage.replace("a", b"two", version),
        "b": lambda: storage.write("b", b"two"),
        "c": lambda: contextlib.ExitStack().enter_context(storage.create("c")),
        "deeper/d": lambda: storage.write("deeper/d", b"two"),
    }
    for name, write in writes.items():
        with pytest.raises(StorageError, match=f"/{name} cannot be written: Read-only file system; {REMEDY}"):
            write()
    with pytest.raises(StorageError, match="/a cannot be deleted: Read-only file system"):
        storage.delete("a")
    assert storage.read("a") == b"one"


def test_a_file_in_the_place_of_the_folder_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing in a run directory that cannot be one, and who wants to list it or write there is told at once."""
    monkeypatch.setattr(storage_module, "WAITS", (600,))
    (tmp_path / "run").write_bytes(b"a file")
    storage = Storage(str(tmp_path / "run"))
    assert not storage.exists("a")
    assert storage.version("a") is None
    with pytest.raises(FileNotFoundError):
        storage.read("a")
    for operation in (
        lambda: storage.names("a"),
        lambda: storage.write("a", b""),
        lambda: storage.replace("a", b"", None),
    ):
        with pytest.raises(StorageError, match=r"run/a cannot be (listed|written): (Not a directory|File exists)"):
            operation()


def test_a_directory_that_is_deleted_underneath_is_no_longer_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading says at once that there is no such file, and the index is not put where nobody expects it."""
    monkeypatch.setattr(storage_module, "WAITS", (600,))
    run = RunDirectory(str(tmp_path / "run"))
    run.write_index(BEGUN)
    file = run.write_shard(0, 1, shard(10_000), "aaaa")
    shutil.rmtree(run.root)
    with pytest.raises(FileNotFoundError):
        run.read_shard(file)
    with pytest.raises(Superseded, match=rf"run/{INDEX} was replaced or deleted by another process; let that one finish"):
        run.write_index(BEGUN)
    assert not run.exists(INDEX)


# ------------------------------------------------------------------------------------------- trouble with the server

OPERATIONS: dict[str, Callable[[Storage], object]] = {
    "exists": lambda storage: storage.exists("a"),
    "read": lambda storage: storage.read("a"),
    "version": lambda storage: storage.version("a"),
    "replace": lambda storage: storage.replace("b", b"b", None),
    "write": lambda storage: storage.write("b", b"b"),
    "names": lambda storage: storage.names("folder"),
    "delete": lambda storage: storage.delete("folder/c"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("faults", [("unavailable", "cut"), ("no answer",)])
def test_a_server_that_comes_back_is_waited_for(
    bucket: str, way: UnreliableWay, faults: tuple[Fault, ...], operation: str
) -> None:
    """Whatever goes wrong with requests for a while, each operation gives what it gives without trouble."""
    storage, undisturbed = Storage(f"{bucket}/run"), Storage(f"{bucket}/other")
    for place in (storage, undisturbed):
        place.write("a", b"a")
        place.write("folder/c", b"c")
    way.faults = iter(faults)
    result = OPERATIONS[operation](storage)
    assert next(way.faults, None) is None
    assert result == OPERATIONS[operation](undisturbed)
    assert storage.names("") == undisturbed.names("")
    assert storage.names("folder") == undisturbed.names("folder")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", ["unavailable", "cut"])
def test_a_server_that_stays_away_is_named(bucket: str, way: UnreliableWay, fault: Fault, operation: str) -> None:
    """Lasting trouble ends, after these tries and no others, in an error with file, reason and remedy, and in no answer."""
    storage = Storage(f"{bucket}/run")
    storage.write("a", b"a")
    way.requests.clear()
    way.faults = itertools.repeat(fault)
    with pytest.raises(StorageError, match=rf"^{bucket}/run/.* cannot be .*: .*; tried 3 times in \d s; {REMEDY}$"):
        OPERATIONS[operation](storage)
    assert len(way.requests) == (3 if fault == "unavailable" else 6)  # aiohttp sends anew what a connection was lost with


def test_a_server_that_is_not_there_is_named(bucket: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection, which is no `OSError` of Python's, is trouble like any other."""
    with UnreliableWay(store).opened() as gone:
        pass
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": gone.url})
    with pytest.raises(
        StorageError, match=f"{bucket}/a cannot be read: Could not connect to the endpoint URL.*tried 3 times"
    ):
        Storage(bucket).read("a")


def test_a_slow_server_is_waited_for(bucket: str, way: UnreliableWay) -> None:
    """An answer that takes its time is no trouble."""
    way.faults = iter(["slow", "slow"])
    way.requests.clear()
    Storage(bucket).write("a", b"one")
    assert Storage(bucket).version("a") is not None
    assert way.requests == ["PUT", "HEAD"]


@pytest.mark.parametrize("operation", ["read", "write", "create", "replace"])
def test_a_server_that_never_answers_is_given_up(bucket: str, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither reading nor writing waits for ever for a server that takes requests and says nothing."""
    monkeypatch.setattr(storage_module, "UPLOAD_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        options = {"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "config_kwargs": {"read_timeout": 0.2}}
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        storage = Storage(bucket)

        def create(storage: Storage) -> None:
            with storage.create("a") as file:
                file.write(b"one")

        with pytest.raises(StorageError, match=r"(Read timeout on endpoint URL.*|no answer in time); tried 3 times"):
            {**OPERATIONS, "create": create}[operation](storage)


def test_a_missing_bucket_is_not_waited_for(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses for good is said at once."""
    monkeypatch.setattr(storage_module, "WAITS", (600,))
    storage = Storage(f"{bucket}-other/run")
    for write in (lambda: storage.write("a", b""), lambda: storage.replace("a", b"", None)):
        with pytest.raises(StorageError, match="-other/run/a cannot be written: The specified bucket does not exist"):
            write()
    with pytest.raises(FileNotFoundError):
        storage.read("a")
    assert storage.version("a") is None


def test_a_manifest_is_read_through_trouble(bucket: str, way: UnreliableWay) -> None:
    """Reading in pieces goes on where it was when an answer breaks off, and fails in words when every one does."""
    run = RunDirectory(bucket)
    batch = pa.record_batch({"image": [f"{number:06}" for number in range(40_000)]})
    run.write_manifest(iter([batch]), shard_size=10_000)
    way.faults = iter(["", "half an answer", "cut"])
    assert [name for part in run.manifest_batches(["image"]) for name in part.column(0).to_pylist()] == batch[0].to_pylist()
    assert next(way.faults, None) is None
    way.faults = iter(["", "unavailable", "half an answer"])
    assert run.manifest(1)["image"].to_pylist() == batch[0].to_pylist()[10_000:20_000]
    assert next(way.faults, None) is None

    way.faults = itertools.chain([""], itertools.repeat("half an answer"))
    with pytest.raises(StorageError, match=r"manifest\.parquet cannot be read: .*tried 3 times"):
        list(run.manifest_batches())
    way.faults = itertools.chain([""], itertools.repeat("cut"))
    with pytest.raises(StorageError, match=r"manifest\.parquet cannot be read: .*tried 3 times"):
        run.manifest(1)


def test_an_upload_in_pieces_is_repeated(bucket: str, way: UnreliableWay) -> None:
    """What a block has written goes to the server again when that fails, though the block runs once."""
    storage = Storage(bucket)
    with storage.create("a") as file:
        file.write(b"one")
        way.faults = iter(["unavailable", "cut"])
    assert storage.read("a") == b"one"
