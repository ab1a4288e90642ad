"""Runs and their reports from the command line, without Ray: what is printed, written and returned."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest
from jobs import write_job
from pictures import PORTRAIT
from program import Call, Finished, files, one_line, rows, vcmbench_in


@dataclass(frozen=True)
class DemoRun:
    """The small job, run once."""

    folder: Path
    finished: Finished

    @property
    def out(self) -> Path:
        """Its run directory."""
        return self.folder / "runs/demo"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the small job of four images and three settings, in shards of three."""
    folder = tmp_path_factory.mktemp("demo")
    write_job(folder / "job.yaml", shard_size="3")
    return DemoRun(folder, vcmbench_in(folder, "run", "job.yaml", "--address", "local"))


@pytest.fixture
def copy(demo: DemoRun, tmp_path: Path) -> Path:
    """A copy of the run's folder, to change."""
    return Path(shutil.copytree(demo.folder, tmp_path / "copy", copy_function=shutil.copy2))


def test_a_run_ends_with_its_table_and_files(demo: DemoRun) -> None:
    """Exit code 0, the table and where to find everything on stdout, and one good row per image × setting."""
    assert demo.finished.code == 0
    assert "report:  runs/demo/report/index.html\nresults: runs/demo/results/\n" in demo.finished.out
    for words in ("jpeg quality=4", "jpeg quality=40", "png", "PSNR-Y", "SSIM-Y", "Two people, not a benchmark."):
        assert words in demo.finished.out
    assert {"config.yaml", "index.json", "manifest.parquet", "provenance.json", "summary.parquet"} <= files(demo.out).keys()
    assert {"report/index.html", "report/table1.md", "report/table1.csv"} <= files(demo.out).keys()
    assert [row["status"] for row in rows(demo.out)] == ["ok"] * 12


def test_a_pipe_gets_plain_lines(demo: DemoRun) -> None:
    """Without a terminal there is no bar, no colour and no carriage return."""
    assert demo.finished.err == "demo: 4 images × 3 settings, 12 to compute\n"
    assert not {"\r", "\x1b"} & set(demo.finished.out)


def test_a_second_run_computes_nothing(demo: DemoRun, copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, prints the same table, and leaves the result files as they are."""
    monkeypatch.chdir(copy)
    before = files(copy / "runs/demo/results")
    again = call("run", "job.yaml", "--address", "local")
    assert again == Finished(0, demo.finished.out, "demo: 4 images × 3 settings, nothing to compute\n")
    assert files(copy / "runs/demo/results") == before


def test_a_larger_limit_only_adds_images(copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored shards stay as they are, and the new images get shards of their own."""
    monkeypatch.chdir(copy)
    results = copy / "runs/demo/results"
    before = files(results)
    grown = call("run", "job.yaml", "--address", "local", "--set", "dataset.limit=6")
    assert grown.code == 0
    assert "6 images × 3 settings, 6 to compute" in grown.err
    after = files(results)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    assert len({row["image"] for row in rows(copy / "runs/demo")}) == 6


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("dataset.size=32", "dataset.size is 32, but runs/demo was begun with 64"),
        ("dataset.crop.scale=2", "dataset.crop.scale is 2.0, but runs/demo was begun with 1.3"),
        ("dataset.seed=1", "dataset.seed is 1, but runs/demo was begun with 0"),
        ("dataset={kind: folder, root: .}", "dataset.kind is 'folder', but runs/demo was begun with 'demo'"),
        ("shard_size=4", "shard_size is 4, but runs/demo was begun with 3"),
        ("dataset.limit=3", "dataset.limit is 3, but runs/demo already holds 4 images"),
    ],
)
def test_a_contradicting_job_is_refused(
    demo: DemoRun, call: Call, monkeypatch: pytest.MonkeyPatch, override: str, told: str
) -> None:
    """The key is named with both values, and the run stays as it is."""
    before = files(demo.out)
    monkeypatch.chdir(demo.folder)
    refused = call("run", "job.yaml", "--address", "local", "--set", override)
    assert refused.code == 2
    assert one_line(refused).startswith(told)
    assert "another `out`" in refused.err
    assert files(demo.out) == before


def test_a_wrong_job_touches_nothing(tmp_path: Path, call: Call) -> None:
    """Exit code 2 and one line; the run directory is not made."""
    write_job(tmp_path / "job.yaml", codecs="[jpeg: {qualty: 4}]")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused).startswith(
        "job.yaml: codecs[0]: jpeg: unknown parameter 'qualty'; its parameters are: quality, "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_a_data_set_that_is_not_there_is_refused(tmp_path: Path, call: Call) -> None:
    """A missing root is named, and the run directory is not made."""
    write_job(tmp_path / "job.yaml", dataset="{kind: folder, root: faces}")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused) == f"there is no folder {tmp_path}/faces; set root to a folder of images"
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_an_out_that_cannot_be_written_is_named(tmp_path: Path, call: Call) -> None:
    """A file in the way is one clear line."""
    write_job(tmp_path / "job.yaml", out="job.yaml/demo")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused) == (
        "job.yaml/demo/lease.json cannot be written: Not a directory; put that right and run the same command again, "
        "or choose another `out`"
    )


def test_workers_are_for_ray(tmp_path: Path, call: Call) -> None:
    """An option that would have no effect is refused."""
    write_job(tmp_path / "job.yaml")
    refused = call("run", "job.yaml", "--address", "local", "--workers", "2")
    assert refused.code == 2
    assert "leave one of them out" in one_line(refused)


def write_faces(folder: Path) -> Path:
    """Write a job over a folder of a good image and a damaged one, and return that folder."""
    faces = folder / "faces"
    faces.mkdir()
    PIL.Image.fromarray(PORTRAIT).save(faces / "good.png")
    (faces / "damaged.png").write_bytes((faces / "good.png").read_bytes()[:5000])
    write_job(folder / "job.yaml", dataset="{kind: folder, root: faces, size: 64}")
    return faces


def test_a_damaged_image_costs_its_own_rows(tmp_path: Path, call: Call) -> None:
    """Exit code 3, a reason in each of its rows, and its neighbour's rows as without it."""
    write_faces(tmp_path)
    ended = call("run", "job.yaml", "--address", "local")
    assert ended.code == 3
    assert "Error rows: 3 of 6." in ended.out
    stored = rows(tmp_path / "runs/demo")
    assert {(row["image"], row["status"]) for row in stored} == {("good.png", "ok"), ("damaged.png", "error")}
    reasons = {str(row["error"]) for row in stored if row["image"] == "damaged.png"}
    assert all(reason.startswith("damaged.png: the image is damaged: image file is truncated") for reason in reasons)
    assert call("report", "runs/demo").code == 3


def test_error_rows_are_tried_again_on_request(tmp_path: Path, call: Call) -> None:
    """A repaired file's rows stay errors until --retry-errors, which computes those alone and ends with code 0."""
    faces = write_faces(tmp_path)
    ended = call("run", "job.yaml", "--address", "local")
    assert (ended.code, "3 rows failed, 0 of them for a reason that may pass" in ended.out) == (3, True)
    PIL.Image.fromarray(PORTRAIT).save(faces / "damaged.png")
    ended = call("run", "job.yaml", "--address", "local", "--retry-transient")
    assert (ended.code, "nothing to compute" in ended.err) == (3, True)
    ended = call("run", "job.yaml", "--address", "local", "--retry-errors")
    assert (ended.code, "3 to compute" in ended.err, "failed" in ended.out) == (0, True, False)


def test_a_dry_run_tells_and_writes_nothing(copy: Path, call: Call) -> None:
    """Before the first run, after it and with a larger limit it says what is missing; no file comes, goes or changes."""
    before = files(copy)
    (copy / "empty").mkdir()
    write_job(copy / "empty/job.yaml", shard_size="3")
    told = call("run", str(copy / "empty/job.yaml"), "--dry-run", "--set", f"out={copy}/new")
    assert "would compute 12 images × settings in 2 of 2 shards" in told.out
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo")
    assert (told.code, "nothing to compute" in told.out) == (0, True)
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo", "--set", "dataset.limit=5")
    assert "would compute 3 images × settings in 1 of 3 shards" in told.out
    assert f"nothing was written to {copy}/runs/demo" in told.out
    assert {name: file for name, file in files(copy).items() if not name.startswith("empty")} == before
    assert not (copy / "new").exists()


def test_a_dry_run_refuses_what_a_run_would(copy: Path, call: Call) -> None:
    """A job that contradicts its directory is refused with the same words."""
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo", "--set", "shard_size=2")
    assert told.code == 2
    assert "shard_size is 2, but" in told.err


def test_a_report_can_be_made_again(demo: DemoRun, copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file comes back, and the same table."""
    shutil.rmtree(copy / "runs/demo/report")
    monkeypatch.chdir(copy)
    assert call("report", "runs/demo") == Finished(0, demo.finished.out, "")
    assert files(copy / "runs/demo").keys() == files(demo.out).keys()
    assert (copy / "runs/demo/report/table1.md").read_bytes() == (demo.out / "report/table1.md").read_bytes()


@pytest.mark.parametrize("out", [".", "missing", "job.yaml"])
def test_a_report_needs_a_run_directory(tmp_path: Path, call: Call, out: str) -> None:
    """Any other folder, a missing one and a file are named, and nothing is made."""
    write_job(tmp_path / "job.yaml")
    refused = call("report", out)
    assert refused.code == 2
    assert one_line(refused) == f"{out} is not a run directory: it has no index.json; `vcmbench run JOB.yaml` makes one"
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]
