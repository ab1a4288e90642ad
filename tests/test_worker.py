"""Shards through real codec processes: every image × setting has its row, and only what lacks is computed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import pytest
import torch
from faulty import Failing, Faulty, InWorker, Newer, Raising
from runs import SIZE, Finished, bring_up_to_date, finish_run, make_task, read_rows, rows, write_images

from vcmbench import codecs, metrics
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Batch, Codec, Column, Scores, UsageError
from vcmbench.metrics.features import luma
from vcmbench.pipeline.driver import Outcome, Resources, Run, batch_of, open_run, survey, worker_job
from vcmbench.pipeline.engine import ThreadedEngine
from vcmbench.pipeline.local import execute_here
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.stream import CodingStream
from vcmbench.pipeline.worker import ShardResult, Worker
from vcmbench.pipeline.worker_job import MetricOrder, WorkerJob

IMAGES = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The plain run over such images."""
    return finish_run(tmp_path_factory.mktemp("finished"), IMAGES)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


def test_every_image_and_setting_has_exactly_one_row(finished: Finished) -> None:
    """Two shards, the second one short, give one complete row per image × setting."""
    stored = finished.rows
    assert [(row["image"], row["variant"]) for row in stored] == [
        (f"{number:03}.png", variant) for number in range(IMAGES) for variant in ("jpeg quality=10", "jpeg quality=50")
    ]
    assert all(row["status"] == "ok" and row["psnr_rgb"] > 10 and 0 < row["ssim_y"] <= 1 for row in stored)
    assert finished.outcome.computed == 2 * IMAGES


def test_stored_values_are_those_of_the_codec_and_metric_alone(finished: Finished) -> None:
    """A row's bytes and PSNR equal what the Python interface gives for that file."""
    stored = finished.rows[0]
    image = np.array(PIL.Image.open(finished.images / "000.png"))
    codec = codecs.create("jpeg", quality=10)
    bitstream = codec.encode(image)
    original, decoded = (
        Batch(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]) for pixels in (image, codec.decode(bitstream))
    )
    assert stored["bytes"] == len(bitstream)
    assert stored["bpp"] == 8 * len(bitstream) / SIZE**2
    assert stored["psnr_rgb"] == metrics.create("psnr_rgb").score(original, decoded)["psnr_rgb"][0]


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_rows_do_not_depend_on_the_batches(finished: Finished, tmp_path: Path, batch_size: int) -> None:
    """However images are grouped, three at a time or otherwise, every value is the same to the last bit."""
    other = bring_up_to_date(make_task(finished.images, tmp_path / "other"), batch_size=batch_size)
    assert rows(other, tmp_path / "other") == finished.rows


def test_unreadable_images_become_error_rows_and_their_neighbours_do_not_notice(
    finished: Finished, images: Path, tmp_path: Path
) -> None:
    """A truncated and an empty file have an error row per setting with the reason; other rows are as without them."""
    (images / "001.png").write_bytes((images / "001.png").read_bytes()[:60])
    (images / "004.png").write_bytes(b"")
    stored = rows(bring_up_to_date(make_task(images, tmp_path / "run")), tmp_path / "run")
    damaged = [row for row in stored if row["image"] in {"001.png", "004.png"}]
    assert len(damaged) == 4
    assert all(row["status"] == "error" and row["image"] in row["error"] for row in damaged)
    assert all(row["psnr_rgb"] is None and row["bytes"] is None for row in damaged)
    healthy = [row for row in stored if row not in damaged]
    assert healthy == [row for row in finished.rows if row["image"] not in {"001.png", "004.png"}]


def test_a_codec_fault_costs_its_own_rows(images: Path, tmp_path: Path) -> None:
    """A plug-in that segfaults on one image loses that row alone; the other codec's rows equal the undisturbed run's."""
    write_images(images, IMAGES, marked=[2])
    undisturbed = rows(bring_up_to_date(make_task(images, tmp_path / "before")), tmp_path / "before")
    task = make_task(images, tmp_path / "run")
    outcome = bring_up_to_date(replace(task, codecs=(Faulty(fault="segfault"), *task.codecs)))
    faulty = rows(outcome, tmp_path / "run", [Faulty(fault="segfault")])
    assert [row["status"] for row in faulty] == ["error" if number == 2 else "ok" for number in range(IMAGES)]
    assert "Segmentation fault" in faulty[2]["error"]
    assert rows(outcome, tmp_path / "run", task.codecs) == undisturbed


def test_a_metric_fault_is_null_with_its_reason(images: Path, tmp_path: Path) -> None:
    """A metric that raises or yields NaN leaves null and the reason; the other metrics' values stand."""
    write_images(images, IMAGES, marked=[2])
    task = make_task(images, tmp_path / "run")
    outcome = bring_up_to_date(replace(task, metrics=(*task.metrics, Failing(), Raising())))
    for row in rows(outcome, tmp_path / "run"):
        reasons = dict(row["metric_errors"])
        assert row["status"] == "ok"
        assert row["psnr_rgb"] is not None
        assert row["raised"] is None
        assert reasons["raised"].startswith("raising: RuntimeError: no value for")
        assert (row["nan_score"], reasons.get("nan_score")) == (
            (None, "failing: nan_score is nan") if row["image"] == "002.png" else (1.0, None)
        )


def test_an_added_setting_leaves_the_old_rows_untouched(finished: Finished, tmp_path: Path) -> None:
    """Running again with one more setting codes only that one; old rows keep every value, even their times."""
    task = finished.copy(tmp_path / "run")
    before = _with_times(finished.outcome, finished.out)
    outcome = bring_up_to_date(replace(task, codecs=(*task.codecs, codecs.create("png"))))
    after = _with_times(outcome, tmp_path / "run")
    assert outcome.computed == IMAGES
    assert {place: after[place] for place in before} == before
    assert len(after) == 3 * IMAGES


def test_an_added_metric_leaves_the_old_values_untouched(finished: Finished, tmp_path: Path) -> None:
    """Running again with one more metric decodes again, adds its column and keeps the rest, even the times."""
    task = finished.copy(tmp_path / "run")
    before = _with_times(finished.outcome, finished.out)
    outcome = bring_up_to_date(replace(task, metrics=(*task.metrics, metrics.create("psnr_y"))))
    after = _with_times(outcome, tmp_path / "run")
    assert outcome.not_deterministic == set()
    for place, row in after.items():
        assert row.pop("psnr_y") > 10
        assert row == before[place]


def test_a_removed_metric_is_kept_for_its_return(finished: Finished, tmp_path: Path) -> None:
    """Dropping a metric, changing something else, and asking for it again does not compute it twice."""
    task = finished.copy(tmp_path / "run")
    before = _with_times(finished.outcome, finished.out)
    bring_up_to_date(replace(task, metrics=task.metrics[:1], codecs=(*task.codecs, codecs.create("png"))))
    outcome = bring_up_to_date(task)
    assert outcome.computed == 0
    after = _with_times(outcome, tmp_path / "run")
    assert {place: after[place] for place in before} == before


def test_more_images_append_shards(images: Path, tmp_path: Path) -> None:
    """A larger limit adds shards and leaves the files of the old ones as they are."""
    task = make_task(images, tmp_path / "run", selection=Selection(limit=3))
    bring_up_to_date(task)
    files = {file: file.read_bytes() for file in (tmp_path / "run" / "results").iterdir()}
    outcome = bring_up_to_date(make_task(images, tmp_path / "run", selection=Selection(limit=IMAGES)))
    assert outcome.computed == 2 * 3
    assert sorted(outcome.index.shards) == [0, 1]
    assert all(file.read_bytes() == content for file, content in files.items())


def test_a_codec_that_is_not_deterministic_is_found_out(images: Path, tmp_path: Path) -> None:
    """Scoring a new metric decodes again; other bytes than the stored ones replace the rows and name the codec."""
    random = Faulty(fault="random")
    task = make_task(images, tmp_path / "run", codecs=(codecs.create("jpeg", quality=10), random))
    before = rows(bring_up_to_date(task), tmp_path / "run", [random])
    outcome = bring_up_to_date(replace(task, metrics=(*task.metrics, metrics.create("psnr_y"))))
    after = rows(outcome, tmp_path / "run", [random])
    assert outcome.not_deterministic == {random.variant}
    assert all(new["bitstream_hash"] != old["bitstream_hash"] for new, old in zip(after, before, strict=True))
    assert all(row["psnr_rgb"] == row["psnr_y"] == 100 for row in after)


def test_a_codec_of_another_version_replaces_its_rows(images: Path, tmp_path: Path) -> None:
    """A changed key of a variant leaves one row per image × variant, and its cells are the new key's alone."""
    task = make_task(images, tmp_path / "run", codecs=(Faulty(), codecs.create("png")))
    before = bring_up_to_date(task)
    outcome = bring_up_to_date(replace(task, codecs=(Newer(),)))
    after = rows(outcome, tmp_path / "run")
    old, png, new = *(setting.key for setting in before.index.settings), outcome.index.settings[0].key
    assert outcome.computed == IMAGES
    assert sorted(row["setting"] for row in after) == sorted([png, new] * IMAGES)
    assert all(set(outcome.index.cells(shard)) == {png, new} for shard in outcome.index.shards)
    assert old != new


class Flagging(Failing):
    """Gives a flag where `Failing` gives a number."""

    columns: ClassVar[Mapping[str, Column]] = {"nan_score": Column("NaN score", None, "bool")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Give true."""
        del reference
        return {"nan_score": [True] * len(decoded)}


def test_a_column_of_another_type_replaces_the_old_one(images: Path, tmp_path: Path) -> None:
    """A metric that comes to give flags for numbers is scored anew, and a setting that is not keeps none of the numbers."""
    task = make_task(images, tmp_path / "run", metrics=(Failing(),))
    bring_up_to_date(task)
    outcome = bring_up_to_date(replace(task, codecs=task.codecs[:1], metrics=(Flagging(),)))
    assert {(row["variant"], row["nan_score"]) for row in rows(outcome, tmp_path / "run")} == {
        ("jpeg quality=10", True),
        ("jpeg quality=50", None),
    }
    assert bring_up_to_date(replace(task, metrics=(Flagging(),))).computed == IMAGES


def test_an_image_that_cannot_be_read_again_keeps_its_rows(images: Path, tmp_path: Path) -> None:
    """When a file is gone as a metric is added, its old values stay, the new one is null, and no codec is blamed."""
    task = make_task(images, tmp_path / "run")
    before = _with_times(bring_up_to_date(task), tmp_path / "run")
    (images / "001.png").unlink()
    outcome = bring_up_to_date(replace(task, metrics=(*task.metrics, metrics.create("psnr_y"))))
    after = _with_times(outcome, tmp_path / "run")
    assert outcome.not_deterministic == set()
    for place, row in after.items():
        assert (row.pop("psnr_y") is None) == (row["image"] == "001.png")
        assert {**row, "metric_errors": []} == before[place]


def test_a_codec_that_runs_in_the_worker_gives_the_same_rows(images: Path, tmp_path: Path) -> None:
    """Batched coding in the worker stores the same bytes and pixels as the same codec in a process."""
    task = make_task(images, tmp_path / "run", codecs=(Faulty(), InWorker()))
    stored = rows(bring_up_to_date(task), tmp_path / "run")
    alone, batched = ([row for row in stored if row["family"] == family] for family in ("faulty", "in worker"))
    assert [row["decoded_hash"] for row in alone] == [row["decoded_hash"] for row in batched]
    assert all(row["psnr_rgb"] == 100 for row in batched)


def test_settings_of_the_edge_codec_share_one_analysis(images: Path, tmp_path: Path) -> None:
    """Settings of both decoders have the same bytes at one number of points, and an equal share of the time of encoding."""
    settings = [codecs.create("edge", points=points, decoder=name) for points in (0, 15) for name in ("diffusion", "neural")]
    task = make_task(images, tmp_path / "run", codecs=(settings[0], codecs.create("png"), *settings[1:]))
    stored = list(_with_times(bring_up_to_date(task), tmp_path / "run").values())
    assert all(row["status"] == "ok" for row in stored)
    for image in {row["image"] for row in stored}:
        edge = {row["variant"]: row for row in stored if row["image"] == image and row["family"] == "edge"}
        assert len({row["encode_ms"] for row in edge.values()}) == 1
        for points in (0, 15):
            classical, neural = (edge[f"edge points={points}{words}"] for words in (" decoder=diffusion", ""))
            assert classical["bitstream_hash"] == neural["bitstream_hash"]
            assert classical["decoded_hash"] != neural["decoded_hash"]


def test_an_original_is_computed_once_for_all_settings(images: Path, tmp_path: Path) -> None:
    """Three settings share one batch of originals, so an extractor sees each original once."""
    seen: list[int] = []

    def count(batch: Batch) -> int:
        seen.append(len(batch))
        return len(batch)

    task = make_task(images, tmp_path / "run")
    with open_run(task) as run, contextlib.closing(ThreadedEngine(_job(run))) as engine:
        stream: CodingStream = engine._stream
        settings: dict[str, Codec] = {quality: codecs.create("jpeg", quality=int(quality)) for quality in ("5", "50", "90")}
        for item in stream.decode(run.directory.manifest(0).to_pylist(), settings):
            item.originals.batch.get(count)  # type: ignore[union-attr]  # every image here can be read
            item.batch.get(luma)  # type: ignore[union-attr]  # likewise
    assert seen == [3, 1]


def test_a_worker_with_other_libraries_is_refused(images: Path, tmp_path: Path) -> None:
    """A node whose codec or metric is not the driver's would spoil the run, so it stops with what to do."""
    task = make_task(images, tmp_path / "run")
    with open_run(task) as run:
        job = _job(run)
    index = job.index
    settings = tuple(setting.model_copy(update={"key": "other"}) for setting in index.settings[:1]) + index.settings[1:]
    with pytest.raises(UsageError, match="install equal versions on all nodes"):
        Worker(replace(job, index=index.model_copy(update={"settings": settings})))
    others = tuple(metric.model_copy(update={"key": "other"}) for metric in index.metrics)
    with pytest.raises(UsageError, match="psnr_rgb on this worker is not the driver's"):
        Worker(replace(job, index=index.model_copy(update={"metrics": others})))
    absent = replace(job, metrics=(MetricOrder("only_there:Score", {}), MetricOrder("only_there:Other", {})))
    with pytest.raises(UsageError, match="metric only_there:Score cannot be loaded on this worker: No module named"):
        Worker(absent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard_size": 5}, "shard_size is 5, but .* was begun with 4"),
        ({"preparation": Preparation(size=64)}, "dataset.size is 64, but .* was begun with 32"),
    ],
)
def test_a_job_that_contradicts_its_directory_is_refused(finished: Finished, change: dict[str, Any], message: str) -> None:
    """Other data, sizes or shards under the same `out` would mix two runs."""
    with pytest.raises(UsageError, match=message):
        survey(make_task(finished.images, finished.out, **change))


def test_a_damaged_job_in_the_directory_is_named(finished: Finished, tmp_path: Path) -> None:
    """A stored job that cannot be read stops the run before anything is changed."""
    task = finished.copy(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text("{not yaml", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.yaml is damaged; restore it, or choose another `out`"):
        survey(task)


def test_a_lost_manifest_is_named(finished: Finished, tmp_path: Path) -> None:
    """Without its manifest, a run's shards cannot be matched to images, so nothing is begun over them."""
    task = finished.copy(tmp_path / "run")
    (tmp_path / "run" / "manifest.parquet").unlink()
    with pytest.raises(UsageError, match=r"manifest\.parquet is missing; restore it, or choose another `out`"):
        survey(task)


def test_a_worker_that_stores_elsewhere_is_found_out(images: Path, tmp_path: Path) -> None:
    """A shard is not taken as finished when its file is not in the run directory, as when nodes share no storage."""

    def elsewhere(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
        shutil.copytree(tmp_path / "run", tmp_path / "other")
        yield from execute_here(replace(job, run_url=str(tmp_path / "other")), works, progress)

    with pytest.raises(
        UsageError, match=r"g1-[0-9a-f]+\.parquet was stored by a worker but is not here; put `out` where all nodes see it"
    ):
        bring_up_to_date(make_task(images, tmp_path / "run"), elsewhere)


@pytest.mark.parametrize(("side", "images_at_once"), [(64, 16), (256, 16), (512, 4), (1000, 1), (4096, 1)])
def test_larger_images_come_in_smaller_batches(side: int, images_at_once: int) -> None:
    """A batch keeps to the memory of its images at 256×256, down to one image."""
    assert batch_of(16, side) == images_at_once


def test_nothing_is_left_to_do_after_a_run(finished: Finished, tmp_path: Path) -> None:
    """A finished run plans no work."""
    with open_run(finished.copy(tmp_path / "run")) as run:
        assert run.missing_work() == []


def _with_times(outcome: Outcome, out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    files = [out / record.file for record in outcome.index.shards.values()]
    return {(row["image"], row["variant"]): row for file in files for row in read_rows(file)}


def _job(run: Run) -> WorkerJob:
    return worker_job(run, Resources("cpu", processes=2, threads=1, batch_size=3))
