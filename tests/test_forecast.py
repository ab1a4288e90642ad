"""What a dry run tells."""

from __future__ import annotations

from synthetic_run import LANDMARKS, PSNR, SSIM, setting

from vcmbench.pipeline.forecast import forecast
from vcmbench.run_index import Index

JPEG, WEBP = setting("jpeg", "quality", 4), setting("webp", "quality", 10)


def test_a_new_run_lacks_everything() -> None:
    """Each setting is named with its images and metrics, and the whole is added up."""
    index = Index(name="run", notice="", settings=(JPEG, WEBP), metrics=(PSNR, SSIM))
    assert list(forecast(index, {0: 8, 1: 3}, None)) == [
        "11 images in 2 shards × 2 settings",
        f"  {JPEG.variant}   to code 11 images in 2 shards and score every metric",
        f"  {WEBP.variant}  to code 11 images in 2 shards and score every metric",
        "would compute 22 images × settings in 2 of 2 shards",
    ]


def test_what_is_stored_hidden_or_failed_is_told_apart() -> None:
    """An added metric, a setting no longer asked for and rows to try again each have their line."""
    begun = Index(name="run", notice="", settings=(JPEG, WEBP), metrics=(PSNR,))
    begun = begun.with_shard(0, "file", 1, begun.wanted, {JPEG.key: 2}, {})
    index = begun.model_copy(update={"settings": (JPEG,), "metrics": (PSNR, LANDMARKS)})
    assert list(forecast(index, {0: 8}, "errors")) == [
        "8 images in 1 shard × 1 setting",
        f"  {JPEG.variant}  to code 8 images in 1 shard and score landmarks",
        "1 setting that the job does not ask for stay stored and are not reported",
        "2 rows that failed would be tried again",
        "would compute 10 images × settings in 1 of 1 shard",
    ]


def test_a_finished_run_has_nothing_to_compute() -> None:
    """Every setting is complete, and failed rows are left alone unless asked for."""
    index = Index(name="run", notice="", settings=(JPEG,), metrics=(PSNR,))
    index = index.with_shard(0, "file", 1, index.wanted, {JPEG.key: 2}, {})
    expected = ["8 images in 1 shard × 1 setting", f"  {JPEG.variant}  complete", "nothing to compute"]
    assert list(forecast(index, {0: 8}, None)) == list(forecast(index, {0: 8}, "transient")) == expected


def test_coding_for_bitstreams_alone_is_told_as_such() -> None:
    """A complete setting whose bitstreams are to be kept is coded for these, and not scored."""
    index = Index(name="run", notice="", settings=(JPEG,), metrics=(PSNR,), keep_bitstreams=True)
    index = index.with_shard(0, "file", 1, index.wanted)
    assert list(forecast(index, {0: 8}, None))[1] == f"  {JPEG.variant}  to code 8 images in 1 shard and keep the bitstreams"
