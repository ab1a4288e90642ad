"""Contact sheets as files that come and go with the job's leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
from click.testing import CliRunner
from jobs import write_job
from runs import SIZE, write_images
from shown_images import FIGURES, figures, opened, run_two_curves, showing_from
from synthetic_run import fail, twelve_settings, write_run

from vcmbench.cli import commands
from vcmbench.config.job import load_job
from vcmbench.interfaces import UsageError
from vcmbench.reports.page import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of eight images and two curves."""
    folder = tmp_path_factory.mktemp("sheets")
    run_two_curves(folder)
    return folder


def test_figures_come_and_go_with_the_jobs_leave(folder: Path) -> None:
    """Contact sheets are written where the job shows images, and deleted when it does not any more."""
    run, index = opened(folder)
    write_report(run, index, showing=showing_from(folder / "images"))
    assert figures(folder) == FIGURES
    write_report(run, index)
    assert figures(folder) == set()


def test_a_run_of_errors_has_sheets_of_reasons(tmp_path: Path) -> None:
    """Where nothing was coded, nothing is compared, and the tiles say why."""
    run, index = write_run(str(tmp_path / "run"), twelve_settings(), images=2, alter=lambda row: fail(row, "crashed"))
    warnings: list[str] = []
    write_report(run, index, showing=showing_from(tmp_path, warnings))
    assert figures(tmp_path) == FIGURES
    assert "figure: edge points=122: failed in the run: crashed (pictures: 2)" in warnings
    assert 'id="images-title"' not in (tmp_path / "run/report/index.html").read_text(encoding="utf-8")


def test_a_run_that_has_only_begun_has_no_sheet(tmp_path: Path) -> None:
    """Without a complete shard there is no image to show, and no figure of an earlier report stays."""
    run, index = write_run(str(tmp_path / "run"), twelve_settings(), images=2, missing_shards=[0])
    run.write("report/figures/contact_sheet.png", b"of an earlier report")
    write_report(run, index, showing=showing_from(tmp_path))
    assert figures(tmp_path) == set()


def test_chosen_images_and_settings_are_on_the_sheet(folder: Path) -> None:
    """The sheet is as wide as the settings and as high as the images that the job names; a wrong name is told."""
    run, index = opened(folder)
    warnings: list[str] = []
    showing = showing_from(folder / "images", warnings)
    sizes = []
    for names in (("000.png",), ("000.png", "nobody.png")):
        write_report(run, index, showing=replace(showing, image_names=names, settings=("webp quality=30",)))
        with PIL.Image.open(folder / "run/report/figures/contact_sheet.png") as sheet:
            sizes.append(sheet.size)
    assert sizes[0][0] < 2 * 170 <= sizes[1][1]
    assert warnings == [
        "figure: original: the run has no image of this name (pictures: 1)",
        "figure: webp quality=30: the run has no result of this image yet (pictures: 1)",
    ]


def test_the_command_line_shows_images_where_the_job_says_so(tmp_path: Path) -> None:
    """`run` and `report` write the figures, and warn of what is not as stored; a setting that is none is refused."""
    write_images(tmp_path / "images", 3)
    keys = {
        "dataset": f"{{kind: folder, root: {tmp_path / 'images'}, size: {SIZE}}}",
        "codecs": "[jpeg: {quality: [10, 60]}, webp: {quality: [0, 60]}]",
        "metrics": "[psnr_y]",
        "out": str(tmp_path / "run"),
    }
    job = write_job(tmp_path / "job.yaml", **keys, report="{images: true}")
    done = CliRunner().invoke(commands, ["run", str(job), "--address", "local"], standalone_mode=False)
    assert (done.exception, "warning" in done.stderr) == (None, False)
    assert figures(tmp_path) == FIGURES
    write_images(tmp_path / "images", 3, marked=[1])
    again = CliRunner().invoke(commands, ["report", str(tmp_path / "run")], standalone_mode=False)
    assert "warning: figure: original: the image is not the one that was coded (pictures: 1)" in again.stderr
    wrong = write_job(tmp_path / "wrong.yaml", **keys, report="{settings: [gif]}")
    with pytest.raises(UsageError, match=r"report.settings: 'gif' is no setting of this job; its settings are: jpeg"):
        load_job(wrong)
