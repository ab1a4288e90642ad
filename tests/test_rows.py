"""Rows of results, fresh and merged with what was stored."""

from __future__ import annotations

from synthetic_run import setting

from vcmbench.interfaces import Missing, Value
from vcmbench.pipeline.coding import Coded, Failure
from vcmbench.pipeline.rows import Row, differing_settings, make_row, merge_rows

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


def test_a_setting_that_gains_no_column_is_replaced_whole() -> None:
    """Rows of a setting outside `gained` are the fresh ones."""
    stored, fresh = row(psnr=30.0), row(psnr=31.0)
    assert merge_rows([stored], [fresh], {}) == [fresh]


def test_other_bytes_or_pixels_or_status_make_a_setting_differ() -> None:
    """A setting differs when a row that was coded before has another hash or status; new rows do not count."""
    other = Coded(1024, 2.0, 1.0, "b", "other")
    assert differing_settings([row()], [row()]) == set()
    assert differing_settings([], [row()]) == set()
    assert differing_settings([row()], [row(other)]) == {JPEG.key}
    assert differing_settings([row()], [row(Failure("died"))]) == {JPEG.key}
