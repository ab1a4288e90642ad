"""Pictures made again for the report, and whether they are those that the run stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from runs import SIZE, bring_up_to_date, make_task, write_images

from vcmbench import codecs
from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec
from vcmbench.reports.image_rows import StoredImages, stored_images
from vcmbench.reports.pictures import NO_ORIGINAL, Picture, Showing, decoded, original, told
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, SettingRecord

NAMES = [f"{number:03}.png" for number in range(6)]
CODECS: tuple[Codec, ...] = (
    codecs.create("jpeg", quality=10),
    codecs.create("webp", quality=10),
    codecs.create("edge", points=0, decoder="diffusion"),
    codecs.create("edge", points=15, decoder="diffusion"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of six images and four settings."""
    folder = tmp_path_factory.mktemp("pictures")
    write_images(folder / "images", 6)
    bring_up_to_date(make_task(folder / "images", folder / "run", codecs=CODECS))
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    """The run's index."""
    index = RunDirectory(str(folder / "run")).read_index()
    assert index
    return index


@pytest.fixture(scope="module")
def stored(folder: Path, index: Index) -> StoredImages:
    """What the run has of all its images."""
    return stored_images(RunDirectory(str(folder / "run")), index, NAMES)


@pytest.fixture
def showing(folder: Path) -> Showing:
    """Show images of the run's data set."""
    return shown_from(folder / "images")


def shown_from(images: Path) -> Showing:
    """Show images of that folder."""
    return Showing(Folder(root=str(images)), Preparation(size=SIZE), 6, (), (), print)


def with_row(stored: StoredImages, name: str, setting: SettingRecord, **changes: str) -> StoredImages:
    """The same with another row of one image and setting."""
    key = name, setting.key
    return replace(stored, rows={**stored.rows, key: {**stored.rows[key], **changes}})


def of(stored: StoredImages, showing: Showing, setting: SettingRecord) -> Picture:
    """The first image, decoded again."""
    return decoded(stored, NAMES[0], original(stored, showing, NAMES[0]).image, [setting])[setting.key]


def test_pictures_are_those_of_the_run(stored: StoredImages, showing: Showing, index: Index, folder: Path) -> None:
    """Every image and setting gives the pixels that its codec gives, and agrees with the stored hashes."""
    for name in NAMES:
        first = original(stored, showing, name)
        assert first.image is not None
        assert first.problem == ""
        assert (first.image == np.asarray(PIL.Image.open(folder / "images" / name))).all()
        for setting, codec in zip(index.settings, CODECS, strict=True):
            [picture] = decoded(stored, name, first.image, [setting]).values()
            assert picture.problem == ""
            assert picture.image is not None
            assert (picture.image == codec.decode(codec.encode(first.image))).all()


def test_settings_of_a_family_are_the_same_together_and_alone(stored: StoredImages, showing: Showing, index: Index) -> None:
    """Asked for at once, all settings have their pictures, none with a problem."""
    together = decoded(stored, NAMES[1], original(stored, showing, NAMES[1]).image, index.settings)
    assert {key: picture.problem for key, picture in together.items()} == {setting.key: "" for setting in index.settings}


def test_another_bitstream_or_picture_than_the_stored_one_is_told(
    stored: StoredImages, showing: Showing, index: Index
) -> None:
    """The picture is there, and says what differs and, if it does, the codec's libraries before and now."""
    jpeg = index.settings[0]
    other_stream = of(with_row(stored, NAMES[0], jpeg, bitstream_hash="0" * 16), showing, jpeg)
    assert other_stream.image is not None
    assert other_stream.problem == "the bitstream is not the stored one"
    old = jpeg.model_copy(update={"backend": "Pillow 1.1"})
    other_picture = of(with_row(stored, NAMES[0], jpeg, decoded_hash="0" * 16), showing, old)
    assert other_picture.image is not None
    assert other_picture.problem == (
        f"the bitstream is the stored one, but decodes to other pixels (then Pillow 1.1; now {CODECS[0].backend()})"
    )


def test_a_replaced_image_is_told(stored: StoredImages, tmp_path: Path) -> None:
    """An image file that holds another picture now is shown as such."""
    write_images(tmp_path, 1, marked=[0])
    picture = original(stored, shown_from(tmp_path), NAMES[0])
    assert picture.image is not None
    assert picture.problem == "the image is not the one that was coded"


def test_what_cannot_be_read_is_a_reason(stored: StoredImages, tmp_path: Path) -> None:
    """A name that is not in the run, a lost data set and a damaged file are told without this machine's paths."""
    gone = shown_from(tmp_path / "gone")
    assert original(stored, gone, "nobody.png") == Picture(None, "the run has no image of this name")
    assert original(stored, gone, NAMES[0]) == Picture(None, "the image cannot be read: No such file or directory")
    (tmp_path / NAMES[0]).write_bytes(b"not an image")
    damaged = original(stored, shown_from(tmp_path), NAMES[0])
    assert damaged.image is None
    assert "not a whole image of a known format" in damaged.problem


def test_what_cannot_be_coded_is_a_reason(stored: StoredImages, index: Index) -> None:
    """Each setting that cannot be coded again has its reason, and the others their pictures."""
    jpeg, webp, edge, other_edge = index.settings
    small = np.zeros((16, 16, 3), np.uint8)  # which edge refuses
    gone = webp.model_copy(update={"family": "gone"})
    pictures = decoded(stored, NAMES[0], small, [jpeg, gone, edge, other_edge])
    assert pictures[jpeg.key].image is not None
    assert "unknown codec 'gone'" in pictures[gone.key].problem
    assert [pictures[setting.key].problem for setting in (edge, other_edge)] == [
        "edge codes sides of 32 to 1024 pixels; the image is 16×16"
    ] * 2
    [without] = decoded(stored, NAMES[0], None, [jpeg]).values()
    assert without == Picture(None, NO_ORIGINAL)
    [unknown] = decoded(stored, "nobody.png", small, [jpeg]).values()
    assert unknown == Picture(None, "the run has no result of this image yet")


def test_what_failed_in_the_run_is_not_tried_again(stored: StoredImages, showing: Showing, index: Index) -> None:
    """An error row's reason stands in place of the picture, though the codec would give one now."""
    failed = with_row(stored, NAMES[0], index.settings[0], status="error", error="the codec\nhung")
    assert of(failed, showing, index.settings[0]) == Picture(None, "failed in the run: the codec hung")


def test_problems_are_told_once_and_not_without_end() -> None:
    """Equal ones are counted, and after twelve different ones the rest is a number."""
    assert told([("jpeg", "lost"), ("webp", "lost"), ("jpeg", "lost")]) == [
        "jpeg: lost (pictures: 2)",
        "webp: lost (pictures: 1)",
    ]
    assert told([("original", "lost"), ("jpeg", NO_ORIGINAL)]) == ["original: lost (pictures: 1)"]
    assert told(("jpeg", str(number)) for number in range(20))[11:] == ["jpeg: 11 (pictures: 1)", "and 8 more"]
