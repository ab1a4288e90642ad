"""Runs over damaged and unusual files, and over files that change between planning and reading."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from damaged_files import FILES, PHOTO, Expected, saved, write_damaged_files
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench.pipeline.local import execute_here
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult
from vcmbench.pipeline.worker_job import WorkerJob

HEALTHY = 6
SETTINGS = ["jpeg quality=10", "jpeg quality=50"]
SECONDS = 30
"""Ten times what the run takes on two idle cores."""
KIBIBYTES = 1_000_000
"""Twice what a process needs for the largest image that is not refused."""


@dataclass(frozen=True)
class Run:
    """A finished run over the damaged files and some healthy images."""

    expected: dict[str, Expected]
    rows: list[dict[str, Any]]
    shards: int
    undisturbed: list[dict[str, Any]]
    """The rows of a run over the healthy images alone."""
    seconds: float
    memory_before: int
    """The most memory that any process started by this one had until the run, in KiB, and until its end."""
    memory_after: int


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run once for all tests of this file."""
    folder = tmp_path_factory.mktemp("damaged")
    write_images(folder / "healthy", HEALTHY)
    expected = write_damaged_files(folder / "images")
    write_images(folder / "images", HEALTHY)
    undisturbed = bring_up_to_date(make_task(folder / "healthy", folder / "alone"))
    before, started = _memory(), time.perf_counter()
    outcome = bring_up_to_date(make_task(folder / "images", folder / "run", shard_size=100), batch_size=16)
    seconds = time.perf_counter() - started
    return Run(
        expected,
        rows(outcome, folder / "run"),
        len(outcome.index.shards),
        rows(undisturbed, folder / "alone"),
        seconds,
        before,
        _memory(),
    )


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def test_every_damaged_file_has_exactly_its_rows(run: Run) -> None:
    """Over several shards, each listed file has one row per setting, and what is no image file has none."""
    listed = [name for name, expected in run.expected.items() if expected.status != "unlisted"]
    healthy = [row["image"] for row in run.undisturbed[:: len(SETTINGS)]]
    assert len(run.expected) == FILES
    assert run.shards > 1
    assert Counter((row["image"], row["variant"]) for row in run.rows) == Counter(
        (name, variant) for name in listed + healthy for variant in SETTINGS
    )


def test_every_damaged_file_is_taken_for_what_it_is(run: Run) -> None:
    """Unusual images have values and a note, unreadable ones a reason that names the file; nothing else comes of any."""
    wrong = [row for row in run.rows if row["image"] in run.expected and not _fits(row, run.expected[row["image"]])]
    assert [(row["image"], row["status"], row["note"], row["error"]) for row in wrong] == []


def _fits(row: dict[str, Any], expected: Expected) -> bool:
    if row["status"] != expected.status != "either":
        return False
    if row["status"] == "error":
        return row["image"] in row["error"] and expected.words in row["error"] and row["psnr_rgb"] is None
    return expected.words in row["note"] and row["psnr_rgb"] > 0 and row["ssim_y"] <= 1


def test_damaged_files_do_not_disturb_their_neighbours(run: Run) -> None:
    """The rows of healthy images among them equal those of a run without them."""
    assert [row for row in run.rows if row["image"] not in run.expected] == run.undisturbed


def test_damaged_files_cost_neither_time_nor_memory(run: Run) -> None:
    """Nothing waits for a time limit, and no process needs more than the largest readable image takes."""
    assert run.seconds < SECONDS
    assert run.memory_after <= max(run.memory_before, KIBIBYTES)


# ------------------------------------------------------------------------------------------- changed while it runs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of healthy images."""
    write_images(tmp_path / "images", HEALTHY)
    return tmp_path / "images"


def run_changing(images: Path, out: Path, change: Callable[[Path], object]) -> list[dict[str, Any]]:
    """The rows of a run in which an image is changed after the work was planned."""

    def execute(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        change(images / "001.png")
        yield from execute_here(job, works, progress)

    return rows(bring_up_to_date(make_task(images, out), execute), out)


def _corrupt(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-40])


def _replace_by_folder(image: Path) -> None:
    image.unlink()
    image.mkdir()


@pytest.mark.parametrize("change", [Path.unlink, _corrupt, _replace_by_folder])
def test_an_image_lost_after_planning_costs_its_own_rows(
    run: Run, images: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """An image that is deleted, corrupted or now a folder has error rows that name it; its neighbours are as ever."""
    stored = run_changing(images, tmp_path / "run", change)
    lost = [row for row in stored if row["image"] == "001.png"]
    assert [(row["variant"], row["status"]) for row in lost] == [(variant, "error") for variant in SETTINGS]
    assert all("001.png" in row["error"] for row in lost)
    assert [row for row in stored if row not in lost] == [row for row in run.undisturbed if row["image"] != "001.png"]


def test_an_image_replaced_after_planning_is_taken_as_it_is(images: Path, tmp_path: Path) -> None:
    """The rows are those of a run over the new image, and its neighbours' rows are as ever."""
    stored = run_changing(images, tmp_path / "run", lambda image: image.write_bytes(saved(PHOTO)))
    assert stored == rows(bring_up_to_date(make_task(images, tmp_path / "after")), tmp_path / "after")
