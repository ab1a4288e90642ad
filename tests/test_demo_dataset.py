"""The built-in demo: two people in two dozen views."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
import skimage.data

from vcmbench import registry
from vcmbench.datasets.demo import FACES, VIEWS, Demo, View, exposure, face_box, portrait, render
from vcmbench.datasets.listing import COLUMNS
from vcmbench.datasets.prepare import Preparation, prepare


def rows() -> list[dict[str, Any]]:
    return [row for batch in Demo().images() for row in batch.to_pylist()]


def decoded(path: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(Demo().read(path))))


def test_two_people_are_listed_in_twelve_views() -> None:
    """24 images of two identities, both women, by the contract's columns; the notice says what it is not."""
    assert registry.datasets.get("demo") is Demo
    assert next(Demo().images()).schema == pa.schema([*COLUMNS, ("gender", pa.string())])
    assert [row["identity"] for row in rows()] == ["eileen_collins"] * 12 + ["grace_hopper"] * 12
    assert len({row["image"] for row in rows()}) == 24
    assert {row["gender"] for row in rows()} == {"f"}
    assert Demo.notice == "two people, not a benchmark"


def test_views_differ_and_are_the_same_each_time() -> None:
    """Every view has its own bytes, equal on every read."""
    files = [Demo().read(row["path"]) for row in rows()]
    assert len(set(files)) == 24
    assert files == [Demo().read(row["path"]) for row in rows()]


def test_the_plain_view_is_a_copy_of_the_portrait() -> None:
    """The first view has the portrait's own pixels, found at its box, and the second is its mirror image."""
    view = decoded("eileen_collins/01.png")
    box = face_box(FACES["eileen_collins"], VIEWS[0])
    left, top = (round(there - here) for there, here in zip(FACES["eileen_collins"][:2], box[:2], strict=True))
    side = len(view)
    original = skimage.data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no hints
    assert (view == original[top : top + side, left : left + side]).all()
    assert (decoded("eileen_collins/02.png") == view[:, ::-1]).all()


@pytest.mark.parametrize("view", VIEWS)
def test_the_face_box_goes_with_the_face(view: View) -> None:
    """A mark painted on the centre of the face is found at the centre of the view's box."""
    x, y, width, height = face = (60.0, 80.0, 50.0, 64.0)
    marked = np.zeros((200, 180, 3), np.uint8)
    marked[int(y + height / 2) - 2 : int(y + height / 2) + 2, int(x + width / 2) - 2 : int(x + width / 2) + 2] = 255
    rendered = np.asarray(render(PIL.Image.fromarray(marked), face, View(**{**vars(view), "stops": 0})), float)[:, :, 0]
    rows_, columns = np.indices(rendered.shape) + 0.5
    found = [(rendered * axis).sum() / rendered.sum() for axis in (columns, rows_)]
    left, top, box_width, box_height = face_box(face, view)
    assert found == pytest.approx([left + box_width / 2, top + box_height / 2], abs=0.05)
    assert (box_width, box_height) == (width, height)


def test_a_positive_angle_turns_the_face_clockwise() -> None:
    """A mark above the centre of the face moves to the right."""
    marked = np.zeros((200, 200, 3), np.uint8)
    marked[50:60, 95:105] = 255
    turned = np.asarray(render(PIL.Image.fromarray(marked), (50, 50, 100, 100), View(1.5, angle=20)))
    assert turned[:75, 75:].sum() > turned[:75, :75].sum()


@pytest.mark.parametrize("person", FACES)
def test_views_lie_inside_the_portrait(person: str) -> None:
    """No view reaches over the portrait's border, where it would be filled with black."""
    white = PIL.Image.new("RGB", portrait(person).size, "white")
    for view in VIEWS:
        assert np.asarray(render(white, FACES[person], View(**{**vars(view), "stops": 0}))).min() == 255


def test_exposure_is_in_stops_of_light() -> None:
    """Nought changes nothing; mid grey (18 % light) plus one stop is 36 % light; more light is never darker."""
    assert exposure(0) == list(range(256))
    assert exposure(1)[118] == 162
    assert all(
        darker <= value <= brighter for darker, value, brighter in zip(exposure(-1), range(256), exposure(1), strict=True)
    )


def test_every_view_can_be_prepared() -> None:
    """The face fills most of each prepared image and nothing needed converting."""
    for row in rows():
        box = (row["box_x"], row["box_y"], row["box_width"], row["box_height"])
        prepared = prepare(Demo().read(row["path"]), box, Preparation())
        assert prepared.note == ""
        assert prepared.box
        assert max(prepared.box[2:]) >= 256 / 1.31


@pytest.mark.parametrize("path", ["", "eileen_collins", "eileen_collins/13.png", "nobody/01.png", "../demo.py"])
def test_an_unknown_view_cannot_be_read(path: str) -> None:
    """A path that is not in the list is a missing file."""
    with pytest.raises(FileNotFoundError, match="no view"):
        Demo().read(path)
