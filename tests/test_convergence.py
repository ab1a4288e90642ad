"""What a run directory holds in the end, whatever happened on the way there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty import Failing, Faulty
from runs import Finished, bring_up_to_date, finish_run, make_task, read_rows, rows, write_images

from vcmbench import codecs
from vcmbench.interfaces import StorageError
from vcmbench.pipeline.driver import Outcome
from vcmbench.results import RunDirectory

IMAGES = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The plain run over such images."""
    return finish_run(tmp_path_factory.mktemp("finished"), IMAGES)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


def with_times(outcome: Outcome, out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every stored value of every row by image and variant."""
    files = [out / record.file for record in outcome.index.shards.values()]
    return {(row["image"], row["variant"]): row for file in files for row in read_rows(file)}


def test_error_rows_are_tried_again_when_asked(finished: Finished, images: Path, tmp_path: Path) -> None:
    """A repaired file's rows are computed only on request, alone, and the run is then as if never damaged."""
    out = tmp_path / "run"
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(whole[:60])
    before = with_times(bring_up_to_date(make_task(images, out)), out)
    (images / "001.png").write_bytes(whole)
    assert bring_up_to_date(make_task(images, out)).computed == 0
    assert bring_up_to_date(make_task(images, out), retry="transient").computed == 0
    outcome = bring_up_to_date(make_task(images, out), retry="errors")
    assert outcome.computed == 2
    assert rows(outcome, out) == finished.rows
    after = with_times(outcome, out)
    assert all(after[place] == row for place, row in before.items() if row["status"] == "ok")
    assert bring_up_to_date(make_task(images, out), retry="errors").computed == 0


def test_what_may_pass_is_tried_again_apart_from_what_will_not(images: Path, tmp_path: Path) -> None:
    """A time limit is transient and an exception is not; with more time only the former's row is computed, and is good."""
    write_images(images, IMAGES, marked=[2])
    out = tmp_path / "run"
    slow, broken = Faulty(fault="slower"), Faulty(fault="raise")
    task = make_task(images, out, codecs=(slow, broken), time_limit=0.5)
    first = bring_up_to_date(task)
    assert [(row["status"], row["transient"]) for row in rows(first, out) if row["image"] == "002.png"] == [
        ("error", False),
        ("error", True),
    ]
    outcome = bring_up_to_date(replace(task, time_limit=10.0), retry="transient")
    assert outcome.computed == 1
    assert [row["status"] for row in rows(outcome, out, [slow])] == ["ok"] * IMAGES
    assert [row["status"] for row in rows(outcome, out, [broken])].count("error") == 1


def test_a_row_that_fails_again_stays_an_error(images: Path, tmp_path: Path) -> None:
    """Trying in vain loses nothing and may be repeated."""
    (images / "001.png").write_bytes(b"")
    out = tmp_path / "run"
    first = rows(bring_up_to_date(make_task(images, out)), out)
    for _ in range(2):
        outcome = bring_up_to_date(make_task(images, out), retry="errors")
        assert outcome.computed == 2
        assert rows(outcome, out) == first


def test_a_metric_returns_for_a_row_that_was_repaired_without_it(finished: Finished, images: Path, tmp_path: Path) -> None:
    """A row that was tried again while a metric was not asked for has no value of it, which is not forgotten."""
    out = tmp_path / "run"
    task = make_task(images, out)
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(b"")
    bring_up_to_date(task)
    (images / "001.png").write_bytes(whole)
    bring_up_to_date(replace(task, metrics=task.metrics[:1]), retry="errors")
    assert rows(bring_up_to_date(task), out) == finished.rows


def test_an_image_that_was_replaced_has_all_its_rows_anew(images: Path, tmp_path: Path) -> None:
    """Rows of two different pictures never stand under one name; the other images' rows are not touched."""
    out = tmp_path / "run"
    task = make_task(images, out)
    idle = codecs.create("webp", quality=10)
    bring_up_to_date(replace(task, codecs=(*task.codecs, idle)))
    before = with_times(bring_up_to_date(task), out)
    shutil.copy(images / "004.png", images / "001.png")
    more = replace(task, codecs=(*task.codecs, codecs.create("png")))
    outcome = bring_up_to_date(more)
    assert outcome.replaced == ["001.png"]
    assert outcome.not_deterministic == set()
    assert rows(outcome, out, more.codecs) == rows(
        bring_up_to_date(replace(more, out=str(tmp_path / "alone"))), tmp_path / "alone"
    )
    after = with_times(outcome, out)
    shards = {row["image"]: row["shard"] for row in RunDirectory(task.out).manifest().to_pylist()}
    beside = {image for image, shard in shards.items() if shard == shards["001.png"]}
    for (image, variant), row in before.items():
        if image == "001.png" or (variant == idle.variant and image in beside):
            assert after.get((image, variant)) != row
        else:
            assert after[image, variant] == row
    back = replace(more, codecs=(*more.codecs, idle))
    again = bring_up_to_date(back)
    assert again.computed == len(beside)  # the setting that was not asked for meanwhile lacks a row there
    assert rows(again, out) == rows(bring_up_to_date(replace(back, out=str(tmp_path / "both"))), tmp_path / "both")


def test_what_killed_runs_left_is_deleted(finished: Finished, tmp_path: Path) -> None:
    """Shard files that no index names and half-written files go when the run is opened again; what the index names stays."""
    out = tmp_path / "run"
    task = finished.copy(out)
    (out / "results/shard-000000.g7-deadbeef.parquet").write_bytes(b"late")
    (out / "results/.x.partial").write_bytes(b"half")
    (out / ".y.partial").write_bytes(b"half")
    outcome = bring_up_to_date(task)
    named = {record.file for record in outcome.index.shards.values()}
    assert {f"results/{file.name}" for file in (out / "results").iterdir()} == named
    assert not list(out.glob(".*.partial"))
    assert rows(outcome, out) == finished.rows


def test_a_value_that_came_to_nothing_is_not_tried_again(images: Path, tmp_path: Path) -> None:
    """A metric that yields NaN would do so again, so the row is complete as it is."""
    write_images(images, IMAGES, marked=[2])
    task = make_task(images, tmp_path / "run", metrics=(Failing(),))
    bring_up_to_date(task)
    assert bring_up_to_date(task, retry="errors").computed == 0


def test_every_shard_record_counts_its_failures(images: Path, tmp_path: Path) -> None:
    """The index knows how many rows of each setting failed, so that planning needs no shard file."""
    (images / "001.png").write_bytes(b"")
    bring_up_to_date(make_task(images, tmp_path / "run"))
    index = RunDirectory(str(tmp_path / "run")).read_index()
    assert index is not None
    assert index.shards[0].errors == dict.fromkeys([setting.key for setting in index.settings], 1)
    assert index.shards[0].transient == index.shards[1].errors == {}


def test_a_shard_file_that_was_deleted_is_computed_again(finished: Finished, tmp_path: Path) -> None:
    """Running again brings back what somebody deleted, and leaves the other shards' files alone."""
    out = tmp_path / "run"
    task = finished.copy(out)
    deleted, other = (out / finished.outcome.index.shards[shard].file for shard in (0, 1))
    deleted.unlink()
    kept = other.read_bytes()
    outcome = bring_up_to_date(task)
    assert outcome.computed == 2 * 4
    assert rows(outcome, out) == finished.rows
    assert other.read_bytes() == kept


def test_a_damaged_shard_file_is_named(finished: Finished, images: Path, tmp_path: Path) -> None:
    """When stored rows are needed and cannot be read, the file and the remedy are told, and the remedy works."""
    out = tmp_path / "run"
    task = make_task(images, out)
    first = bring_up_to_date(replace(task, metrics=task.metrics[:1]))
    file = out / first.index.shards[0].file
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(
        StorageError, match=r"g1-[0-9a-f]+\.parquet is damaged: .*; delete it and run the same command again"
    ):
        bring_up_to_date(task)
    file.unlink()
    assert rows(bring_up_to_date(task), out) == finished.rows
