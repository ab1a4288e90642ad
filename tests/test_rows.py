"""Rows of results, fresh and merged with what was stored."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_run import setting

from vcmbench.interfaces import Missing, Value
from vcmbench.pipeline.coding import Coded, Failure
from vcmbench.pipeline.rows import (
    LONGEST_REASON,
    Row,
    differing_settings,
    make_row,
    merge_rows,
    not_deterministic,
    without_superseded,
)
from vcmbench.results import row_schema, table_of

JPEG = setting("jpeg", "quality", 4)
IMAGE = {"image": "a.png", "identity": "n1"}
CODED = Coded(bytes=1024, encode_ms=2.0, decode_ms=1.0, bitstream_hash="b", decoded_hash="d")


def row(outcome: Coded | Failure = CODED, **scores: Value) -> Row:
    return make_row(IMAGE, 64, "grey to RGB", JPEG, outcome, scores)


def test_bits_per_pixel_count_the_whole_bitstream() -> None:
    """1,024 bytes on 64×64 pixels are 2 bits per pixel."""
    assert row()["bpp"] == 2.0


def test_a_missing_value_is_null_and_keeps_its_reason() -> None:
    """A metric that has no value leaves its column out and its reason in `metric_errors`."""
    fresh = row(psnr=30.0, nme=Missing("no face"))
    assert fresh["psnr"] == 30.0
    assert "nme" not in fresh
    assert fresh["metric_errors"] == [("nme", "no face")]


def test_an_error_row_has_its_reason_and_no_value() -> None:
    """A failure keeps the row, with neither bytes nor metrics."""
    fresh = row(Failure("its process died"), psnr=30.0)
    assert (fresh["status"], fresh["error"]) == ("error", "its process died")
    assert not {"psnr", "bytes", "bpp", "bitstream_hash"} & set(fresh)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("caf\udce9", "caf?"), (ValueError("no face"), "no face"), ("x" * 5000, "x" * LONGEST_REASON)],
    ids=["not Unicode", "not text", "long"],
)
def test_any_reason_can_be_stored(given: Any, kept: str) -> None:
    """What a plug-in gives for a reason becomes valid text of bounded length, which a Parquet column can hold."""
    rows = [row(Failure(given)), row(psnr=Missing(given))]
    failed, missing = table_of(rows, row_schema({})).to_pylist()
    assert failed["error"] == kept
    assert missing["metric_errors"] == [("psnr", kept)]


def test_merging_adds_a_column_and_touches_nothing_else() -> None:
    """A metric that is scored later joins the stored row; other values, even times, stay those that were stored."""
    stored = row(psnr=30.0)
    slower = Coded(1024, 99.0, 99.0, "b", "d")
    fresh = row(slower, psnr=-1.0, ssim=0.9)
    assert merge_rows([stored], [fresh], {JPEG.key: ["ssim"]}) == [{**stored, "ssim": 0.9}]


def test_merging_replaces_a_stale_value_and_its_reason() -> None:
    """What is scored anew replaces the old value, and an old reason goes with the old value."""
    stored = row(psnr=30.0, nme=Missing("no face"), ssim=Missing("too small"))
    [merged] = merge_rows([stored], [row(nme=0.02)], {JPEG.key: ["nme"]})
    assert merged["nme"] == 0.02
    assert merged["metric_errors"] == [("ssim", "too small")]
    [merged] = merge_rows([stored], [row(nme=Missing("still none"))], {JPEG.key: ["nme"]})
    assert merged["nme"] is None
    assert merged["metric_errors"] == [("ssim", "too small"), ("nme", "still none")]


def test_merging_keeps_a_row_that_cannot_be_coded_again() -> None:
    """What was measured stays when the image cannot be read any more; only the new column is null, with the reason."""
    [merged] = merge_rows([row(psnr=30.0)], [row(Failure("no such file"))], {JPEG.key: ["ssim"]})
    assert (merged["status"], merged["psnr"], merged["ssim"]) == ("ok", 30.0, None)
    assert merged["metric_errors"] == [("ssim", "no such file")]


def test_a_setting_that_gains_no_column_is_replaced_whole() -> None:
    """Rows of a setting outside `gained` are the fresh ones."""
    stored, fresh = row(psnr=30.0), row(psnr=31.0)
    assert merge_rows([stored], [fresh], {}) == [fresh]


def test_other_bytes_or_pixels_or_status_make_a_setting_differ() -> None:
    """A setting differs when a row has another hash, or was an error; new rows and those that fail now do not count."""
    other = Coded(1024, 2.0, 1.0, "b", "other")
    assert differing_settings([row()], [row()]) == set()
    assert differing_settings([], [row()]) == set()
    assert differing_settings([row()], [row(other)]) == {JPEG.key}
    assert differing_settings([row(Failure("died"))], [row()]) == {JPEG.key}
    assert differing_settings([row()], [row(Failure("died"))]) == set()


def test_only_what_was_coded_twice_can_be_found_not_deterministic() -> None:
    """Other bytes or pixels tell; a failure before or now, such as a file that could not be read, does not."""
    other = Coded(1024, 2.0, 1.0, "other", "d")
    assert not_deterministic([row()], [row(other)]) == {JPEG.key}
    assert not_deterministic([row()], [row(Failure("died"))]) == set()
    assert not_deterministic([row(Failure("died"))], [row()]) == set()


def test_rows_of_a_variants_former_key_are_superseded() -> None:
    """A variant that is coded by another version has new rows instead of more rows; other variants keep theirs."""
    other = row() | {"setting": "webp", "variant": "webp quality=10"}
    newer = JPEG.model_copy(update={"key": "jpeg by a newer library"})
    assert without_superseded([row(), other], [JPEG]) == [row(), other]
    assert without_superseded([row(), other], [newer]) == [other]
