"""Means over parts of a run's images."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from reading import readings_of
from report_browser import SHARD_SIZE, label_images
from synthetic_run import Row, fail, twelve_settings, write_run

from vcmbench.reports.image_labels import FACE_SIZE, UNKNOWN
from vcmbench.reports.slices import Slice, slices_csv
from vcmbench.reports.summary import summarise
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

IMAGES, PEOPLE = 72, 72


def spoil(row: Row) -> None:
    """Errors, missing values and infinities, each on images of its own; a codec that fails on every image."""
    if row["family"] == "copy" or (row["image"] == "image-003" and row["family"] == "jpeg"):
        fail(row, "encoder crashed")
    elif row["image"] == "image-005" and row["variant"] == "webp quality=0":
        row.update(nme_box=None, metric_errors=[("nme_box", "no face found")])
    elif row["image"] == "image-007" and row["family"] == "edge":
        row.update(psnr_rgb=math.inf)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Index]:
    """A run with labels, of which one shard is to come."""
    run, index = write_run(
        str(tmp_path_factory.mktemp("run")),
        twelve_settings(),
        images=IMAGES,
        people=PEOPLE,
        alter=spoil,
        missing_shards=[2],
    )
    label_images(run, IMAGES, PEOPLE)
    return run, index


def labelled(folder: Path, **labels: object) -> tuple[RunDirectory, Index]:
    """A small run whose images have these labels."""
    run, index = write_run(str(folder), twelve_settings()[:2], images=8, people=None)
    names = [f"image-{number:03d}" for number in range(8)]
    batch = pa.RecordBatch.from_pydict({"image": names, "identity": names, **labels})
    run.write_manifest(iter([batch]), SHARD_SIZE)
    return run, index


def names(slices: tuple[Slice, ...]) -> list[str]:
    """What the slices are called."""
    return [each.name for each in slices]


def test_labels_of_few_values_and_face_sizes_make_slices(run: tuple[RunDirectory, Index]) -> None:
    """Labels come in the manifest's order with their values sorted, then bands of face sizes; other labels have a note."""
    found = readings_of(*run).slices
    assert names(found.found) == [
        "gender: f",
        "gender: m",
        "gender: not known",
        "glasses: false",
        "glasses: true",
        "source face size: under 64 px",
        "source face size: 64 to under 128 px",
        "source face size: 128 to under 256 px",
        "source face size: 256 px and more",
        "source face size: not known",
    ]
    assert "remark: more than 8 values, so that there are no slices by it." in found.notes
    assert "camera: x for every image." in found.notes


def test_means_are_those_of_the_slice_s_share_of_the_common_support(run: tuple[RunDirectory, Index]) -> None:
    """Means and n equal those of pandas over the same rows, for every slice, setting and column."""
    directory, index = run
    rows = pd.concat([pd.read_parquet(directory.path(record.file)) for record in index.shards.values()])
    labels = pd.read_parquet(directory.path("manifest.parquet")).set_index("image")
    member: dict[str, Callable[[pd.DataFrame], pd.Series[bool]]] = {
        "gender: f": lambda table: table["gender"] == "f",
        "gender: not known": lambda table: table["gender"].isna(),
        "glasses: true": lambda table: table["glasses"],
        "source face size: 64 to under 128 px": lambda table: table["face_size"].between(64, 128, inclusive="left"),
    }
    slices = {each.name: each for each in readings_of(directory, index).slices.found}
    for column in ("bpp", "psnr_rgb", "nme_box", "face_detected"):
        values = rows[column].astype(float).replace([np.inf, -np.inf], np.nan)
        wide = rows.assign(value=values).pivot_table(index="image", columns="setting", values="value", dropna=False)
        common = wide.dropna(axis="columns", how="all").dropna(axis="index")
        for name, is_member in member.items():
            part = common[is_member(labels.loc[common.index])]
            found = slices[name].means[column]
            assert found.n == len(part)
            expected = part.mean().reindex([setting.key for setting in index.settings])
            np.testing.assert_allclose(found.mean, expected, rtol=1e-12)
    assert slices["gender: f"].images == int((labels["gender"] == "f")[labels["shard"] != 2].sum())


def test_the_slices_of_a_label_make_up_the_whole(run: tuple[RunDirectory, Index]) -> None:
    """Their numbers of images add up to the run's, and their weighted means to its mean."""
    summary = summarise(*run).table.to_pydict()
    slices = readings_of(*run).slices.found
    for label in ("gender", "glasses", FACE_SIZE):
        parts = [each for each in slices if each.label == label]
        for column in ("bpp", "psnr_y", "nme_box"):
            n = np.array([part.means[column].n for part in parts])
            means = np.array([part.means[column].mean for part in parts])
            expected = np.array(summary[f"{column}_mean"], np.float64)
            assert n.sum() == max(summary["common"] if column == "bpp" else summary[f"{column}_n"])
            np.testing.assert_allclose(n @ np.nan_to_num(means) / n.sum(), np.nan_to_num(expected), rtol=1e-12)


def test_intervals_cover_what_they_should_and_need_twenty_people(run: tuple[RunDirectory, Index]) -> None:
    """They are as wide as 1.96 standard errors on either side, and absent from slices of fewer than 20 people."""
    directory, index = run
    rows = pd.concat([pd.read_parquet(directory.path(record.file)) for record in index.shards.values()])
    labels = pd.read_parquet(directory.path("manifest.parquet")).set_index("image")
    slices = {each.name: each for each in readings_of(directory, index).slices.found}
    setting = index.settings[0]
    chosen = rows[rows["setting"] == setting.key].set_index("image")
    not_glasses = chosen[~labels.loc[chosen.index, "glasses"]]["psnr_rgb"].dropna().astype(float)
    low, high = slices["glasses: false"].means["psnr_rgb"].interval[0]
    assert high - low == pytest.approx(2 * 1.96 * not_glasses.std() / math.sqrt(len(not_glasses)), rel=0.15)
    assert slices["glasses: true"].means["psnr_rgb"].n < 20
    assert np.isnan(slices["glasses: true"].means["psnr_rgb"].interval).all()
    assert np.isnan(slices["glasses: false"].means["psnr_rgb"].interval[-1]).all()  # a setting that coded nothing


def test_an_interval_is_the_summary_s_where_a_slice_is_nearly_everything(tmp_path: Path) -> None:
    """The draws are the run's own: one image more or less moves an interval little."""
    run, index = write_run(str(tmp_path), twelve_settings()[:2], images=64, people=None)
    images = [f"image-{number:03d}" for number in range(64)]
    odd = [number == 5 for number in range(64)]
    run.write_manifest(iter([pa.RecordBatch.from_pydict({"image": images, "identity": images, "odd": odd})]), SHARD_SIZE)
    table = summarise(run, index).table
    found = readings_of(run, index).slices.found[0].means["psnr_rgb"]
    assert found.n == 63
    for place in range(2):
        ends = table["psnr_rgb_low"][place].as_py(), table["psnr_rgb_high"][place].as_py()
        assert found.interval[place] == pytest.approx(ends, abs=0.06 * (ends[1] - ends[0]) + 0.02)


def test_a_slice_of_few_images_is_told(tmp_path: Path) -> None:
    """Its means stay, with a warning that says how many images they are over."""
    run, index = labelled(tmp_path, side=["left"] * 7 + ["right"])
    found = readings_of(run, index).slices
    assert "side: right: n = 1, fewer than 10 images, which say little." in found.notes
    assert np.isfinite(found.found[1].means["psnr_rgb"].mean).all()


def test_labels_of_any_type_are_spelled(tmp_path: Path) -> None:
    """Flags, numbers, dictionaries and hostile words are values; lists are no labels."""
    run, index = labelled(
        tmp_path,
        flag=pa.array([True, False, None] * 2 + [True, False]),
        count=pa.array([10, 9, 9, 10, 10, 9, 9, 10]),
        word=pa.array(["<b>", "é", "<b>", "é", "<b>", "é", "<b>", None]).dictionary_encode(),
        nothing=pa.nulls(8, pa.string()),
        several=pa.array([["a"]] * 8),
    )
    found = readings_of(run, index).slices
    assert names(found.found) == [
        *("flag: false", "flag: true", f"flag: {UNKNOWN}"),
        *("count: 9", "count: 10"),
        *("word: <b>", "word: é", f"word: {UNKNOWN}"),
    ]
    assert "nothing: not known for every image." in found.notes


def test_there_are_at_most_sixteen_slices(tmp_path: Path) -> None:
    """A label that would make more is left out with a note; one that still fits is shown."""
    seven = ["a", "b", "c", "d", "e", "f", "g", "g"]
    run, index = labelled(tmp_path, one=seven, two=seven, three=seven, four=["x", "y"] * 4)
    found = readings_of(run, index).slices
    assert len(found.found) == 16
    assert {each.label for each in found.found} == {"one", "two", "four"}
    assert "three: left out, because more than 16 slices are not shown." in found.notes


def test_a_run_without_labels_or_results_has_no_slices(tmp_path: Path) -> None:
    """Neither an unlabelled data set nor a run that has only begun makes any."""
    run, index = write_run(str(tmp_path / "plain"), twelve_settings())
    assert readings_of(run, index).slices.found == ()
    run, index = write_run(str(tmp_path / "begun"), twelve_settings(), missing_shards=[0, 1, 2])
    label_images(run, 24, 5)
    assert readings_of(run, index).slices.found == ()


def test_a_slice_without_a_common_image_has_no_means(tmp_path: Path) -> None:
    """Where every image of it failed with one setting, n is 0 and nothing is made up."""
    run, index = write_run(
        str(tmp_path),
        twelve_settings()[:2],
        images=8,
        people=None,
        alter=lambda row: (
            fail(row, "crashed") if row["image"] > "image-005" and row["variant"] == "jpeg quality=20" else None
        ),
    )
    images = [f"image-{number:03d}" for number in range(8)]
    part = ["whole"] * 6 + ["broken"] * 2
    run.write_manifest(iter([pa.RecordBatch.from_pydict({"image": images, "identity": images, "part": part})]), SHARD_SIZE)
    broken = readings_of(run, index).slices.found[0]
    assert broken.name == "part: broken"
    assert broken.means["bpp"].n == 0
    assert np.isnan(broken.means["psnr_rgb"].mean).all()


def test_the_csv_has_every_mean(run: tuple[RunDirectory, Index]) -> None:
    """One row per slice, column and setting, empty where there is no value."""
    directory, index = run
    found = readings_of(directory, index).slices
    rows = list(csv.DictReader(io.StringIO(slices_csv(index, found))))
    assert len(rows) == len(found.found) * 12 * len(found.found[0].means)
    chosen = [row for row in rows if row["value"] == "f" and row["column"] == "psnr_rgb"]
    means = found.found[0].means["psnr_rgb"]
    assert [row["mean"] for row in chosen] == ["" if np.isnan(mean) else repr(float(mean)) for mean in means.mean]
    assert [int(row["n"]) for row in chosen] == [means.n] * 11 + [0]
