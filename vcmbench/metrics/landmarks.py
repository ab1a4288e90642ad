"""Facial landmarks: how far the decoded image's 68 points are from the original's, and whether the face is still found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from vcmbench import weights
from vcmbench.interfaces import (
    Batch,
    Column,
    Extractor,
    Metric,
    Missing,
    Parameter,
    ParameterError,
    Scores,
    Setup,
    StoredFeature,
    Value,
)
from vcmbench.metrics import networks
from vcmbench.metrics.faces import (
    NO_BOX,
    PARAMETERS,
    WEIGHTS,
    Boxes,
    Faces,
    ReferenceBoxes,
    overlaps,
    reference_boxes,
    traced,
)
from vcmbench.metrics.fan import FanLandmarks
from vcmbench.metrics.features import pair
from vcmbench.metrics.onnx_landmarks import RANGES, OnnxLandmarks, OnnxNetwork

SAME_FACE = 0.5
"""The least overlap (intersection over union) of two boxes of the same face."""
BACKEND = {"flip": "fan", "model": "onnx", "input_range": "onnx", "box_scale": "onnx"}
"""Parameter → the one backend that it is for."""


class Landmarks(Metric):
    """The normalised mean error of 68 landmarks, the original's being the reference, and whether the face is detected."""

    name = "landmarks"
    summary = "normalised mean error of 68 facial landmarks, and whether the face is still detected"
    version = "1"
    kind = "machine"
    columns: ClassVar[Mapping[str, Column]] = {
        "nme_box": Column("NME (box)", "lower", limits=(0, None)),
        "nme_interocular": Column("NME (interocular)", "lower", limits=(0, None)),
        "face_detected": Column("Face detected", "higher", "bool"),
    }
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "backend": Parameter("fan", "the landmark network: 2DFAN-4, or an ONNX file's", choices=("fan", "onnx")),
        **PARAMETERS,
        "flip": Parameter(default=False, help="fan: add the heat maps of the mirror image, at twice the time"),
        "model": Parameter("", "onnx: the path of a network that maps N×3×H×W to N×136"),
        "input_range": Parameter("0..1", "onnx: what its input is normalised to", choices=tuple(RANGES)),
        "box_scale": Parameter(1.1, "onnx: the crop's side by the face box's longer one", minimum=0.5, maximum=4),
    }
    requires: ClassVar[Mapping[str, str]] = {"face_alignment": networks.METRICS}

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        """Raise `ParameterError` for a parameter that is unknown, out of range, of the other backend, or lacking."""
        super().__init__(setup, **params)
        backend, detector = str(self.params["backend"]), str(self.params["detector"])
        self.model = str(self.params["model"])
        for name, value in self.params.items():
            if value != self.parameters[name].default and BACKEND.get(name, backend) != backend:
                raise ParameterError(f"landmarks: {name} is of backend {BACKEND[name]}, not of {backend}; leave it out")
        if backend == "onnx" and not self.model:
            raise ParameterError("landmarks: backend onnx needs model, the path of an ONNX file that gives 68 points")
        self.weights = (("fan",) if backend == "fan" else ()) + WEIGHTS[detector]
        self.boxes = reference_boxes(self.params, self.setup)
        self.detected = ReferenceBoxes("detector", detector, self.setup)
        self.faces = Faces(detector, self.setup)
        self.points = self._points()
        self.extractors = (self.boxes, self.detected, self.faces, self.points)
        self.stores = (StoredFeature("landmarks", 136, self.points),)

    def _points(self) -> Extractor[Tensor]:
        if self.params["backend"] == "fan":
            return FanLandmarks(self.boxes, bool(self.params["flip"]), self.setup)
        network, input_range, box_scale = OnnxNetwork(self.model), str(self.params["input_range"]), self.params["box_scale"]
        return OnnxLandmarks(self.boxes, network, input_range, float(box_scale), self.setup)

    def unavailable(self) -> str | None:
        """Say how to get face-alignment, or onnxruntime and its file, where one of them is missing."""
        if not self.model:
            return super().unavailable()
        if find_spec("onnxruntime") is None:
            return f"needs onnxruntime; {networks.METRICS}"
        no_file = None if Path(self.model).is_file() else f"there is no file {self.model}; correct the parameter model"
        return super().unavailable() or no_file

    @property
    def identity(self) -> dict[str, object]:
        """Weights, packages and precision, beside name, version and parameters; an ONNX file is its SHA-256, not a path."""
        params = {name: value for name, value in self.params.items() if name != "model"}
        packages: tuple[str, ...] = ("face-alignment", "opencv-python")
        identity = {**super().identity, "params": params}
        if self.model:
            identity["model"] = weights.sha256(Path(self.model))
            packages = (*packages, "onnxruntime")
        return {**identity, **networks.network_identity(self.setup, self.weights, packages)}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Find the points of both images in the face box of the original, and the face in the decoded image."""
        decoded = traced(decoded, reference)
        before, after = (points.view(-1, 68, 2).double() for points in pair(reference, decoded, self.points))
        errors = normalised_mean_errors(before, after)
        no_face = NO_BOX[self.boxes.source]
        has_face = reference.get(self.boxes).isfinite().all(1).tolist()
        faces = zip(reference.get(self.detected), decoded.get(self.faces), strict=True)
        return {
            "nme_box": _or_reason(errors.box, has_face, no_face),
            "nme_interocular": _or_reason(errors.interocular, has_face, no_face),
            "face_detected": [_is_detected(box, found) for box, found in faces],
        }


@dataclass(frozen=True)
class NormalisedMeanErrors:
    """The mean distance of corresponding points, divided by a size of the reference face; one value or reason per image."""

    box: list[Value]
    """By √(w·h) of the box around the reference points (Bulat and Tzimiropoulos, 2017)."""
    interocular: list[Value]
    """By the distance of the outer corners of the eyes, points 37 and 46."""


def normalised_mean_errors(reference: Tensor, points: Tensor) -> NormalisedMeanErrors:
    """Compare B×68×2 points in pixels with those of the reference."""
    distances = (points - reference).norm(dim=2).mean(1)
    box = (reference.amax(1) - reference.amin(1)).prod(1).sqrt()
    interocular = (reference[:, 36] - reference[:, 45]).norm(dim=1)
    return NormalisedMeanErrors(
        box=_ratios(distances, box, "the original's landmarks span no area"),
        interocular=_ratios(distances, interocular, "the outer corners of the original's eyes are one point"),
    )


def _ratios(distances: Tensor, sizes: Tensor, degenerate: str) -> list[Value]:
    unknown = "the landmark network gave no finite points"
    return [
        Missing(unknown) if not math.isfinite(distance) else Missing(degenerate) if size == 0 else distance / size
        for distance, size in zip(distances.tolist(), sizes.tolist(), strict=True)
    ]


def _or_reason(values: list[Value], has_face: list[bool], reason: str) -> list[Value]:
    return [value if face else Missing(reason) for value, face in zip(values, has_face, strict=True)]


def _is_detected(box: Tensor, found: Boxes) -> Value:
    if box.isnan().any():
        return Missing(NO_BOX["detector"])
    return bool((overlaps(found, box) >= SAME_FACE).any())
