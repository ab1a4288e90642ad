"""Which images are listed as the best and the worst of a curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reading import readings_of
from synthetic_run import METRICS, Row, setting, write_run

from vcmbench.reports.grid import open_grid
from vcmbench.reports.image_report import report_images
from vcmbench.reports.page import write_report
from vcmbench.reports.readings import read_columns


def test_missing_and_infinite_values_are_not_ranked() -> None:
    """No image is listed without a finite value with both settings, none where they are equal, and none in both lists."""
    settings = [setting("jpeg", "quality", 10), setting("webp", "quality", 10)]

    def spoil(row: Row) -> None:
        if row["image"] == "image-003":
            row["psnr_rgb"] = float("nan")
        if row["image"] == "image-004" and row["family"] == "webp":
            row["psnr_rgb"] = float("inf")
        row["face_detected"] = True

    run, index = write_run("memory://ranking", settings, METRICS[:3:2], images=7, alter=spoil)
    by_column = {each.column: each for each in readings_of(run, index, "jpeg").rankings["webp"]}
    psnr = by_column["psnr_rgb"]
    assert psnr.images == 5
    listed = [each.image for each in (*psnr.best, *psnr.worst)]
    assert len(listed) == len(set(listed)) == 5
    assert {3, 4}.isdisjoint(listed)
    gains = [each.value - each.anchor_value for each in (*psnr.best, *psnr.worst[::-1])]
    assert gains == sorted(gains, reverse=True)
    equal = by_column["face_detected"]
    assert (equal.images, equal.best, equal.worst) == (7, (), ())


@pytest.mark.parametrize(("lost", "won"), [((0, 4), (2,)), ((1,), ()), ((), (0, 1, 2))])
def test_of_a_flag_only_changes_are_listed(lost: tuple[int, ...], won: tuple[int, ...]) -> None:
    """Images that lose the property are the worst, those that gain it the best, and the others are in no list."""
    settings = [setting("jpeg", "quality", 10), setting("webp", "quality", 10)]

    def spoil(row: Row) -> None:
        number = int(row["image"][-3:])
        row["face_detected"] = number not in (lost if row["family"] == "webp" else won)

    run, index = write_run(f"memory://flag-{lost}", settings, images=7, alter=spoil)
    rankings = readings_of(run, index, "jpeg").rankings["webp"]
    [ranking] = [each for each in rankings if each.column == "face_detected"]
    assert {each.image for each in ranking.worst} == set(lost)
    assert {each.image for each in ranking.best} == set(won)


def test_fifty_at_either_end_are_the_extremes() -> None:
    """Of many images the lists hold the 50 highest and the 50 lowest gains, also where lower values are better."""
    settings = [setting("jpeg", "quality", 10), setting("webp", "quality", 10)]
    run, index = write_run("memory://fifty", settings, images=300, shard_size=100)
    by_column = {each.column: each for each in readings_of(run, index, "jpeg").rankings["webp"]}
    with open_grid(run, index) as grid:
        for column, sign in (("ssim_rgb", 1), ("nme_box", -1)):
            jpeg, webp = grid.values(column)
            order = np.argsort(sign * (jpeg - webp))
            assert [each.image for each in by_column[column].best] == order[:50].tolist()
            assert [each.image for each in by_column[column].worst] == order[::-1][:50].tolist()
    assert "memorability" not in by_column


def test_of_many_curves_the_first_are_listed(tmp_path: Path) -> None:
    """Twelve curves are ranked, in the job's order, and a note says of how many."""
    settings = [setting(f"codec{number}", "quality", 10) for number in range(20)]
    run, index = write_run(str(tmp_path), settings, images=3, shard_size=3)
    with open_grid(run, index) as grid:
        section = report_images(run, index, grid, read_columns(run, index, grid, "codec0"), None)
    assert section is not None
    assert [meeting["curve"] for meeting in section.data["meetings"]] == [f"codec{number}" for number in range(1, 13)]
    assert "The first 12 of 19 curves are listed." in section.notes


def test_curves_far_apart_meet_with_a_note(tmp_path: Path) -> None:
    """Where no two settings have about the same rate, the rates of both are told."""
    settings = [setting("jpeg", "quality", 1), setting("webp", "quality", 100)]
    run, index = write_run(str(tmp_path), settings, images=3, shard_size=3)
    with open_grid(run, index) as grid:
        section = report_images(run, index, grid, read_columns(run, index, grid, "jpeg"), None)
    assert section is not None
    assert "webp meets the anchor at" in section.notes[0]


def test_a_single_curve_has_no_list(tmp_path: Path) -> None:
    """Without another curve there is nothing to compare, and the page has no such section."""
    run, index = write_run(str(tmp_path), [setting("jpeg", "quality", quality) for quality in (4, 10)], images=3)
    write_report(run, index)
    assert 'id="images-title"' not in (tmp_path / "report/index.html").read_text(encoding="utf-8")
