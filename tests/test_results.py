"""The run directory: files appear whole or not at all, and readers follow the index."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from synthetic_run import PSNR, SSIM, setting

from vcmbench.interfaces import UsageError
from vcmbench.results import INDEX, Index, RunDirectory, complete_shards, row_schema, table_of

JPEG, WEBP = setting("jpeg", "quality", 4), setting("webp", "quality", 10)
BEGUN = Index(name="run", notice="", settings=(JPEG, WEBP), metrics=(PSNR, SSIM))


def listing(names: range, batch: int = 1000) -> Iterator[pa.RecordBatch]:
    """Manifest batches of images named by numbers."""
    for first in range(names.start, names.stop, batch):
        chosen = range(first, min(first + batch, names.stop))
        yield pa.record_batch({"image": [f"{name:07}" for name in chosen], "path": [f"{name}.png" for name in chosen]})


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """A real S3-compatible server on loopback; yields its URL."""
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


@pytest.fixture(params=["local", "s3"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """An empty run directory, on this machine and in an object store."""
    if request.param == "local":
        return RunDirectory(str(tmp_path / "run"))
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("object_store"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = tmp_path.name.replace("_", "-").lower()
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
    filesystem.mkdir(bucket)
    return RunDirectory(f"s3://{bucket}/run")


def test_a_relative_directory_is_the_same_from_anywhere(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The absolute URL leads to the same files from another working directory."""
    monkeypatch.chdir(tmp_path)
    here = RunDirectory("run") if run.is_local else run
    here.write("a.txt", b"one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert RunDirectory(here.absolute_url).read("a.txt") == b"one"


def test_files_read_back_as_they_were_written(run: RunDirectory) -> None:
    """A written file exists and holds the bytes; writing again replaces it."""
    assert not run.exists("a/b.txt")
    run.write("a/b.txt", b"one")
    run.write("a/b.txt", b"two")
    assert run.exists("a/b.txt")
    assert run.read("a/b.txt") == b"two"


def test_a_manifest_fixes_the_shard_of_each_image(run: RunDirectory) -> None:
    """Images are numbered in order, so many to a shard, whatever batches they come in."""
    run.write_manifest(listing(range(10), batch=4), shard_size=3)
    assert run.shard_sizes() == {0: 3, 1: 3, 2: 3, 3: 1}
    assert run.manifest(2)["image"].to_pylist() == ["0000006", "0000007", "0000008"]
    assert run.manifest()["shard"].to_pylist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_larger_manifest_appends_shards(run: RunDirectory) -> None:
    """Images that are known keep their shard, even in a short last one; the new ones begin another."""
    run.write_manifest(listing(range(4)), shard_size=3)
    run.write_manifest(listing(range(9), batch=2), shard_size=3, append=True)
    assert run.shard_sizes() == {0: 3, 1: 1, 2: 3, 3: 2}
    assert run.manifest()["image"].to_pylist() == [f"{name:07}" for name in range(9)]
    assert run.manifest(2)["image"].to_pylist() == ["0000004", "0000005", "0000006"]


@pytest.mark.parametrize("batch", [2, 1000])
def test_a_manifest_is_not_appended_from_another_listing(run: RunDirectory, batch: int) -> None:
    """When the data set gives other images first than it did, appending would double some and lose others."""
    run.write_manifest(listing(range(4)), shard_size=3)
    with pytest.raises(UsageError, match=r"manifest\.parquet begins with other images than the data set now gives"):
        run.write_manifest(listing(range(1, 9), batch), shard_size=3, append=True)
    assert run.manifest()["image"].to_pylist() == [f"{name:07}" for name in range(4)]


def test_a_manifest_can_be_begun_anew(run: RunDirectory) -> None:
    """Unless it is told to append, writing replaces what was there."""
    run.write_manifest(listing(range(4)), shard_size=3)
    run.write_manifest(listing(range(7, 9)), shard_size=3)
    assert run.manifest()["image"].to_pylist() == ["0000007", "0000008"]


@pytest.mark.parametrize("url", ["nosuch://bucket/run", "s3nope:///x"])
def test_an_unknown_file_system_is_refused(url: str) -> None:
    """A URL that nothing can open is named."""
    with pytest.raises(UsageError, match=f"{url} cannot be opened: "):
        RunDirectory(url)


def test_the_index_reads_back_equal(run: RunDirectory) -> None:
    """Settings, metrics, shards and cells survive storage."""
    assert run.read_index() is None
    index = BEGUN.with_shard(0, "results/shard-000000.g1.parquet", 1, BEGUN.wanted)
    run.write_index(index)
    assert run.read_index() == index


def test_rows_read_back_equal(run: RunDirectory) -> None:
    """A shard's rows keep values, nulls and reasons, and its file is named by shard and generation."""
    row = {
        "image": "a",
        "setting": JPEG.key,
        "bytes": 7,
        "status": "ok",
        "psnr_rgb": 30.5,
        "metric_errors": [("ssim_rgb", "no")],
    }
    file = run.write_shard(12, 3, table_of([row], row_schema(BEGUN.columns)))
    assert file == "results/shard-000012.g3.parquet"
    [stored] = run.read_shard(file).to_pylist()
    assert {name: stored[name] for name in row} == row
    assert stored["ssim_rgb"] is None


def test_an_interrupted_write_leaves_the_old_file(run: RunDirectory) -> None:
    """When writing fails half-way, the file holds what it held before and nothing else is left behind."""
    run.write("index.json", b"old")

    def broken_off() -> None:
        with run.create("index.json") as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert run.read("index.json") == b"old"
    assert run.filesystem.find(run.root) == [run.path("index.json")]


@pytest.mark.parametrize("content", [b"", b"not json", b'{"format": 2}', b'{"name": "x"}', b"\xff\xfe"])
def test_a_damaged_index_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    """A file that is no index of this format names itself and what to do."""
    run = RunDirectory(str(tmp_path))
    run.write(INDEX, content)
    with pytest.raises(UsageError, match=r"index\.json cannot be used: .*restore the file, or choose another `out`"):
        run.read_index()


def test_an_older_generation_never_wins() -> None:
    """A late writer's file does not replace a newer one."""
    newer = BEGUN.with_shard(0, "g2", 2, BEGUN.wanted)
    assert newer.with_shard(0, "g1", 1, BEGUN.wanted) == newer
    assert newer.with_shard(0, "other g2", 2, BEGUN.wanted) == newer


def test_only_shards_with_every_wanted_cell_are_complete() -> None:
    """Reports read shards that have all settings with all metrics of the job, and no others."""
    jpeg_only = {JPEG.key: BEGUN.wanted[JPEG.key]}
    stale = {key: {**columns, "psnr_rgb": "psnr-0"} for key, columns in BEGUN.wanted.items()}
    index = (
        BEGUN.with_shard(0, "whole", 1, BEGUN.wanted).with_shard(1, "partial", 1, jpeg_only).with_shard(2, "stale", 1, stale)
    )
    assert complete_shards(index) == ["whole"]
    assert complete_shards(index.model_copy(update={"settings": (JPEG,)})) == ["whole", "partial"]
