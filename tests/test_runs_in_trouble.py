"""Whole runs over storage that fails: waited out, or stopped with a clear word and resumed when it is back."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from object_store import Fault, UnreliableWay
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench import storage
from vcmbench.interfaces import StorageError, Superseded
from vcmbench.pipeline.driver import open_run, survey
from vcmbench.results import RunDirectory

IMAGES = 8


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries without the real patience, and none of botocore's own."""
    monkeypatch.setattr(storage, "WAITS", (0.01, 0.01))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, IMAGES)
    return folder


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("calm") / "run"
    return rows(bring_up_to_date(make_task(images, out, shard_size=2)), out)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, which is more than the run needs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounting = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounting.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounting.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def committed(out: Path | str) -> int:
    """How many shards the index names."""
    index = RunDirectory(str(out)).read_index()
    return len(index.shards) if index else 0


def test_a_disk_that_fills_up_stops_a_run_that_then_continues(
    images: Path, undisturbed: list[dict[str, Any]], disk: Path
) -> None:
    """Before it stops, the run has committed what there was space for; with space again it computes only the rest."""
    task = make_task(images, disk / "run", shard_size=2)
    filler = disk / "filler"

    def fill_the_disk(done: int) -> None:
        if done and not filler.exists():
            with filler.open("wb", buffering=0) as file:
                while shutil.disk_usage(disk).free:
                    file.write(bytes(4096))

    with pytest.raises(StorageError, match="cannot be written: No space left on device; tried 3 times"):
        bring_up_to_date(task, progress=fill_the_disk)
    before = committed(task.out)
    assert before < IMAGES // 2
    filler.unlink()
    outcome = bring_up_to_date(task)
    assert outcome.computed == 2 * (IMAGES - 2 * before)
    assert rows(outcome, task.out) == undisturbed


def test_a_directory_that_is_deleted_under_a_run_stops_it(
    images: Path, undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The run says so instead of going on in a place that nobody can resume; the same command begins anew."""
    task = make_task(images, tmp_path / "run", shard_size=2)
    deleted: list[int] = []

    def delete(done: int) -> None:
        if done and not deleted:
            deleted.append(done)
            shutil.rmtree(task.out)

    with pytest.raises((StorageError, Superseded)) as stopped:
        bring_up_to_date(task, progress=delete)
    assert str(tmp_path / "run") in str(stopped.value)
    assert "the same command" in str(stopped.value)
    outcome = bring_up_to_date(task)
    assert outcome.computed == 2 * IMAGES
    assert rows(outcome, task.out) == undisturbed


def test_a_directory_that_becomes_read_only_stops_a_run(images: Path, undisturbed: list[dict[str, Any]], disk: Path) -> None:
    """It is told at once, without waiting; what was committed can be read, and made writable again the run continues."""
    task = make_task(images, disk / "run", shard_size=2)
    remount = ["mount", "-o", "remount,{}", "tmpfs", str(disk)]
    done_at: list[int] = []

    def protect(done: int) -> None:
        if done and not done_at:
            done_at.append(done)
            subprocess.run([word.format("ro") for word in remount], check=True)

    with pytest.raises(StorageError, match="Read-only file system; put that right and run the same command again"):
        bring_up_to_date(task, progress=protect)
    assert committed(task.out) < IMAGES // 2
    assert survey(task).directory.url == task.out
    subprocess.run([word.format("rw") for word in remount], check=True)
    RunDirectory(task.out).delete("lease.json")  # which could not be given back, and its process, this one, lives
    assert rows(bring_up_to_date(task), task.out) == undisturbed


def test_an_unreliable_object_store_costs_nothing_but_time(
    images: Path, undisturbed: list[dict[str, Any]], bucket: str, way: UnreliableWay
) -> None:
    """Every fourth request of a whole run fails, in one of four ways; the rows are those of an undisturbed run."""
    chance = random.Random(5)
    kinds: tuple[Fault, ...] = ("unavailable", "cut", "no answer", "half an answer")
    way.faults = (chance.choice(kinds) if turn % 4 == 0 else "" for turn in itertools.count())
    task = make_task(images, f"{bucket}/run", shard_size=2)
    outcome = bring_up_to_date(task)
    way.faults = iter(())
    assert rows(outcome, task.out) == undisturbed
    assert not RunDirectory(task.out).exists("lease.json")


def test_an_object_store_that_goes_away_stops_a_run_that_then_continues(
    images: Path, undisturbed: list[dict[str, Any]], bucket: str, way: UnreliableWay
) -> None:
    """The run waits, then names the file; when the store is back, the same command computes only the rest."""
    task = make_task(images, f"{bucket}/run", shard_size=2)

    def go_away(done: int) -> None:
        if done:
            way.faults = itertools.repeat("unavailable")

    with pytest.raises(StorageError, match=rf"{bucket}/run/.* cannot be .*; tried 3 times"):
        bring_up_to_date(task, progress=go_away)
    way.faults = iter(())
    RunDirectory(task.out).delete("lease.json")  # else a driver of another machine waits until it has run out
    before = committed(task.out)
    outcome = bring_up_to_date(task)
    assert outcome.computed == 2 * (IMAGES - 2 * before)
    assert rows(outcome, task.out) == undisturbed


def test_two_drivers_on_an_object_store_cannot_both_commit(images: Path, bucket: str) -> None:
    """Of two that have opened the run in turn, the first one's next commit is refused by the store itself."""
    task = make_task(images, f"{bucket}/run", shard_size=2)
    with open_run(task) as first:
        RunDirectory(task.out).delete("lease.json")
        with open_run(task) as second:
            with pytest.raises(Superseded):
                first.directory.write_index(first.index)
            second.directory.write_index(second.index)
