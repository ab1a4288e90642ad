"""Faces against face-alignment's own detectors, and which face of the original is the one that every setting uses."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pictures import FACE_BOX, PORTRAIT, Recording, batch, flat, noisy, tensor
from random_fan import random_networks
from weights_folder import weights_in

from vcmbench.interfaces import Batch, Image, Setup
from vcmbench.metrics.faces import WEIGHTS, Boxes, Faces, ReferenceBoxes, overlaps
from vcmbench.weights import ARTEFACTS

RANDOM = Setup(unverified=True)
SHAPES = {"200×313": PORTRAIT, "131×96": PORTRAIT[30:161, 100:196], "128×128": PORTRAIT[30:158, 95:223]}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Seeded random detectors where vcmbench and face-alignment look for the pretrained ones."""
    home = random_networks(tmp_path_factory)
    with weights_in(home):
        yield home


def reference(detector: str) -> Any:
    """The detector as face-alignment makes it."""
    return importlib.import_module(f"face_alignment.detection.{detector}").FaceDetector(device="cpu")


def alone(detector: Any, image: Image) -> Boxes:
    """What it finds in one image."""
    return np.array(detector.detect_from_image(np.ascontiguousarray(image)), float).reshape(-1, 5)


def reference_box(boxes: ReferenceBoxes, image: Image, near: tuple[float, ...] | None = None) -> list[float]:
    """The one face's corners, the data set's box being `near`."""
    given = None if near is None else torch.tensor([near], dtype=torch.float64)
    row: list[float] = Batch(tensor(image), given).get(boxes)[0].tolist()
    return row


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("detector", WEIGHTS)
def test_faces_equal_face_alignments(detector: str, shape: str) -> None:
    """In a batch each image has the faces that face-alignment finds in it alone, and others with red and blue swapped."""
    portrait = np.ascontiguousarray(SHAPES[shape])
    images = [portrait, noisy(portrait, 40)]
    found, package = Faces(detector, RANDOM)(batch(*images)), reference(detector)
    for faces, image in zip(found, images, strict=True):
        np.testing.assert_allclose(faces, alone(package, image), atol=1e-2)
    assert len(found[0]) > 0
    swapped = alone(package, portrait[..., ::-1])
    assert len(swapped) != len(found[0]) or not np.allclose(swapped, found[0], atol=0.1)


def test_real_faces_equal_face_alignments(portraits: Path, tmp_path: Path) -> None:
    """With the published BlazeFace, files of real portraits have face-alignment's faces; a face each, nearly always."""
    counts = []
    with weights_in(tmp_path) as folder:
        for name in WEIGHTS["blazeface"]:
            (folder / ARTEFACTS[name].file).symlink_to(portraits.parent / "weights" / ARTEFACTS[name].file)
        package = reference("blazeface")
        for path in sorted((portraits / "test").glob("*/*.jpg"))[:24]:
            image = np.array(PIL.Image.open(path).convert("RGB"))
            (faces,) = Faces("blazeface", Setup())(batch(image))
            np.testing.assert_allclose(faces, alone(package, image), atol=1e-3)
            counts.append(len(faces))
    assert np.mean(np.array(counts) >= 1) > 0.9


@pytest.mark.parametrize("detector", WEIGHTS)
def test_flat_and_tiny_images_are_no_fault(detector: str) -> None:
    """Constant images may have faces or not; an image with a side under 32 pixels has none."""
    for image in (flat(0), flat(255), flat(128, (32, 40))):
        (faces,) = Faces(detector, RANDOM)(batch(image))
        assert faces.shape[1] == 5
        assert np.isfinite(faces).all()
    for shape in ((1, 1), (31, 400), (200, 12)):
        assert len(Faces(detector, RANDOM)(batch(flat(128, shape)))[0]) == 0


@pytest.mark.parametrize("detector", WEIGHTS)
def test_a_network_that_gives_nan_finds_no_face(detector: str, home: Path, tmp_path: Path) -> None:
    """Weights that are not numbers lead to no faces, not to a crash."""
    with weights_in(tmp_path) as folder:
        for name in WEIGHTS[detector]:
            original = home / "hub" / "checkpoints" / ARTEFACTS[name].file
            if original.suffix == ".npy":
                (folder / original.name).symlink_to(original)
                continue
            state = torch.load(original, mmap=True, weights_only=True)
            nothing = {key: torch.tensor(math.nan).expand(value.shape) for key, value in state.items()}
            torch.save(nothing, folder / original.name)
        assert len(Faces(detector, RANDOM)(batch(PORTRAIT))[0]) == 0


@pytest.mark.parametrize("detector", WEIGHTS)
def test_untrained_the_middle_stands_for_a_face(detector: str) -> None:
    """Random networks of a smoke test lead to one box in the middle, so that what looks at faces has one."""
    box = reference_box(ReferenceBoxes("detector", detector, Setup(untrained=True)), PORTRAIT)
    assert box == pytest.approx([62.6, 40, 250.4, 160])


def test_of_several_faces_the_largest_is_used() -> None:
    """Without a box of the data set, the face of the largest area is the one."""
    (faces,) = Faces("blazeface", RANDOM)(batch(PORTRAIT))
    areas = (faces[:, 2] - faces[:, 0]) * (faces[:, 3] - faces[:, 1])
    assert len(faces) > 1
    assert reference_box(ReferenceBoxes("detector", "blazeface", RANDOM), PORTRAIT) == list(faces[areas.argmax(), :4])


def test_of_several_faces_the_nearest_to_the_data_sets_box_is_used() -> None:
    """With a box of the data set, the face whose centre is nearest to its centre is the one, whatever its size."""
    (faces,) = Faces("blazeface", RANDOM)(batch(PORTRAIT))
    assert len(faces) > 1
    for x1, y1, x2, y2, _ in faces:
        near = ((x1 + x2) / 2 - 30, (y1 + y2) / 2 - 20, 60, 40)
        box = reference_box(ReferenceBoxes("detector", "blazeface", RANDOM), PORTRAIT, near)
        assert box == [x1, y1, x2, y2]


@pytest.mark.parametrize(
    ("given", "corners"),
    [
        (FACE_BOX, [107, 40, 200, 160]),
        ((-30, -10, 80, 90), [-30, -10, 50, 80]),
        ((280, 150, 60, 90), [280, 150, 340, 240]),
        ((5.5, 6.5, 4, 4), [5.5, 6.5, 9.5, 10.5]),
    ],
    ids=["inside", "upper left border", "lower right border", "smallest"],
)
def test_the_data_sets_box_can_be_used(given: tuple[float, ...], corners: list[float]) -> None:
    """The data set's x, y, width, height become corners, which may be outside the image."""
    assert reference_box(ReferenceBoxes("dataset", "blazeface", RANDOM), PORTRAIT, given) == corners


@pytest.mark.parametrize(
    "given",
    [
        None,
        (math.nan,) * 4,
        (10, 10, 0, 50),
        (10, 10, 50, -9),
        (10, 10, 3, 50),
        (-90, 10, 50, 50),
        (10, 250, 50, 50),
        (9, 9, 9, 1e6),
    ],
    ids=["none", "NaN", "empty", "negative", "narrow", "left of the image", "below the image", "huge"],
)
def test_unusable_boxes_are_no_face(given: tuple[float, ...] | None) -> None:
    """A box that is absent, empty, tiny, huge, or centred outside the image is NaN."""
    assert all(map(math.isnan, reference_box(ReferenceBoxes("dataset", "blazeface", RANDOM), PORTRAIT, given)))


def test_decoded_images_have_the_boxes_of_their_originals() -> None:
    """The detector looks at the original once; the decoded images, and parts of the batch, get its box."""
    boxes = ReferenceBoxes("detector", "blazeface", RANDOM)
    recording = Recording(tensor(PORTRAIT, noisy(PORTRAIT, 40)))
    original: Batch = recording
    for _ in range(3):
        decoded = Batch(tensor(flat(128), flat(0)), original=original)
        assert torch.equal(decoded.get(boxes), original.get(boxes))
    assert recording.computed == (boxes, Faces("blazeface", RANDOM))
    second = Batch(tensor(flat(128), flat(0)), original=Batch(tensor(PORTRAIT, noisy(PORTRAIT, 40)))).part(1, 2)
    torch.testing.assert_close(second.get(boxes), original.get(boxes)[1:], rtol=0, atol=1e-2)


def test_overlap_is_intersection_over_union() -> None:
    """Equal boxes overlap by 1, one within another of twice its area by 1/2, shifted halves by 1/3, others by 0."""
    boxes = np.array([[0, 0, 4, 2, 1], [0, 0, 4, 4, 1], [2, 0, 6, 2, 1], [4, 0, 8, 2, 1], [9, 9, 9, 9, 1]], float)
    assert list(overlaps(boxes, torch.tensor([0.0, 0, 4, 2]))) == pytest.approx([1, 1 / 2, 1 / 3, 0, 0])
