"""Pictures from kept bitstreams: they need no encoder and no original, and what cannot be used is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from runs import SIZE, bitstreams, bring_up_to_date, make_task, write_images

from vcmbench import codecs
from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Image
from vcmbench.pipeline.driver import Outcome
from vcmbench.reports.image_rows import stored_images
from vcmbench.reports.pictures import NO_ORIGINAL, Picture, Showing, decoded, original
from vcmbench.results import RunDirectory

NAME = "000.png"
CODECS: tuple[Codec, ...] = (
    codecs.create("jpeg", quality=10),
    codecs.create("jpeg", quality=50),
    codecs.create("edge", points=15, decoder="diffusion"),
)
AGAIN = "so that it was coded again"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A folder with images and a run that has kept its bitstreams."""
    folder = tmp_path_factory.mktemp("kept")
    write_images(folder / "images", 3)
    task = make_task(folder / "images", folder / "run", codecs=CODECS, keep_bitstreams=True)
    return folder, bring_up_to_date(task)


def expected(folder: Path) -> list[Image]:
    """What each codec gives for the first image."""
    image = np.asarray(PIL.Image.open(folder / "images" / NAME))
    return [codec.decode(codec.encode(image)) for codec in CODECS]


def pictures(run: Path, images: Path, outcome: Outcome) -> list[Picture]:
    """The first image under each codec, as the report makes it."""
    stored = stored_images(RunDirectory(str(run)), outcome.index, [NAME])
    showing = Showing(Folder(root=str(images)), Preparation(size=SIZE), 3, (), (), print)
    made = decoded(stored, NAME, original(stored, showing, NAME).image, outcome.index.settings)
    return [made[setting.key] for setting in outcome.index.settings]


def copied(finished: tuple[Path, Outcome], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the run, and in it the file with the first image's bitstreams."""
    folder, outcome = finished
    shutil.copytree(folder / "run", tmp_path / "run")
    return tmp_path / "run", tmp_path / "run" / outcome.index.shards[0].bitstreams


def assert_same(made: list[Picture], right: list[Image], problems: list[str]) -> None:
    """The pictures are those of the codecs, with these problems."""
    assert [picture.problem for picture in made] == problems
    for picture, pixels in zip(made, right, strict=True):
        assert picture.image is not None
        assert (picture.image == pixels).all()


def test_no_encoder_is_called(finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """With encoders that give other bitstreams, as those of a newer library may, pictures are still those of the run."""
    folder, outcome = finished
    right = expected(folder)
    for codec in {type(codec) for codec in CODECS}:
        monkeypatch.setattr(codec, "encode_many", classmethod(lambda *_: pytest.fail("an encoder was called")))
    made = pictures(folder / "run", folder / "images", outcome)
    assert_same(made, right, [""] * len(CODECS))


def test_no_original_is_needed(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    """With the data set gone, the pictures of the codecs are there and as stored."""
    folder, outcome = finished
    assert_same(pictures(folder / "run", tmp_path / "gone", outcome), expected(folder), [""] * len(CODECS))


def test_a_lost_file_leads_to_coding_again(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    """The pictures are there, and say so; without the original they cannot be."""
    folder, outcome = finished
    run, file = copied(finished, tmp_path)
    file.unlink()
    loss = "the kept bitstream cannot be used (its file is not there)"
    assert_same(pictures(run, folder / "images", outcome), expected(folder), [f"{loss}, {AGAIN}"] * len(CODECS))
    assert pictures(run, tmp_path / "gone", outcome) == [Picture(None, f"{loss}; {NO_ORIGINAL}")] * len(CODECS)


def test_a_damaged_file_leads_to_coding_again(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    """A file that is cut costs all its bitstreams."""
    folder, outcome = finished
    run, file = copied(finished, tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    loss = "the kept bitstream cannot be used (its file is damaged or cannot be read)"
    assert_same(pictures(run, folder / "images", outcome), expected(folder), [f"{loss}, {AGAIN}"] * len(CODECS))


def test_a_bitstream_that_was_changed_is_not_shown(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    """One that is not that of its hash is coded again; the others of the file are as stored."""
    folder, outcome = finished
    run, file = copied(finished, tmp_path)
    bitstream = bitstreams(outcome, run)[NAME, CODECS[0].variant]
    file.write_bytes(file.read_bytes().replace(bitstream, bitstream[:-1] + bytes([bitstream[-1] ^ 1])))
    loss = "the kept bitstream cannot be used (it is not that of its hash)"
    assert_same(pictures(run, folder / "images", outcome), expected(folder), [f"{loss}, {AGAIN}", "", ""])


def test_a_bitstream_that_decodes_otherwise_now_is_told(finished: tuple[Path, Outcome]) -> None:
    """A decoder that changed since is noticed by the pixels' hash, as it is where the image is coded again."""
    folder, outcome = finished
    stored = stored_images(RunDirectory(str(folder / "run")), outcome.index, [NAME])
    jpeg = outcome.index.settings[0]
    place = NAME, jpeg.key
    other = replace(stored, rows={**stored.rows, place: {**stored.rows[place], "decoded_hash": "0" * 16}})
    [picture] = decoded(other, NAME, None, [jpeg]).values()
    assert picture.image is not None
    assert picture.problem == "the bitstream is the stored one, but decodes to other pixels"
