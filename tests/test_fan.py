"""2DFAN-4's heat maps and points against face-alignment's own, on the same random weights."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import FACE_BOX, PORTRAIT, Recording, noisy, tensor
from random_fan import random_networks
from torch import Tensor
from weights_folder import weights_in

from vcmbench.interfaces import Batch, Image, Setup
from vcmbench.metrics import networks
from vcmbench.metrics.faces import ReferenceBoxes
from vcmbench.metrics.fan import FanLandmarks, centres_and_scales, crop, fan, heat_maps, peaks
from vcmbench.weights import ARTEFACTS

RANDOM = Setup(unverified=True)
GIVEN = ReferenceBoxes("dataset", "blazeface", RANDOM)
IMAGES = (PORTRAIT, noisy(PORTRAIT, 20), PORTRAIT, np.ascontiguousarray(PORTRAIT[::-1]))
BOXES = (FACE_BOX, (-30.5, -22.25, 117.0, 130.75), (250.0, 120.0, 90.0, 100.0), (140.0, 70.0, 9.0, 12.0))
"""x, y, width, height: inside, over two borders of the image, over the other two, and small."""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Seeded random networks where vcmbench and face-alignment look for the pretrained ones."""
    home = random_networks(tmp_path_factory)
    with weights_in(home):
        yield home


@pytest.fixture(scope="module")
def aligner(home: Path) -> Any:
    """Landmarks as face-alignment finds them."""
    assert home.is_dir()
    package = importlib.import_module("face_alignment")
    two_d = package.LandmarksType.TWO_D
    return package.FaceAlignment(two_d, device="cpu", flip_input=False, compile=False, face_detector="blazeface")


def corners(box: tuple[float, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """x1, y1, x2, y2 of x, y, width, height."""
    x, y, width, height = box
    return np.array([x, y, x + width, y + height])


def landmarks(*images: Image, boxes: tuple[tuple[float, ...], ...], flip: bool = False) -> Tensor:
    """Our points of each image's face: B×68×2."""
    return FanLandmarks(GIVEN, flip, RANDOM)(Batch(tensor(*images), torch.tensor(boxes))).view(-1, 68, 2)


def seen(network: torch.nn.Module, call: Any) -> list[tuple[Tensor, Tensor]]:
    """Each input of a network during a call, and the last of its outputs."""
    passes: list[tuple[Tensor, Tensor]] = []
    hook = network.register_forward_hook(lambda _network, inputs, outputs: passes.append((inputs[0], outputs[-1].clone())))
    try:
        call()
    finally:
        hook.remove()
    return passes


def share_equal(points: Tensor, others: Tensor) -> float:
    """How many of the coordinates are the same."""
    return float((points == others).float().mean())


@dataclass(frozen=True)
class Found:
    """What face-alignment makes of one face."""

    crops: Tensor
    maps: Tensor
    points: Tensor
    """68×2."""


@pytest.fixture(scope="module")
def found(aligner: Any) -> list[Found]:
    """What face-alignment makes of each image alone."""
    return [_found(aligner, image, box) for image, box in zip(IMAGES, BOXES, strict=True)]


def _found(aligner: Any, image: Image, box: tuple[float, ...]) -> Found:
    points: list[Any] = []
    ((inputs, maps),) = seen(
        aligner.face_alignment_net,
        lambda: points.extend(aligner.get_landmarks_from_image(image, detected_faces=[corners(box)])),
    )
    return Found(inputs, maps, torch.from_numpy(points[0]))


def test_heat_maps_equal_face_alignments(found: list[Found]) -> None:
    """Crops are face-alignment's, sample for sample, and the heat maps are to 1e-5; other channels, other maps."""
    for image, box, expected in zip(IMAGES, BOXES, found, strict=True):
        assert torch.equal(crop(image[None], *centres_and_scales(corners(box)[None])), expected.crops)
    for expected in found[:2]:
        maps = heat_maps(expected.crops, flip=False, setup=RANDOM)
        assert maps.shape == (1, 68, 64, 64)
        torch.testing.assert_close(maps, expected.maps, rtol=0, atol=1e-5)
    swapped = heat_maps(found[0].crops.flip(1), flip=False, setup=RANDOM)
    assert not torch.allclose(swapped, found[0].maps, atol=1e-2)


def test_points_equal_face_alignments(found: list[Found]) -> None:
    """A batch has the points that face-alignment finds in each image alone, and not those in other channels."""
    swapped = np.ascontiguousarray(PORTRAIT[..., ::-1])
    points = landmarks(*IMAGES, swapped, boxes=(*BOXES, FACE_BOX))
    assert share_equal(points[:4], torch.stack([face.points for face in found])) > 0.99
    assert share_equal(points[4], found[0].points) < 0.9


def test_points_of_the_mirror_image_can_be_added(aligner: Any, found: list[Found], monkeypatch: pytest.MonkeyPatch) -> None:
    """With `flip`, which is face-alignment's default, the points are others, and again face-alignment's."""
    monkeypatch.setattr(aligner, "flip_input", True)
    (points,) = aligner.get_landmarks_from_image(PORTRAIT, detected_faces=[corners(FACE_BOX)])
    expected = torch.from_numpy(points)
    assert share_equal(landmarks(PORTRAIT, boxes=(FACE_BOX,), flip=True)[0], expected) > 0.99
    assert share_equal(found[0].points, expected) < 0.9


def test_points_are_equal_on_identical_heat_maps() -> None:
    """Peaks inside, on the borders, on plateaus and alone are the points of face-alignment, for boxes of any size."""
    generator = np.random.default_rng(0)
    maps = generator.integers(0, 6, (40, 68, 64, 64)).astype(np.float32)  # of several highest samples the first counts
    spots = generator.integers(0, 64, (40, 68, 2))
    maps[np.arange(40)[:, None], np.arange(68), spots[..., 0], spots[..., 1]] += generator.integers(0, 2, (40, 68))
    maps[0] = 0
    upper_left = generator.uniform(-20, 200, (40, 2))
    faces = np.hstack((upper_left, upper_left + generator.uniform(5, 300, (40, 2))))
    centres, scales = centres_and_scales(faces)
    get_preds_fromhm = importlib.import_module("face_alignment.utils").get_preds_fromhm
    expected = [get_preds_fromhm(maps[[face]], centres[face], scales[face])[1][0] for face in range(40)]
    assert torch.equal(peaks(torch.from_numpy(maps), centres, scales), torch.from_numpy(np.array(expected)))


def test_crops_go_through_the_network_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two go through it at a time, three faces take two passes, and an image without a face none."""
    monkeypatch.setattr("vcmbench.metrics.fan.AT_ONCE", 2)
    boxes = ((math.nan,) * 4, *[FACE_BOX] * 3)
    points: list[Tensor] = []
    passes = seen(networks.loaded(fan, RANDOM), lambda: points.extend(landmarks(*[PORTRAIT] * 4, boxes=boxes)))
    assert [len(inputs) for inputs, _ in passes] == [2, 1]
    assert points[0].isnan().all()
    assert share_equal(points[3], points[1]) > 0.99


def test_decoded_images_are_cropped_by_the_originals_box() -> None:
    """The decoded image is cropped by the original's box, which is looked up once."""
    recording = Recording(tensor(PORTRAIT), torch.tensor([FACE_BOX]))
    original: Batch = recording
    extractor = FanLandmarks(GIVEN, flip=False, setup=RANDOM)
    original.get(extractor)
    elsewhere = torch.tensor([BOXES[1]])
    points = Batch(tensor(PORTRAIT), elsewhere, original=original).get(extractor)
    assert share_equal(points, original.get(extractor)) > 0.99
    assert recording.computed == (extractor, GIVEN)


def test_a_network_that_gives_nan_gives_no_points(home: Path, tmp_path: Path) -> None:
    """Heat maps that are not numbers have no peak: the points are NaN."""
    state = torch.load(home / "hub" / "checkpoints" / ARTEFACTS["fan"].file, mmap=True, weights_only=True)
    nothing = {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in state.items()}
    one_is_nan = torch.zeros(68).index_fill(0, torch.tensor([7]), math.nan)
    with weights_in(tmp_path) as folder:
        torch.save({**nothing, "l3.bias": one_is_nan}, folder / ARTEFACTS["fan"].file)
        assert landmarks(PORTRAIT, boxes=(FACE_BOX,)).isnan().all()


def test_bfloat16_and_untrained_networks_give_points() -> None:
    """Both give 68 points; untrained, no file is needed."""
    batch = Batch(tensor(PORTRAIT), torch.tensor([FACE_BOX]))
    for setup in (Setup(precision="bf16", unverified=True), Setup(untrained=True)):
        points = FanLandmarks(GIVEN, flip=False, setup=setup)(batch).view(68, 2)
        assert points.isfinite().all()
        assert len(set(map(tuple, points.tolist()))) > 60
