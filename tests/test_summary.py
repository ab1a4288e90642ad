"""The summary of a run: one row per setting, means over the images that can be compared."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic_run import LANDMARKS, METRICS, PSNR, SSIM, WRITER, Row, fail, setting, twelve_settings, write_run

from vcmbench.interfaces import UsageError
from vcmbench.reports.summary import Failure, Summary, numeric_columns, store, summarise
from vcmbench.results import SUMMARY, RunDirectory
from vcmbench.run_index import Index

CODING = ("bpp", "bytes", "encode_ms", "decode_ms")
JPEG = [setting("jpeg", "quality", quality) for quality in (4, 10)]


def read_rows(run: RunDirectory, index: Index) -> pd.DataFrame:
    """The rows that the index names, of the settings it asks for, read without DuckDB."""
    stored = pd.concat([pd.read_parquet(run.path(record.file)) for record in index.shards.values()])
    return stored[stored["setting"].isin([each.key for each in index.settings])]


def finite(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    """A column's values, without those that are not finite."""
    return rows[column].astype(float).replace([np.inf, -np.inf], np.nan)


def compared(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Image × setting values of a column's common support."""
    values = finite(rows, column).where(rows["status"] == "ok")
    wide = rows.assign(value=values).pivot_table(index="image", columns="setting", values="value", dropna=False)
    return wide.dropna(axis="columns", how="all").dropna(axis="index")


def spoil(row: Row) -> None:
    """Errors of one codec, missing values, NaN and infinity, each on images of its own."""
    if row["image"] in {"image-003", "image-013"} and row["family"] == "jpeg":
        fail(row, "encoder crashed")
    if row["image"] == "image-005" and row["variant"] == "webp quality=0":
        row.update(nme_box=None, face_detected=False, metric_errors=[("nme_box", "no face found")])
    if row["image"] == "image-007" and row["family"] == "edge":
        row.update(psnr_rgb=math.nan)
    if row["image"] == "image-009" and row["family"] == "copy":
        row.update(psnr_y=math.inf)


def assert_same(summary: Summary, other: Summary) -> None:
    """Fail unless two summaries' tables are equal, but for the order in which numbers were added up."""
    pd.testing.assert_frame_equal(summary.table.to_pandas(), other.table.to_pandas(), rtol=1e-12)


def records(run: RunDirectory, index: Index) -> dict[str, dict[str, Any]]:
    """Variant → the setting's row of the summary."""
    return {row["variant"]: row for row in summarise(run, index).table.to_pylist()}


def test_every_number_equals_one_recomputed_with_pandas(tmp_path: Path) -> None:
    """Counts, means, deviations, medians and coverages are those of an independent computation on the same files."""
    run, index = write_run(str(tmp_path), twelve_settings(), alter=spoil)
    table = summarise(run, index).table.to_pandas().set_index("setting")
    rows = read_rows(run, index)
    by_setting = rows.groupby("setting")
    assert table["images"].to_dict() == by_setting.size().to_dict()
    assert table["errors"].to_dict() == by_setting["status"].agg(lambda status: (status == "error").sum()).to_dict()
    for column in (*CODING, *numeric_columns(index)):
        values = compared(rows, column)
        expected = pd.DataFrame({"mean": values.mean(), "std": values.std(), "median": values.median()}).reindex(table.index)
        for statistic in expected:
            if f"{column}_{statistic}" in table:
                np.testing.assert_allclose(table[f"{column}_{statistic}"], expected[statistic], rtol=1e-12)
        if column not in CODING:
            coverage = finite(rows, column).notna().groupby(rows["setting"]).mean()
            np.testing.assert_allclose(table[f"{column}_coverage"], coverage.reindex(table.index))
            assert set(table[f"{column}_n"]) == {len(values)}
    assert set(table["common"]) == {len(compared(rows, "bpp"))} == {22}


def test_rows_describe_the_settings_in_the_order_of_the_index(tmp_path: Path) -> None:
    """Each row has its setting's words, and its rate parameter's value or null."""
    run, index = write_run(str(tmp_path), twelve_settings())
    table = summarise(run, index).table
    for name in ("family", "curve", "variant", "rate_parameter"):
        assert table[name].to_pylist() == [getattr(each, name) for each in index.settings]
    assert table["setting"].to_pylist() == [each.key for each in index.settings]
    assert table["rate"].to_pylist() == [40, 20, 10, 4, 0, 10, 30, 60, 0, 15, 122, None]


def test_a_missing_value_narrows_its_own_column_only(tmp_path: Path) -> None:
    """An image without one metric's value for one setting is left out of that column for every setting, and of no other."""
    run, index = write_run(str(tmp_path), JPEG, alter=_without_psnr_of_one_image)
    for row in records(run, index).values():
        assert (row["common"], row["psnr_rgb_n"], row["psnr_y_n"]) == (24, 23, 24)
    assert records(run, index)["jpeg quality=4"]["psnr_rgb_coverage"] == 23 / 24
    assert records(run, index)["jpeg quality=10"]["psnr_rgb_coverage"] == 1


def _without_psnr_of_one_image(row: Row) -> None:
    if (row["image"], row["variant"]) == ("image-001", "jpeg quality=4"):
        row["psnr_rgb"] = math.nan


def test_a_flag_has_its_share_of_true_and_a_word_no_mean(tmp_path: Path) -> None:
    """The mean of a boolean column is the share of true; string columns are not summarised."""
    run, index = write_run(str(tmp_path), JPEG)
    rows = read_rows(run, index)
    for row in records(run, index).values():
        assert row["face_detected_mean"] == pytest.approx(rows[rows["setting"] == row["setting"]]["face_detected"].mean())
        assert not [name for name in row if name.startswith("detector")]


def test_a_setting_that_always_fails_leaves_the_others_comparable(tmp_path: Path) -> None:
    """It has no means, the others keep theirs over every image, and a note names it."""
    run, index = write_run(str(tmp_path), [*JPEG, setting("edge")], alter=_fail_edge)
    failed = records(run, index)["edge"]
    assert (failed["images"], failed["errors"], failed["common"]) == (24, 24, 0)
    assert (failed["bpp_mean"], failed["psnr_rgb_mean"], failed["psnr_rgb_coverage"]) == (None, None, 0)
    without = index.model_copy(update={"settings": tuple(JPEG)})
    summary = summarise(run, index)
    assert_same(replace(summary, table=summary.table.slice(0, 2)), summarise(run, without))
    assert summary.notes == ("No image could be coded with edge: left out of the common support.",)


def _fail_edge(row: Row) -> None:
    if row["family"] == "edge":
        fail(row, "crashed")


def test_a_setting_without_any_value_of_a_metric_is_left_out_of_that_column(tmp_path: Path) -> None:
    """The other settings keep the column's mean over every image, and a note names column and setting."""
    run, index = write_run(str(tmp_path), JPEG, alter=_without_nme_at_quality_4)
    low, high = records(run, index).values()
    assert (low["nme_box_mean"], low["nme_box_n"], low["nme_box_coverage"]) == (None, 0, 0)
    assert (high["nme_box_n"], low["psnr_rgb_n"]) == (24, 24)
    assert summarise(run, index).notes == (
        "Landmark NME: no image has a value with jpeg quality=4, left out of this column's common support.",
    )


def _without_nme_at_quality_4(row: Row) -> None:
    if row["variant"] == "jpeg quality=4":
        row["nme_box"] = None


def test_an_empty_common_support_is_said(tmp_path: Path) -> None:
    """Where no image is coded by every setting, the means are null and a note says why."""
    run, index = write_run(str(tmp_path), JPEG, images=2, alter=_one_image_each)
    assert [row["bpp_mean"] for row in records(run, index).values()] == [None, None]
    assert summarise(run, index).notes[0] == "No image was coded with every other setting, so the common support is empty."


def _one_image_each(row: Row) -> None:
    if (row["image"], row["variant"]) in {("image-000", "jpeg quality=4"), ("image-001", "jpeg quality=10")}:
        fail(row, "crashed")


def test_a_metric_without_any_value_is_said_once(tmp_path: Path) -> None:
    """A column that is null everywhere has no means, and one note."""
    run, index = write_run(str(tmp_path), JPEG, alter=lambda row: row.update(nme_box=None))
    assert [row["nme_box_mean"] for row in records(run, index).values()] == [None, None]
    assert summarise(run, index).notes == ("Landmark NME: no image has a value.",)


def test_one_image_has_a_mean_and_no_deviation(tmp_path: Path) -> None:
    """A sample of one has its own value as mean and a null standard deviation."""
    run, index = write_run(str(tmp_path), JPEG[:1], images=1)
    (row,) = records(run, index).values()
    assert row["psnr_rgb_mean"] == read_rows(run, index)["psnr_rgb"].iloc[0]
    assert row["psnr_rgb_std"] is None


def test_a_partial_run_counts_its_complete_shards_only(tmp_path: Path) -> None:
    """Images of shards that are still to be computed are in no count."""
    run, index = write_run(str(tmp_path), JPEG, missing_shards=[1])
    summary = summarise(run, index)
    assert (summary.complete_shards, summary.total_shards, summary.images, summary.common) == (2, 3, 16, 16)


def test_shards_that_lack_a_metric_asked_for_are_not_read(tmp_path: Path) -> None:
    """A shard scored before a metric was added to the job is incomplete until it is scored again."""
    run, index = write_run(str(tmp_path), JPEG, metrics=[PSNR])
    summary = summarise(run, index.model_copy(update={"metrics": (PSNR, SSIM)}))
    assert (summary.complete_shards, summary.images, summary.identities, summary.notes) == (0, 0, 0, ())
    assert summary.table["ssim_rgb_mean"].to_pylist() == [None, None]


def test_a_setting_no_longer_asked_for_is_ignored(tmp_path: Path) -> None:
    """Stored rows of another setting change nothing, even where it failed on every image."""
    clean = summarise(*write_run(str(tmp_path / "clean"), JPEG))
    run, index = write_run(str(tmp_path / "run"), JPEG, hidden=[setting("edge")], alter=_fail_edge)
    assert "edge" in run.read_shard(index.shards[0].file)["family"].to_pylist()
    assert_same(summarise(run, index), clean)
    assert summarise(run, index).failures == ()


def test_a_file_that_the_index_does_not_name_is_ignored(tmp_path: Path) -> None:
    """A later generation in the folder is not read before the index names it."""
    run, index = write_run(str(tmp_path), JPEG)
    before = summarise(run, index)
    run.write_shard(0, 2, run.read_shard(index.shards[0].file).slice(0, 3), WRITER)
    assert_same(summarise(run, index), before)


def test_shards_of_different_ages_are_read_together(tmp_path: Path) -> None:
    """A shard whose columns stand in another order, and that has one of a metric no longer asked for, reads the same."""
    run, index = write_run(str(tmp_path), JPEG)
    before = summarise(run, index)
    rows = run.read_shard(index.shards[0].file)
    older = rows.select(rows.column_names[::-1]).append_column("dropped", rows["bpp"])
    assert run.write_shard(0, 1, older, WRITER) == index.shards[0].file
    assert_same(summarise(run, index), before)


@pytest.mark.parametrize("name", ["plain", "run [1]* it's {a,b}?"])
def test_a_run_anywhere_has_the_same_summary(tmp_path: Path, name: str) -> None:
    """Local and remote file systems give the same numbers, whatever the directory is called."""
    local = summarise(*write_run(str(tmp_path / name), twelve_settings(), alter=spoil))
    remote = summarise(*write_run(f"memory://{tmp_path.name}/{name}", twelve_settings(), alter=spoil))
    assert_same(remote, local)
    assert remote.failures == local.failures


def test_reasons_are_counted_and_the_most_frequent_come_first(tmp_path: Path) -> None:
    """Error rows count by their reason, null values of coded images by column and reason."""
    run, index = write_run(str(tmp_path), twelve_settings(), alter=spoil)
    assert summarise(run, index).failures == (Failure(None, "encoder crashed", 8), Failure("nme_box", "no face found", 1))


def test_no_more_than_twenty_reasons_are_kept(tmp_path: Path) -> None:
    """A run whose every row fails in its own way is summarised by twenty reasons."""
    run, index = write_run(str(tmp_path), JPEG, alter=lambda row: fail(row, f"crashed on {row['image']}"))
    assert [failure.rows for failure in summarise(run, index).failures] == [2] * 20


@pytest.mark.parametrize("damage", [b"", b"not Parquet at all", None])
def test_results_that_cannot_be_read_are_a_clear_error(tmp_path: Path, damage: bytes | None) -> None:
    """An empty, foreign or lost result file is reported in one sentence that names the run and the remedy."""
    run, index = write_run(str(tmp_path), JPEG)
    if damage is None:
        Path(run.path(index.shards[0].file)).unlink()
    else:
        run.write(index.shards[0].file, damage)
    with pytest.raises(UsageError, match=r"the results of .* cannot be read: .*shard-000000.*delete it"):
        summarise(run, index)


def test_a_truncated_result_file_is_a_clear_error(tmp_path: Path) -> None:
    """A file cut anywhere is reported, not summarised in part."""
    run, index = write_run(str(tmp_path), JPEG, METRICS)
    data = run.read(index.shards[0].file)
    for length in range(0, len(data), len(data) // 7):
        run.write(index.shards[0].file, data[:length])
        with pytest.raises(UsageError, match="cannot be read"):
            summarise(run, index)


def test_a_job_without_settings_or_metrics_has_an_empty_summary(tmp_path: Path) -> None:
    """Nothing asked for gives a table without rows, or without metric columns."""
    run, index = write_run(str(tmp_path), JPEG, metrics=[])
    assert summarise(run, index).table.column_names[-1] == "decode_ms_high"
    assert summarise(run, index.model_copy(update={"settings": ()})).table.num_rows == 0


def test_the_stored_summary_is_the_summary(tmp_path: Path) -> None:
    """`summary.parquet` reads back as the table."""
    run, index = write_run(str(tmp_path), JPEG, metrics=[PSNR, LANDMARKS])
    summary = summarise(run, index)
    store(run, summary)
    assert pd.read_parquet(run.path(SUMMARY)).equals(summary.table.to_pandas())
