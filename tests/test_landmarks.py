"""The landmark metric: its numbers by hand, its reasons, its ONNX backend, and how it behaves on real portraits."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_file import write_linear_network
from pictures import FACE_BOX, PORTRAIT, Recording, flat, jpeg, noisy, tensor
from random_fan import random_networks
from weights_folder import weights_in

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.datasets.vggface2 import VggFace2
from vcmbench.interfaces import Batch, Image, Missing, ParameterError, Scores, Setup, UsageError
from vcmbench.metrics.faces import Faces
from vcmbench.metrics.landmarks import Landmarks, normalised_mean_errors
from vcmbench.weights import ARTEFACTS, sha256

RANDOM = Setup(unverified=True)
NME = ("nme_box", "nme_interocular")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Seeded random networks in place of the pretrained ones."""
    home = random_networks(tmp_path_factory)
    with weights_in(home):
        yield home


@pytest.fixture
def linear(tmp_path: Path) -> tuple[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """An ONNX network that multiplies a crop of 16×16 by a matrix, and the matrix."""
    matrix = np.random.default_rng(0).normal(scale=0.02, size=(768, 136)).astype(np.float32)
    write_linear_network(tmp_path / "linear.onnx", matrix)
    return str(tmp_path / "linear.onnx"), matrix


def batch(*images: Image, box: tuple[float, ...] = FACE_BOX) -> Batch:
    """The images with the same face box."""
    return Batch(tensor(*images), torch.tensor([box] * len(images)))


def only(scores: Scores) -> dict[str, Any]:
    """The values of the one image."""
    return {name: value for name, (value,) in scores.items()}


# --------------------------------------------------------------------------------------------------- the numbers


def test_errors_are_mean_distances_by_the_faces_size() -> None:
    """All points moved by (3, 4) are 5 away: divided by √(90·40) = 60, and by the 50 between the outer eye corners."""
    reference = torch.zeros(1, 68, 2, dtype=torch.float64)
    reference[0, 8] = torch.tensor([90, 40])
    reference[0, 36], reference[0, 45] = torch.tensor([20, 5]), torch.tensor([60, 35])
    errors = normalised_mean_errors(reference, reference + torch.tensor([3, 4]))
    assert errors.box == pytest.approx([5 / 60])
    assert errors.interocular == pytest.approx([5 / 50])
    one_moved = reference.clone()
    one_moved[0, 0, 0] += 68
    assert normalised_mean_errors(reference, one_moved).interocular == pytest.approx([1 / 50])


def test_degenerate_reference_points_are_told() -> None:
    """Points on a line span no box, and eyes at one point no distance; points that are not finite are neither."""
    line = torch.zeros(1, 68, 2, dtype=torch.float64)
    line[0, :, 0] = torch.arange(68)
    errors = normalised_mean_errors(line, line + 1)
    assert errors.box == [Missing("the original's landmarks span no area")]
    assert errors.interocular == pytest.approx([math.sqrt(2) / 9])
    same_eyes = torch.rand(1, 68, 2, dtype=torch.float64)
    same_eyes[0, 45] = same_eyes[0, 36]
    assert normalised_mean_errors(same_eyes, line).interocular == [
        Missing("the outer corners of the original's eyes are one point")
    ]
    unknown = [Missing("the landmark network gave no finite points")]
    for pair in ((line * math.nan, line), (line, line * math.nan)):
        assert normalised_mean_errors(*pair).box == normalised_mean_errors(*pair).interocular == unknown


@pytest.mark.parametrize("params", [{}, {"backend": "onnx", "detector": "sfd", "boxes": "dataset"}], ids=str)
def test_scores_compare_points_in_the_originals_box(params: dict[str, Any], linear: Any) -> None:
    """A copy has no error and a face; another image has the error of the points that are stored for both."""
    metric = Landmarks(RANDOM, **params, **({"model": linear[0]} if params else {}))
    original = batch(PORTRAIT)
    assert only(metric.score(original, batch(PORTRAIT))) == {"nme_box": 0, "nme_interocular": 0, "face_detected": True}
    decoded = Batch(tensor(noisy(PORTRAIT, 30)), original=original)
    scores = only(metric.score(original, decoded))
    before, after = (pictures.get(metric.stores[0].extractor).view(1, 68, 2).double() for pictures in (original, decoded))
    errors = normalised_mean_errors(before, after)
    assert (scores["nme_box"], scores["nme_interocular"]) == (errors.box[0], errors.interocular[0])
    assert scores["nme_box"] > 0


def test_what_the_images_were_decoded_from_need_not_be_told(linear: Any) -> None:
    """`score` gives the same when the decoded batch does not know its originals, and has a box of its own."""
    metric = Landmarks(RANDOM, backend="onnx", model=linear[0])
    original, images = batch(PORTRAIT), tensor(jpeg(PORTRAIT, 10))
    assert metric.score(original, Batch(images, torch.tensor([[9, 9, 99, 99]]))) == metric.score(
        original, Batch(images, original=original)
    )


def test_the_face_is_looked_for_once_in_the_original(linear: Any) -> None:
    """Two settings ask the original for its box, faces and points once."""
    metric, original = Landmarks(RANDOM, backend="onnx", model=linear[0]), Recording(tensor(PORTRAIT))
    for quality in (5, 50):
        metric.score(original, batch(jpeg(PORTRAIT, quality)))
        original.release(keep=metric.extractors)
    assert sorted(map(str, original.computed)) == sorted(map(str, (metric.points, metric.boxes, metric.faces)))


# --------------------------------------------------------------------------------------------------- the reasons


def test_an_original_without_a_face_has_no_value() -> None:
    """In an image too small for faces all three columns have the reason, and its neighbour's box changes nothing."""
    tiny = PORTRAIT[60:80, 120:150]
    absent = Missing("no face found in the original")
    assert only(Landmarks(RANDOM).score(batch(tiny), batch(tiny))) == dict.fromkeys((*NME, "face_detected"), absent)


def test_an_image_without_the_data_sets_box_has_no_error(linear: Any) -> None:
    """With the data set's boxes, an image without one has a reason, beside others that have values."""
    boxes = torch.tensor([[math.nan] * 4, FACE_BOX])
    original = Batch(tensor(PORTRAIT, PORTRAIT), boxes)
    metric = Landmarks(RANDOM, backend="onnx", model=linear[0], boxes="dataset")
    scores = metric.score(original, Batch(tensor(PORTRAIT, PORTRAIT), boxes))
    assert scores["nme_box"] == [Missing("the data set gives no face box"), 0]
    assert scores["face_detected"] == [True, True]


def test_a_network_that_gives_nan_has_no_error(home: Path, tmp_path: Path) -> None:
    """Weights that are not numbers lead to a reason; whether the face is detected is known all the same."""
    originals = home / "hub" / "checkpoints"
    state = torch.load(originals / ARTEFACTS["fan"].file, mmap=True, weights_only=True)
    nothing = {name: torch.tensor(math.nan).to(tensor.dtype).expand(tensor.shape) for name, tensor in state.items()}
    with weights_in(tmp_path) as folder:
        for name in ("blazeface", "blazeface_anchors"):
            (folder / ARTEFACTS[name].file).symlink_to(originals / ARTEFACTS[name].file)
        torch.save(nothing, folder / ARTEFACTS["fan"].file)
        scores = only(Landmarks(RANDOM).score(batch(PORTRAIT), batch(PORTRAIT)))
    assert scores["nme_box"] == scores["nme_interocular"] == Missing("the landmark network gave no finite points")
    assert scores["face_detected"] is True


def test_images_of_different_sizes_are_refused() -> None:
    """An original and a decoded image of another size are a mistake that is named."""
    with pytest.raises(UsageError, match="same shape"):
        Landmarks(RANDOM).score(batch(PORTRAIT), batch(PORTRAIT[:-1]))


# ------------------------------------------------------------------------------------------------- ONNX networks


def onnx_points(model: str, image: Image, box: tuple[float, ...], **params: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The stored points of one image."""
    metric = Landmarks(RANDOM, backend="onnx", boxes="dataset", model=model, **params)
    points: np.ndarray[Any, np.dtype[np.float32]] = batch(image, box=box).get(metric.stores[0].extractor).numpy()[0]
    return points


@pytest.mark.parametrize(
    ("input_range", "mean", "deviation"),
    [
        ("0..1", 0, 1),
        ("-1..1", 0.5, 0.5),
        ("imagenet", np.array([0.485, 0.456, 0.406])[:, None, None], np.array([0.229, 0.224, 0.225])[:, None, None]),
    ],
)
def test_the_network_sees_the_face_as_it_wants_it(linear: Any, input_range: str, mean: Any, deviation: Any) -> None:
    """A crop of the network's own size holds the image's samples, RGB, in the asked range; outputs are parts of its side."""
    model, matrix = linear
    samples = (PORTRAIT[60:76, 120:136].transpose(2, 0, 1) / 255 - mean) / deviation
    expected = (samples.reshape(-1) @ matrix).reshape(68, 2) * 16 + [120, 60]
    points = onnx_points(model, PORTRAIT, (120, 60, 16, 16), box_scale=1.0, input_range=input_range)
    np.testing.assert_allclose(points.reshape(68, 2), expected, atol=1e-3)


def test_crops_are_square_scaled_and_black_outside_the_image(linear: Any) -> None:
    """The square of twice the longer side around a box at the corner is halved, and black where there is no image."""
    model, matrix = linear
    padded = np.pad(PORTRAIT, ((16, 0), (16, 0), (0, 0)))[:32, :32].transpose(2, 0, 1) / 255
    halved = padded.reshape(3, 16, 2, 16, 2).mean((2, 4))
    expected = (halved.reshape(-1) @ matrix).reshape(68, 2) * 32 - 16
    points = onnx_points(model, PORTRAIT, (-4, -8, 8, 16), box_scale=2.0)
    np.testing.assert_allclose(points.reshape(68, 2), expected, atol=1e-3)


def test_a_network_for_one_image_at_a_time_scores_batches(linear: Any, tmp_path: Path) -> None:
    """Exported for batches of one, it gives what the same network for any batch gives; bf16 changes nothing."""
    model, matrix = linear
    write_linear_network(tmp_path / "single.onnx", matrix, batch=1)
    images, decoded = batch(PORTRAIT, PORTRAIT), batch(noisy(PORTRAIT, 9), flat(7))
    scores = [
        Landmarks(setup, backend="onnx", boxes="dataset", model=path).score(images, decoded)["nme_box"]
        for setup, path in (
            (RANDOM, model),
            (RANDOM, str(tmp_path / "single.onnx")),
            (Setup(precision="bf16", unverified=True), model),
        )
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert scores[0] == scores[2]
    assert all(isinstance(value, float) and value > 0 for value in scores[0])


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A file that is not ONNX, and networks that do not map crops to 136 values, are named with the remedy when used."""
    (tmp_path / "noise.onnx").write_bytes(b"this is not a network")
    write_linear_network(tmp_path / "few.onnx", np.zeros((768, 98), np.float32))
    write_linear_network(tmp_path / "four.onnx", np.zeros((768, 136), np.float32), batch=4)
    product = str(importlib.resources.files("onnxruntime.datasets") / "mul_1.onnx")
    for path in (*map(str, sorted(tmp_path.glob("*.onnx"))), product):
        metric = Landmarks(RANDOM, backend="onnx", boxes="dataset", model=path)
        assert metric.unavailable() is None
        with pytest.raises(UsageError, match=rf"{Path(path).name}.*parameter model takes a network that maps N×3×H×W"):
            metric.score(batch(PORTRAIT), batch(PORTRAIT))


def test_a_missing_model_is_told_before_the_run(tmp_path: Path) -> None:
    """A path without a file makes the metric unavailable; no path at all is a wrong parameter."""
    reason = Landmarks(backend="onnx", model=str(tmp_path / "absent.onnx")).unavailable()
    assert reason is not None
    assert "absent.onnx" in reason
    with pytest.raises(ParameterError, match="backend onnx needs model"):
        Landmarks(backend="onnx")


def test_parameters_of_the_other_backend_are_refused(linear: Any) -> None:
    """What would be ignored is a mistake: flip with an ONNX file, an ONNX file with 2DFAN-4."""
    with pytest.raises(ParameterError, match="flip is of backend fan"):
        Landmarks(backend="onnx", model=linear[0], flip=True)
    with pytest.raises(ParameterError, match="model is of backend onnx"):
        Landmarks(model=linear[0])


def test_the_identity_names_what_can_change_a_value(linear: Any, tmp_path: Path) -> None:
    """The networks' files by their hash, an ONNX file wherever it lies, the packages, the precision and the parameters."""
    fan = Landmarks(RANDOM).identity
    assert set(fan["weights"]) == {"fan", "blazeface", "blazeface_anchors"}  # type: ignore[call-overload]  # a mapping
    assert Landmarks(RANDOM, detector="sfd").weights == ("fan", "sfd")
    model, matrix = linear
    elsewhere = tmp_path / "elsewhere.onnx"
    write_linear_network(elsewhere, matrix)
    onnx, copy = (Landmarks(RANDOM, backend="onnx", model=path).identity for path in (model, str(elsewhere)))
    assert onnx == copy
    assert onnx["model"] == sha256(elsewhere)
    assert "onnxruntime" in onnx["packages"]  # type: ignore[operator]  # a mapping
    write_linear_network(elsewhere, matrix + 1)
    assert Landmarks(RANDOM, backend="onnx", model=str(elsewhere)).identity != copy


# ------------------------------------------------------------------------------------------------ real portraits


@pytest.fixture
def real(portraits: Path, tmp_path: Path) -> Iterator[tuple[Landmarks, Batch]]:
    """PFLD's landmarks with the published BlazeFace, and 40 portraits as a job prepares them."""
    folder, dataset = portraits.parent / "weights", VggFace2(str(portraits))
    rows = sorted((row for rows in dataset.images() for row in rows.to_pylist()), key=lambda row: str(row["image"]))[:40]
    boxes = [tuple(row[f"box_{name}"] for name in ("x", "y", "width", "height")) for row in rows]
    prepared = [prepare(dataset.read(row["path"]), box, Preparation()) for row, box in zip(rows, boxes, strict=True)]
    with weights_in(tmp_path) as home:
        for name in ("blazeface", "blazeface_anchors"):
            (home / ARTEFACTS[name].file).symlink_to(folder / ARTEFACTS[name].file)
        metric = Landmarks(backend="onnx", model=str(folder / "pfld.onnx"))
        yield metric, Batch(tensor(*(face.image for face in prepared)), torch.tensor([face.box for face in prepared]))


def test_real_landmarks_move_more_at_lower_quality(real: tuple[Landmarks, Batch]) -> None:
    """Equal portraits have no error; the mean grows from JPEG 40 over 10 to 4, nearly every portrait has one."""
    metric, originals = real
    images = list(originals.images.permute(0, 2, 3, 1).numpy())
    errors, detected = {}, {}
    for quality in (40, 10, 4):
        scores = metric.score(originals, Batch(tensor(*(jpeg(image, quality) for image in images))))
        errors[quality] = [value for value in scores["nme_box"] if isinstance(value, float)]
        detected[quality] = [value for value in scores["face_detected"] if isinstance(value, bool)]
    assert set(map(len, errors.values())) == {len(errors[4])}
    assert len(errors[4]) >= 36
    assert 0 < np.mean(errors[40]) < np.mean(errors[10]) < np.mean(errors[4]) < 0.06
    assert 1 >= np.mean(detected[40]) > np.mean(detected[10]) > np.mean(detected[4]) > 0
    same = metric.score(originals, Batch(originals.images))
    assert {value for value in same["nme_box"] if isinstance(value, float)} == {0.0}


def test_a_face_that_is_gone_is_not_detected(real: tuple[Landmarks, Batch]) -> None:
    """A flat image, and the face of another place, are not the original's face; NME still has a value."""
    metric, originals = real
    whole = originals.part(0, 1)
    gone = metric.score(whole, Batch(torch.full_like(whole.images, 128)))
    assert gone["face_detected"] == [False]
    assert isinstance(gone["nme_box"][0], float)
    assert gone["nme_box"][0] > 0.05
    moved = Batch(whole.images.roll((128, 128), (2, 3)))
    assert len(moved.get(Faces("blazeface", metric.setup))) == 1
    assert metric.score(whole, moved)["face_detected"] == [False]
