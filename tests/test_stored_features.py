"""Features that are stored for set metrics: that they outlive what comes later, and the values made from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from mean_colour import MeanColour, MeanColourTwice, mean_colour
from pictures import tensor
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench import codecs, metrics
from vcmbench.feature_tables import ORIGINAL, feature_matrix
from vcmbench.interfaces import Batch
from vcmbench.pipeline.driver import Outcome
from vcmbench.pipeline.plan import missing_cells
from vcmbench.reports.stored_features import set_values
from vcmbench.reports.summary import Summary, summarise
from vcmbench.results import RunDirectory
from vcmbench.run_index import complete_shards

IMAGES, MARKED = 10, 6


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten images, of which one has no feature."""
    write_images(tmp_path / "images", IMAGES, marked=(MARKED,))
    return tmp_path / "images"


def features(outcome: Outcome, out: Path) -> dict[tuple[str, str], list[float] | None]:
    """Everything stored, by image and setting."""
    run = RunDirectory(str(out))
    found: dict[tuple[str, str], list[float] | None] = {}
    for record in outcome.index.shards.values():
        table = run.read_features(record.features)
        matrix, present = feature_matrix(table["colour"])
        for image, setting, row, has in zip(
            table["image"].to_pylist(), table["setting"].to_pylist(), matrix, present, strict=True
        ):
            found[image, setting] = row.tolist() if has else None
    return found


def value(outcome: Outcome, out: Path) -> dict[str, float | None]:
    """The set metric's value by setting."""
    run = RunDirectory(str(out))
    values = set_values(run, outcome.index, complete_shards(outcome.index))["colour_distance"]
    return {setting: found.value for setting, found in values.items()}


def expected_feature(images: Path, image: str) -> list[float]:
    pixels = np.array(PIL.Image.open(images / image))
    return [float(mean) for mean in mean_colour(Batch(tensor(pixels)))[0]]


def test_features_of_originals_and_decoded_images_are_stored(images: Path, tmp_path: Path) -> None:
    """Each shard has a feature for every original and every image × setting, and a null where there is none."""
    task = make_task(images, tmp_path / "run", metrics=(MeanColour(),), codecs=(codecs.create("png"), codecs.create("jpeg")))
    outcome = bring_up_to_date(task)
    stored = features(outcome, tmp_path / "run")
    png, jpeg = (setting.key for setting in outcome.index.settings)
    assert len(stored) == IMAGES * 3
    assert stored["000.png", ORIGINAL] == pytest.approx(expected_feature(images, "000.png"))
    assert stored["000.png", png] == stored["000.png", ORIGINAL]
    assert stored["000.png", jpeg] != stored["000.png", ORIGINAL]
    assert all(stored[f"{MARKED:03}.png", setting] is None for setting in (ORIGINAL, png, jpeg))


def test_the_value_is_over_images_that_have_the_feature(images: Path, tmp_path: Path) -> None:
    """A set metric's value, its number of images and its note reach the summary; a lossless codec has distance 0."""
    task = make_task(images, tmp_path / "run", metrics=(MeanColour(),), codecs=(codecs.create("png"), codecs.create("jpeg")))
    outcome = bring_up_to_date(task)
    summary: Summary = summarise(RunDirectory(str(tmp_path / "run")), outcome.index)
    assert summary.table["colour_distance_n"].to_pylist() == [IMAGES - 1] * 2
    png, jpeg = summary.table["colour_distance_mean"].to_pylist()
    assert png == 0
    assert 0 < jpeg < 20
    assert "Colour distance: 1 identities." in summary.notes


def test_a_note_about_two_columns_is_given_once(images: Path, tmp_path: Path) -> None:
    """Columns of which every setting's note is the same share it."""
    outcome = bring_up_to_date(make_task(images, tmp_path / "run", metrics=(MeanColourTwice(),)))
    summary = summarise(RunDirectory(str(tmp_path / "run")), outcome.index)
    assert summary.notes == ("Colour distance, The same again: 1 identities.",)


def test_shards_and_batches_do_not_change_a_value(images: Path, tmp_path: Path) -> None:
    """Other shards and batch sizes give the same value to 1e-6."""
    one = make_task(images, tmp_path / "one", metrics=(MeanColour(),))
    other = make_task(images, tmp_path / "other", metrics=(MeanColour(),), shard_size=3)
    values = value(bring_up_to_date(one), tmp_path / "one")
    assert value(bring_up_to_date(other, batch_size=2), tmp_path / "other") == pytest.approx(values, rel=1e-6)


def test_features_outlive_what_is_added_later(images: Path, tmp_path: Path) -> None:
    """A later metric and setting leave the stored features as they are, and add only those of the new setting."""
    task = make_task(images, tmp_path / "run", metrics=(MeanColour(),), codecs=(codecs.create("png"),))
    first = features(bring_up_to_date(task), tmp_path / "run")
    more = make_task(
        images,
        tmp_path / "run",
        metrics=(MeanColour(), metrics.create("psnr_y")),
        codecs=(codecs.create("png"), codecs.create("jpeg")),
    )
    outcome = bring_up_to_date(more)
    stored = features(outcome, tmp_path / "run")
    assert {place: stored[place] for place in first} == first
    assert len(stored) == IMAGES * 3


def test_a_set_metric_that_is_added_later_is_computed_for_stored_rows(images: Path, tmp_path: Path) -> None:
    """Features are computed for rows that are stored, whose values stay; then nothing is missing."""
    task = make_task(images, tmp_path / "run")
    before = bring_up_to_date(task)
    assert all(record.features == "" for record in before.index.shards.values())
    outcome = bring_up_to_date(make_task(images, tmp_path / "run", metrics=(*task.metrics, MeanColour())))
    assert outcome.computed == IMAGES * 2
    assert len(features(outcome, tmp_path / "run")) == IMAGES * 3
    assert all(not missing_cells(outcome.index.wanted, outcome.index.cells(shard)) for shard in outcome.index.shards)


def test_only_the_first_images_have_features(images: Path, tmp_path: Path) -> None:
    """`feature_images` bounds what is stored, by the images' places in the manifest, over the shards."""
    task = make_task(images, tmp_path / "run", metrics=(MeanColour(),), feature_images=5)
    outcome = bring_up_to_date(task)
    listed = RunDirectory(str(tmp_path / "run")).manifest()["image"].to_pylist()
    having = {image for image, setting in _present(outcome, tmp_path / "run") if setting == ORIGINAL}
    assert having == set(listed[:5]) - {f"{MARKED:03}.png"}
    assert [bool(record.features) for record in outcome.index.shards.values()] == [True, True, False]


def test_images_whose_features_are_not_kept_are_not_coded_for_a_set_metric(images: Path, tmp_path: Path) -> None:
    """A set metric that is added later reads and codes the first `feature_images` alone; nothing is missing then."""
    task = make_task(images, tmp_path / "run", feature_images=5)
    before = bring_up_to_date(task)
    listed = RunDirectory(str(tmp_path / "run")).manifest()["image"].to_pylist()
    for image in listed[5:]:
        (images / image).write_bytes(b"no image any more")
    outcome = bring_up_to_date(replace(task, metrics=(*task.metrics, MeanColour())))
    having = {image for image, setting in _present(outcome, tmp_path / "run") if setting == ORIGINAL}
    assert having == set(listed[:5]) - {f"{MARKED:03}.png"}
    assert rows(outcome, tmp_path / "run") == rows(before, tmp_path / "run")
    assert all(outcome.index.is_complete(shard) for shard in outcome.index.shards)


def test_a_lost_feature_file_is_computed_again(images: Path, tmp_path: Path) -> None:
    """A shard whose features are gone is computed anew, and the former generation is deleted."""
    task = make_task(images, tmp_path / "run", metrics=(MeanColour(),))
    first = bring_up_to_date(task)
    stored = features(first, tmp_path / "run")
    (tmp_path / "run" / first.index.shards[1].features).unlink()
    again = bring_up_to_date(task)
    assert again.computed == 4 * 2
    assert features(again, tmp_path / "run") == stored
    kept = {record.features for record in again.index.shards.values()}
    assert {f"features/{path.name}" for path in (tmp_path / "run" / "features").iterdir()} == kept


def _present(outcome: Outcome, out: Path) -> list[tuple[str, str]]:
    run = RunDirectory(str(out))
    places: list[tuple[str, str]] = []
    for record in outcome.index.shards.values():
        if record.features:
            table = run.read_features(record.features)
            table = table.filter(table["colour"].is_valid())
            places += zip(table["image"].to_pylist(), table["setting"].to_pylist(), strict=True)
    return places
