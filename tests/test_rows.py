"""Rows of results, fresh and merged with what was stored."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_run import setting

from vcmbench.interfaces import Missing, Value
from vcmbench.pipeline.coding import Coded, Failure, Loaded
from vcmbench.pipeline.rows import (
    LONGEST_TEXT,
    Row,
    count_failed,
    failed,
    make_row,
    merge_rows,
    not_deterministic,
    recovered,
    replaced_images,
    retry_rows,
    without_superseded,
)
from vcmbench.results import row_schema, table_of

JPEG = setting("jpeg", "quality", 4)
IMAGE = {"image": "a.png", "identity": "n1"}
LOADED = Loaded(box=None, note="grey to RGB", source_hash="s")
CODED = Coded(bytes=1024, encode_ms=2.0, decode_ms=1.0, bitstream_hash="b", decoded_hash="d")


def row(outcome: Coded | Failure = CODED, **scores: Value) -> Row:
    return make_row(IMAGE, 64, LOADED, JPEG, outcome, scores)


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
    [("caf\udce9", "caf?"), (ValueError("no face"), "no face"), ("x" * 5000, "x" * LONGEST_TEXT)],
    ids=["not Unicode", "not text", "long"],
)
def test_any_reason_can_be_stored(given: Any, kept: str) -> None:
    """What a plug-in gives for a reason becomes valid text of bounded length, which a Parquet column can hold."""
    rows = [row(Failure(given)), row(psnr=Missing(given))]
    error, missing = table_of(rows, row_schema({})).to_pylist()
    assert error["error"] == kept
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


def test_only_what_was_coded_twice_can_be_found_not_deterministic() -> None:
    """Other bytes or pixels tell; a new row, or a failure before or now, such as a file that could not be read, does not."""
    for other in (Coded(1024, 2.0, 1.0, "other", "d"), Coded(1024, 2.0, 1.0, "b", "other")):
        assert not_deterministic([row()], [row(other)]) == {JPEG.key}
    assert not_deterministic([row()], [row()]) == set()
    assert not_deterministic([], [row()]) == set()
    assert not_deterministic([row()], [row(Failure("died"))]) == set()
    assert not_deterministic([row(Failure("died"))], [row()]) == set()


def test_an_error_row_that_can_be_coded_now_is_recovered() -> None:
    """Only an image that failed with this setting and now does not counts."""
    error = row(Failure("died"))
    assert recovered([error], [row()]) == {("a.png", JPEG.key)}
    assert recovered([error], [error]) == recovered([row()], [row()]) == recovered([], [row()]) == set()


def test_an_image_with_other_pixels_is_replaced() -> None:
    """The hash of the prepared pixels tells; an image that cannot be read, now or before, does not."""
    other = row() | {"source_hash": "other"}
    unreadable = row() | {"source_hash": None}
    assert replaced_images([row()], [other]) == {"a.png"}
    for stored, fresh in ((row(), row()), (row(), unreadable), (unreadable, row())):
        assert replaced_images([stored], [fresh]) == set()


def test_rows_that_may_pass_are_told_from_those_that_will_not() -> None:
    """A transient failure, of the row or of a metric, is tried again in both ways; a permanent one only with all errors."""
    broken, slow = row(Failure("too large")), row(Failure("time limit", transient=True))
    starved, hopeless = row(nme=Missing("out of memory", transient=True)), row(nme=Missing("no face"))
    everything = [broken, slow, starved, hopeless, row()]
    assert [failed(each, "transient") for each in everything] == [False, True, True, False, False]
    assert [failed(each, "errors") for each in everything] == [True, True, True, False, False]
    assert count_failed(everything, "errors") == {JPEG.key: 3}
    assert count_failed([hopeless], "errors") == {}


def test_a_row_that_was_tried_again_loses_nothing() -> None:
    """An error gives way to whatever comes; a missing value is filled in; a row with values never becomes an error."""
    stored = row(psnr=30.0, nme=Missing("out of memory", transient=True))
    failure = row(Failure("died"))
    assert retry_rows([failure], [row(psnr=31.0)]) == [row(psnr=31.0)]
    [filled] = retry_rows([stored], [row(psnr=31.0, nme=0.02)])
    assert (filled["psnr"], filled["nme"], filled["metric_errors"], filled["transient"]) == (30.0, 0.02, [], False)
    assert retry_rows([stored], [failure]) == [stored]
    [still] = retry_rows([stored], [row(psnr=31.0, nme=Missing("out of memory", transient=True))])
    assert (still["psnr"], still["transient"], still["metric_errors"]) == (30.0, True, [("nme", "out of memory")])
    assert retry_rows([], [failure]) == [failure]


def test_rows_of_a_variants_former_key_are_superseded() -> None:
    """A variant that is coded by another version has new rows instead of more rows; other variants keep theirs."""
    other = row() | {"setting": "webp", "variant": "webp quality=10"}
    newer = JPEG.model_copy(update={"key": "jpeg by a newer library"})
    assert without_superseded([row(), other], [JPEG]) == [row(), other]
    assert without_superseded([row(), other], [newer]) == [other]
