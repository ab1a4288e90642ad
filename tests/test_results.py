"""The run directory: the manifest fixes the shards, and readers follow the index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from object_store import use_objects
from synthetic_run import PSNR, SSIM, setting

from vcmbench.interfaces import Superseded, UsageError
from vcmbench.results import INDEX, RunDirectory, row_schema, table_of
from vcmbench.run_index import Index, complete_shards

JPEG, WEBP = setting("jpeg", "quality", 4), setting("webp", "quality", 10)
BEGUN = Index(name="run", notice="", settings=(JPEG, WEBP), metrics=(PSNR, SSIM))


def listing(names: range, batch: int = 1000) -> Iterator[pa.RecordBatch]:
    """Manifest batches of images named by numbers."""
    for first in range(names.start, names.stop, batch):
        chosen = range(first, min(first + batch, names.stop))
        yield pa.record_batch({"image": [f"{name:07}" for name in chosen], "path": [f"{name}.png" for name in chosen]})


@pytest.fixture(params=["local", "s3"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """An empty run directory, on this machine and in an object store."""
    if request.param == "local":
        return RunDirectory(str(tmp_path / "run"))
    bucket = use_objects(request.getfixturevalue("store"), tmp_path.name, monkeypatch)
    return RunDirectory(f"{bucket}/run")


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


def test_the_index_reads_back_equal(run: RunDirectory) -> None:
    """Settings, metrics, shards, cells and counts of failures survive storage."""
    assert run.read_index() is None
    index = BEGUN.with_shard(0, "results/a", 1, BEGUN.wanted)
    index = index.with_shard(1, "results/b", 1, BEGUN.wanted, errors={JPEG.key: 2}, transient={JPEG.key: 1, WEBP.key: 3})
    run.write_index(index)
    assert run.read_index() == index


def test_only_who_has_seen_the_latest_index_replaces_it(run: RunDirectory) -> None:
    """A driver that was taken over is told so, whether it has read, written or never seen the index."""
    run.write_index(BEGUN)
    later = RunDirectory(run.url)
    assert later.read_index() == BEGUN
    newer = BEGUN.with_shard(0, "a", 1, BEGUN.wanted)
    later.write_index(newer)
    for outdated in (run, RunDirectory(run.url)):
        with pytest.raises(Superseded, match=r"run/index\.json was replaced or deleted by another process"):
            outdated.write_index(BEGUN)
    newest = newer.with_shard(1, "b", 1, BEGUN.wanted)
    later.write_index(newest)
    assert run.read_index() == newest
    run.write_index(BEGUN)
    assert later.read_index() == BEGUN


def test_what_older_versions_stored_is_read(tmp_path: Path) -> None:
    """An index without counts of failures and rows without the newer columns are as if they had none."""
    run = RunDirectory(str(tmp_path))
    index = BEGUN.with_shard(0, "a", 1, BEGUN.wanted)
    stored = index.model_dump(mode="json")
    for name in ("errors", "transient"):
        del stored["shards"]["0"][name]
    run.write(INDEX, json.dumps(stored).encode())
    assert run.read_index() == index
    schema = row_schema(BEGUN.columns)
    older = table_of([{"image": "a", "psnr_rgb": 30.5}], schema).drop_columns(["source_hash", "transient"])
    rows = run.read_shard(run.write_shard(0, 1, older, "aaaa"))
    assert pa.unify_schemas([schema, rows.schema]).equals(schema)


def test_rows_read_back_equal(run: RunDirectory) -> None:
    """A shard's rows keep values, nulls and reasons, and its file is named by shard, generation and writer."""
    row = {
        "image": "a",
        "setting": JPEG.key,
        "bytes": 7,
        "status": "ok",
        "psnr_rgb": 30.5,
        "metric_errors": [("ssim_rgb", "no")],
        "transient": True,
        "source_hash": "0123456789abcdef",
    }
    file = run.write_shard(12, 3, table_of([row], row_schema(BEGUN.columns)), "5f0c9a1b")
    assert file == "results/shard-000012.g3-5f0c9a1b.parquet"
    [stored] = run.read_shard(file).to_pylist()
    assert {name: stored[name] for name in row} == row
    assert stored["ssim_rgb"] is None


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
    assert complete_shards(index) == [0]
    assert complete_shards(index.model_copy(update={"settings": (JPEG,)})) == [0, 1]
