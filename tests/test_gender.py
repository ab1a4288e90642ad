"""Gender: equal to what DeepFace predicts on the same faces with the same weights, and compared with the original's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from deepface.models.demography.DemographyUtils import GENDER_LABELS
from pictures import FACE_BOX, PORTRAIT, flat, jpeg, tensor
from random_deepface import FACES, GENDER, WEIGHTS, cases, deepface_says, write_random_gender
from torch import Tensor
from weights_folder import weights_in

from vcmbench.interfaces import Batch, Image, Missing, Setup
from vcmbench.metrics import networks
from vcmbench.metrics.gender import LABELS, Gender, gender_network

CALL = 'DeepFace.analyze(face, actions=["gender"], detector_backend="skip", enforce_detection=False, silent=True)[0]'
SETUP = Setup(unverified=True)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that DeepFace takes for its home, with a random network that vcmbench finds, too; its 0.5 GB are deleted."""
    home = tmp_path_factory.mktemp("home")
    write_random_gender(home)
    with weights_in(home):
        yield home
    (home / WEIGHTS / GENDER).unlink()


@pytest.fixture(scope="module")
def metric() -> Gender:
    """The metric on the data set's boxes."""
    return Gender(SETUP, boxes="dataset")


def portrait(*images: Image) -> Batch:
    """Versions of the portrait, each with her face box."""
    return Batch(tensor(*images), torch.tensor([FACE_BOX] * len(images)))


def test_predictions_equal_deepface(metric: Gender, home: Path) -> None:
    """Labels are those of `DeepFace.analyze`, and probabilities its own to 1e-5, of odd and dark faces in one batch."""
    expected = deepface_says(CALL, home, FACES)
    faces = cases()
    scores = metric.score(faces, faces)
    assert scores["gender"] == [face["dominant_gender"] for face in expected]
    assert scores["gender_p_woman"] == pytest.approx([face["gender"]["Woman"] / 100 for face in expected], abs=1e-5)
    assert set(scores["gender"]) == set(LABELS)
    assert list(LABELS) == GENDER_LABELS


def test_swapped_channels_are_noticed(metric: Gender) -> None:
    """With red and blue swapped, a face in colour has other probabilities."""
    faces = [cases(channels).part(0, 1) for channels in (slice(None), slice(None, None, -1))]
    same, swapped = (metric.score(face, face)["gender_p_woman"] for face in faces)
    assert same[0] != pytest.approx(swapped[0], abs=1e-2)


def test_agreement_is_with_the_prediction_on_the_original(metric: Gender) -> None:
    """`gender_agrees` tells whether the label is the original's, which is not the same for all of these."""
    reference = portrait(PORTRAIT)
    before = metric.score(reference, reference)["gender"]
    scores = [metric.score(reference, portrait(image)) for image in (jpeg(PORTRAIT, 5), flat(255))]
    assert [each["gender_agrees"] for each in scores] == [[each["gender"] == before] for each in scores] == [[True], [False]]


def test_bf16_deviates_little(metric: Gender) -> None:
    """In bf16 the probability differs by less than 0.15 even where, as here, everything in the face counts."""
    faces = cases().part(0, 2)
    exact = metric.score(faces, faces)["gender_p_woman"]
    rough = Gender(Setup(precision="bf16", unverified=True), boxes="dataset").score(faces, faces)["gender_p_woman"]
    assert rough == pytest.approx(exact, abs=0.15)
    assert rough != exact


def test_a_face_without_a_box_has_a_reason(metric: Gender) -> None:
    """An image without a box has a reason in every column; its neighbour has its values."""
    boxes = torch.tensor([FACE_BOX, [np.nan] * 4])
    reference = Batch(tensor(PORTRAIT, PORTRAIT), boxes)
    scores = metric.score(reference, Batch(tensor(jpeg(PORTRAIT, 10), PORTRAIT)))
    for name, values in scores.items():
        assert not isinstance(values[0], Missing), name
        assert values[1] == Missing("the data set gives no face box")


def test_a_box_that_is_a_line_has_a_reason(metric: Gender) -> None:
    """A face that would be resized to nothing has a reason that gives its size."""
    row = Batch(tensor(PORTRAIT[:1]), torch.tensor([[0.0, -10, 313, 21]]))
    assert metric.score(row, row)["gender"] == [Missing("the face box is 313×1 pixels: too narrow to be resized to 224×224")]


def test_originals_are_classified_once_for_all_settings(metric: Gender) -> None:
    """Two settings of an original run the network on three faces, not four."""
    seen: list[int] = []

    def count(_network: object, inputs: tuple[Tensor, ...], _output: object) -> None:
        seen.append(len(inputs[0]))

    reference = portrait(PORTRAIT)
    hook = networks.loaded(gender_network, SETUP).register_forward_hook(count)
    try:
        for quality in (4, 40):
            metric.score(reference, portrait(jpeg(PORTRAIT, quality)))
            reference.release(keep=metric.extractors)
    finally:
        hook.remove()
    assert sum(seen) == 3


def test_the_identity_names_what_can_change_a_value(metric: Gender) -> None:
    """Weights of the classifier, and of the detector if one finds the faces; packages, precision, parameters."""
    assert metric.weights == ("gender",)
    assert Gender(SETUP).weights == ("gender", "blazeface", "blazeface_anchors")
    assert Gender(SETUP, detector="sfd").weights == ("gender", "sfd")
    identity = metric.identity
    assert identity["params"] == {"boxes": "dataset", "detector": "blazeface"}
    assert set(identity["packages"]) == {"deepface", "face-alignment", "opencv-contrib-python-headless"}  # type: ignore[call-overload]  # a mapping
    assert set(identity["weights"]) == {"gender"}  # type: ignore[call-overload]  # likewise
    assert identity["precision"] == "fp32"
