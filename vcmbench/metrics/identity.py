"""Identity similarity: how alike two faces are to a face recogniser, the original's and the decoded image's."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from vcmbench.interfaces import Batch, Column, Metric, Parameter, ParameterValue, Scores, Setup
from vcmbench.metrics.face_crops import PACKAGES, REQUIRES, FaceNetwork, FaceOutput, weight_names, with_weights
from vcmbench.metrics.faces import PARAMETERS as BOX_PARAMETERS
from vcmbench.metrics.faces import reference_boxes, traced
from vcmbench.metrics.features import pair
from vcmbench.metrics.networks import network_identity


def arcface(setup: Setup) -> nn.Module:
    """Build DeepFace's ArcFace (Deng et al., 2019; ResNet-34): N×3×112×112, BGR in [0, 1] → N×512."""
    module = importlib.import_module("deepface.models.facial_recognition.pytorch.ArcFace")
    return with_weights(module.base_model, "arcface", setup)


def facenet512(setup: Setup) -> nn.Module:
    """Build DeepFace's FaceNet (Schroff et al., 2015; Inception-ResNet v1): N×3×160×160, BGR in [0, 1] → N×512."""
    module = importlib.import_module("deepface.models.facial_recognition.pytorch.Facenet")
    return with_weights(lambda: module.InceptionResNetV1(dimension=512), "facenet512", setup)


LENGTH = 512
"""Numbers of an embedding."""
RECOGNISERS: Mapping[str, FaceNetwork] = {
    "arcface": FaceNetwork(arcface, side=112, length=LENGTH, resizes_floats=False),
    "facenet512": FaceNetwork(facenet512, side=160, length=LENGTH, resizes_floats=False),
}
PARAMETERS: Mapping[str, Parameter] = {
    "network": Parameter("arcface", "the face recogniser", choices=tuple(RECOGNISERS)),
    **BOX_PARAMETERS,
}


class IdentitySimilarity(Metric):
    """The cosine of the angle between the embeddings of the decoded face and of its original."""

    name = "identity"
    summary = "how alike the decoded face and its original are to a face recogniser (cosine of their embeddings)"
    version = "1"
    kind = "machine"
    columns: ClassVar[Mapping[str, Column]] = {
        "identity_similarity": Column("Identity similarity", "higher", limits=(-1, 1)),
    }
    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    requires: ClassVar[Mapping[str, str]] = REQUIRES

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        super().__init__(setup, **params)
        self.embedding = embedding(self.params, self.setup)
        self.extractors = (self.embedding.boxes, self.embedding)
        self.weights = weight_names(str(self.params["network"]), self.embedding.boxes)

    @property
    def identity(self) -> dict[str, object]:
        """The weights, the packages and the precision, besides name, version and parameters."""
        return {**super().identity, **network_identity(self.setup, self.weights, PACKAGES)}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded face with its original."""
        cosines = cosine(*pair(reference, traced(decoded, reference), self.embedding)).tolist()
        reasons = self.embedding.reasons(reference)
        return {
            "identity_similarity": [
                reason if math.isnan(value) else value for value, reason in zip(cosines, reasons, strict=True)
            ]
        }


def embedding(params: Mapping[str, ParameterValue], setup: Setup) -> FaceOutput:
    """Return the extractor of B×512 embeddings that the parameters ask for."""
    return FaceOutput(RECOGNISERS[str(params["network"])], reference_boxes(params, setup))


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosine of the angle between the rows of two B×D tensors: B float64 in [-1, 1], NaN where a row has NaN."""
    one, other = (functional.normalize(rows.double(), dim=1) for rows in (one, other))
    return (one * other).sum(1).clamp(-1, 1)
