"""Two runs compared image by image, against an independent computation, and runs that cannot be compared."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from synthetic_run import METRICS, PSNR, Row, setting, write_run

from vcmbench.cli import commands
from vcmbench.interfaces import UsageError
from vcmbench.reports.compare import Comparison, Difference, compare_runs
from vcmbench.reports.compare_text import differing_provenance
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

IMAGES = 60
SETTINGS = [setting("jpeg", "quality", quality) for quality in (4, 10)]
Runs = tuple[tuple[RunDirectory, Index], tuple[RunDirectory, Index]]


def same_pixels(row: Row) -> None:
    """The pixels are the image's name."""
    row["source_hash"] = row["image"]


def improved(row: Row) -> None:
    """Two thirds of the images gain PSNR, the others lose; NME is as it was, a value is missing, a picture is another."""
    same_pixels(row)
    number = int(row["image"][-3:])
    row["psnr_rgb"] += 0.5 + 0.01 * (number % 7) if number % 3 else -0.2
    row["ssim_rgb"] = None if number == 4 else row["ssim_rgb"] - 0.01
    if number == 8:
        row["source_hash"] = "another picture"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run, and one of a variant, in other shards and with ten images more."""
    folder = tmp_path_factory.mktemp("runs")
    first = write_run(str(folder / "first"), SETTINGS, images=IMAGES, people=30, alter=same_pixels)
    other = write_run(str(folder / "other"), SETTINGS, images=IMAGES + 10, people=30, shard_size=9, alter=improved)
    return first, other


@pytest.fixture(scope="module")
def compared(runs: Runs) -> Comparison:
    """The comparison of both."""
    return compare_runs(*runs)


def of_column(comparison: Comparison, column: str, variant: str = "jpeg quality=4") -> Difference:
    """What a column of a setting comes to."""
    [found] = [each for each in comparison.settings[variant, variant] if each.column == column]
    return found


def values(run: tuple[RunDirectory, Index], column: str) -> pd.Series[float]:
    """A column of the lower quality by image, read by pandas."""
    rows = pd.concat([pd.read_parquet(run[0].path(record.file)) for record in run[1].shards.values()])
    return rows[rows["variant"] == "jpeg quality=4"].set_index("image")[column].astype(float)


@pytest.mark.parametrize("column", ["bpp", "psnr_rgb", "ssim_rgb", "nme_box", "face_detected", "memorability"])
def test_differences_are_those_of_the_same_images(runs: Runs, compared: Comparison, column: str) -> None:
    """Means, wins and losses equal pandas' over the images that have the same pixels and values in both runs."""
    both = pd.DataFrame({"first": values(runs[0], column), "other": values(runs[1], column)}).drop("image-008").dropna()
    found = of_column(compared, column)
    assert found.images == len(both) == IMAGES - 1 - (column == "ssim_rgb")
    assert found.first == pytest.approx(both["first"].mean())
    assert found.other == pytest.approx(both["other"].mean())
    gain = both["other"] - both["first"]
    if found.record.better:
        sign = 1 if found.record.better == "higher" else -1
        assert (found.better, found.worse) == ((sign * gain > 0).sum(), (sign * gain < 0).sum())
    else:
        assert found.better is None
    assert compared.other_pixels == 1


def test_a_verdict_needs_an_interval_that_leaves_out_0(runs: Runs, compared: Comparison) -> None:
    """More PSNR is better, less SSIM is worse, an equal NME is neither; the interval holds the difference."""
    assert [of_column(compared, column).verdict for column in ("psnr_rgb", "ssim_rgb", "nme_box")] == ["better", "worse", ""]
    found = of_column(compared, "psnr_rgb")
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.difference < found.high
    change = (values(runs[1], "psnr_rgb") - values(runs[0], "psnr_rgb")).drop("image-008").dropna()
    people = change.groupby([int(name[-3:]) % 30 for name in change.index]).mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * people.std() / math.sqrt(len(people)), rel=0.15)


def test_pairs_of_other_settings_can_be_compared(runs: Runs) -> None:
    """A named pair is compared alone; a setting that a run lacks is named with those that it has."""
    found = compare_runs(*runs, [("jpeg quality=4", "jpeg quality=10")])
    assert list(found.settings) == [("jpeg quality=4", "jpeg quality=10")]
    with pytest.raises(UsageError, match=r"'jpeg quality=5' is no setting of that run; its settings are: jpeg quality=4"):
        compare_runs(*runs, [("jpeg quality=4", "jpeg quality=5")])


def _other_metric(folder: Path) -> tuple[RunDirectory, Index]:
    return write_run(str(folder), SETTINGS, [PSNR.model_copy(update={"key": "psnr-2"}), *METRICS[1:]], alter=same_pixels)


def _other_pixels(folder: Path) -> tuple[RunDirectory, Index]:
    return write_run(str(folder), SETTINGS, alter=lambda row: row.update(source_hash="x"))


def _other_settings(folder: Path) -> tuple[RunDirectory, Index]:
    return write_run(str(folder), [setting("webp", "quality", 4)], alter=same_pixels)


def _no_images(folder: Path) -> tuple[RunDirectory, Index]:
    return write_run(str(folder), SETTINGS, missing_shards=[0, 1, 2], alter=same_pixels)


REFUSED: Mapping[str, tuple[Callable[[Path], tuple[RunDirectory, Index]], str]] = {
    "another metric": (_other_metric, r"measure psnr differently .*provenance"),
    "other pixels": (_other_pixels, r"24 images, all with other pixels in common"),
    "other settings": (_other_settings, r"no setting in common"),
    "no images": (_no_images, r"no image in common"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_runs_that_cannot_be_compared_are_refused(
    runs: Runs, tmp_path: Path, make: Callable[[Path], tuple[RunDirectory, Index]], words: str
) -> None:
    """Another way of measuring, other pixels, other settings or no image in common are said, with the remedy."""
    with pytest.raises(UsageError, match=words):
        compare_runs(runs[0], make(tmp_path / "other"))


def test_few_people_have_no_interval(tmp_path: Path) -> None:
    """With five identities differences are told without an interval and without a verdict."""
    one, other = (
        write_run(str(tmp_path / name), SETTINGS, alter=alter) for name, alter in (("a", same_pixels), ("b", improved))
    )
    found = of_column(compare_runs(one, other), "psnr_rgb")
    assert (found.low, found.high, found.verdict) == (None, None, "")


def test_the_command_prints_a_table_and_writes_csv(runs: Runs, tmp_path: Path) -> None:
    """Every difference is printed with its verdict, and written in full precision; other provenance is listed."""
    runs[1][0].write_provenance({**runs[1][0].read_provenance(), "vcmbench": "0.2.0"})
    file = tmp_path / "differences.csv"
    result = CliRunner().invoke(commands, ["compare", *(run.url for run, _ in runs), "--csv", str(file)])
    assert result.exit_code == 0, result.output
    assert "59 images of both runs" in result.output
    assert "vcmbench: 0.1.0 → 0.2.0" in result.output
    [line] = [line for line in result.output.splitlines() if "PSNR RGB" in line][:1]
    assert line.endswith("better")
    with file.open() as text:
        rows = {(row["other_setting"], row["column"]): row for row in csv.DictReader(text)}
    found = of_column(compare_runs(*runs), "psnr_rgb")
    assert float(rows["jpeg quality=4", "psnr_rgb"]["difference"]) == found.difference
    assert np.isclose(float(rows["jpeg quality=4", "psnr_rgb"]["low"]), found.low or np.nan)


def test_differing_provenance_is_told_key_by_key() -> None:
    """Changed, new and missing keys are named with both values; equal ones are not."""
    one = {"libraries": {"Pillow": "13.0.0", "torch": "2"}, "gpus": []}
    other = {"libraries": {"Pillow": "13.1.0", "onnx": "1"}, "gpus": []}
    assert differing_provenance(one, other) == [
        "libraries.Pillow: 13.0.0 → 13.1.0",
        "libraries.torch: 2 → none",
        "libraries.onnx: none → 1",
    ]
