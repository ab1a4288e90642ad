"""Gender: what DeepFace's classifier (Serengil and Ozpinar, 2021) says of the face, and whether coding changes it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from vcmbench.interfaces import Batch, Column, Metric, Missing, Parameter, Scores, Setup, Value
from vcmbench.metrics.face_crops import PACKAGES, REQUIRES, FaceNetwork, FaceOutput, weight_names, with_weights
from vcmbench.metrics.faces import PARAMETERS, reference_boxes, traced
from vcmbench.metrics.features import pair
from vcmbench.metrics.networks import network_identity

LABELS = ("Woman", "Man")
"""DeepFace's words, in the order of the network's probabilities."""


def gender_network(setup: Setup) -> nn.Module:
    """Build DeepFace's classifier on the trunk of VGG-Face: N×3×224×224, BGR in [0, 1] → N×2 probabilities."""
    module = importlib.import_module("deepface.models.demography.pytorch.Gender")
    return with_weights(module.base_model, "gender", setup)


NETWORK = FaceNetwork(gender_network, side=224, length=len(LABELS), resizes_floats=True)


@dataclass(frozen=True)
class Prediction:
    """The likelier label of a face, and the probability of "Woman"."""

    label: str
    p_woman: float


class Gender(Metric):
    """DeepFace's prediction on the decoded face, and whether it is the same as on the original (Yang et al., 2021)."""

    name = "gender"
    summary = "gender that DeepFace's network predicts, and whether it is the one predicted on the original"
    version = "1"
    kind = "machine"
    columns: ClassVar[Mapping[str, Column]] = {
        "gender": Column("Gender", None, dtype="string"),
        "gender_p_woman": Column("P(woman)", None, limits=(0, 1)),
        "gender_agrees": Column("Gender agrees", "higher", dtype="bool"),
    }
    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    requires: ClassVar[Mapping[str, str]] = REQUIRES

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        super().__init__(setup, **params)
        boxes = reference_boxes(self.params, self.setup)
        self.probabilities = FaceOutput(NETWORK, boxes)
        self.extractors = (boxes, self.probabilities)
        self.weights = weight_names("gender", boxes)

    @property
    def identity(self) -> dict[str, object]:
        """The weights, the packages and the precision, besides name, version and parameters."""
        return {**super().identity, **network_identity(self.setup, self.weights, PACKAGES)}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Classify each decoded face and its original."""
        probabilities = pair(reference, traced(decoded, reference), self.probabilities)
        reasons = self.probabilities.reasons(reference)
        before, after = ([_prediction(*row) for row in zip(rows.tolist(), reasons, strict=True)] for rows in probabilities)
        return {
            "gender": [face if isinstance(face, Missing) else face.label for face in after],
            "gender_p_woman": [face if isinstance(face, Missing) else face.p_woman for face in after],
            "gender_agrees": [_agrees(*faces) for faces in zip(before, after, strict=True)],
        }


def _prediction(probabilities: list[float], reason: Missing) -> Prediction | Missing:
    if any(map(math.isnan, probabilities)):
        return reason
    return Prediction(LABELS[probabilities.index(max(probabilities))], probabilities[0])


def _agrees(before: Prediction | Missing, after: Prediction | Missing) -> Value:
    if isinstance(before, Missing):
        return before
    return after if isinstance(after, Missing) else before.label == after.label
