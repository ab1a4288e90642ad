"""Which cells a run still lacks."""

from __future__ import annotations

from synthetic_run import LANDMARKS, PSNR, SSIM, setting

from vcmbench.pipeline.plan import Lacking, ShardWork, missing_cells, plan
from vcmbench.run_index import Index, MetricRecord, SettingRecord

JPEG, WEBP = setting("jpeg", "quality", 4), setting("webp", "quality", 10)


def index(*settings: SettingRecord, metrics: tuple[MetricRecord, ...] = (PSNR, SSIM)) -> Index:
    return Index(name="run", notice="", settings=settings, metrics=metrics)


def test_an_empty_run_lacks_everything() -> None:
    """Every shard needs every setting with every metric, in the order of the shards."""
    wanted: Lacking = {JPEG.key: ("psnr-1", "ssim-1"), WEBP.key: ("psnr-1", "ssim-1")}
    assert plan({1: 3, 0: 8}, index(JPEG, WEBP)) == [ShardWork(0, 8, 1, wanted), ShardWork(1, 3, 1, wanted, first=8)]


def test_a_complete_shard_needs_nothing() -> None:
    """A shard whose stored cells cover the wanted ones is left alone, even if it holds more."""
    begun = index(JPEG, WEBP)
    begun = begun.with_shard(0, "file", 1, begun.wanted)
    assert plan({0: 8}, begun) == []
    assert plan({0: 8}, begun.model_copy(update={"settings": (WEBP,), "metrics": (SSIM,)})) == []


def test_a_new_setting_is_scored_with_every_metric_and_the_old_one_is_left_alone() -> None:
    """Only the added setting is missing, in the next generation of the shard."""
    begun = index(JPEG)
    begun = begun.with_shard(0, "file", 3, begun.wanted).model_copy(update={"settings": (JPEG, WEBP)})
    assert plan({0: 8}, begun) == [ShardWork(0, 8, 4, {WEBP.key: ("psnr-1", "ssim-1")})]


def test_a_new_metric_is_missing_in_every_setting() -> None:
    """Settings that are stored need the added metric and no other."""
    begun = index(JPEG, WEBP)
    begun = begun.with_shard(0, "file", 1, begun.wanted).model_copy(update={"metrics": (PSNR, SSIM, LANDMARKS)})
    assert plan({0: 8}, begun)[0].missing == {JPEG.key: ("landmarks-1",), WEBP.key: ("landmarks-1",)}


def test_a_changed_metric_is_computed_anew_and_back_again() -> None:
    """Columns remember which version gave them, so that neither a new version nor the return to the old one is missed."""
    newer = PSNR.model_copy(update={"key": "psnr-2"})
    begun = index(JPEG)
    begun = begun.with_shard(0, "file", 1, begun.wanted).model_copy(update={"metrics": (newer, SSIM)})
    assert plan({0: 8}, begun)[0].missing == {JPEG.key: ("psnr-2",)}
    moved = begun.with_shard(0, "file", 2, begun.wanted).model_copy(update={"metrics": (PSNR, SSIM)})
    assert plan({0: 8}, moved)[0].missing == {JPEG.key: ("psnr-1",)}


def test_without_metrics_a_setting_is_only_coded() -> None:
    """A stored setting lacks nothing, one that is not stored must be coded though nothing is to be scored."""
    assert missing_cells({"a": {}, "b": {}}, {"a": {}}) == {"b": ()}


def test_a_shard_counts_its_images_times_settings() -> None:
    """The size of the work, which the progress bar adds up, is images × settings."""
    assert plan({0: 8}, index(JPEG, WEBP))[0].size == 16


def test_bitstreams_that_are_to_be_kept_are_missing_where_they_are_not() -> None:
    """A setting whose bitstreams a shard does not keep is only coded; one that also lacks a metric is scored with that."""
    begun = index(JPEG, WEBP).model_copy(update={"keep_bitstreams": True})
    begun = begun.with_shard(0, "file", 1, begun.wanted, bitstreams="streams", bitstreams_of=[WEBP.key])
    assert plan({0: 8}, begun)[0].missing == {JPEG.key: ()}
    assert plan({0: 8}, begun.model_copy(update={"keep_bitstreams": False})) == []
    more = begun.model_copy(update={"metrics": (PSNR, SSIM, LANDMARKS)})
    assert plan({0: 8}, more)[0].missing == {JPEG.key: ("landmarks-1",), WEBP.key: ("landmarks-1",)}
    assert plan({0: 8}, begun.with_shard(0, "file", 2, begun.wanted, bitstreams_of=[WEBP.key, JPEG.key])) == []
