"""Where the faces are: what a detector finds in each image, and the one box of the original that every setting uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.interfaces import Batch, Parameter, ParameterValue, Setup
from vcmbench.metrics import networks

Array: TypeAlias = npt.NDArray[np.float64]
Boxes: TypeAlias = Array
"""N×5: x1, y1, x2, y2 in pixels of the image, and the detector's score in [0, 1]."""
Size: TypeAlias = tuple[int, int]
"""Of an image: height and width."""

WEIGHTS: Mapping[str, tuple[str, ...]] = {"blazeface": ("blazeface", "blazeface_anchors"), "sfd": ("sfd",)}
"""Detector → the names of its files in `vcmbench.weights`."""

PARAMETERS: Mapping[str, Parameter] = {
    "boxes": Parameter("detector", "who says where the original's face is", choices=("detector", "dataset")),
    "detector": Parameter("blazeface", "what finds faces", choices=tuple(WEIGHTS)),
}
"""Of every metric that looks at one face."""
NO_BOX: Mapping[str, str] = {
    "detector": "no face found in the original",
    "dataset": "the data set gives no face box",
}
"""Who says where the face is → why an image has no value."""

SMALLEST_IMAGE = 32
"""Pixels: in an image with a shorter side no face is looked for; S3FD halves an image five times."""
SMALLEST_FACE = 4
"""Pixels: a box with a shorter side is no face."""
LARGEST_FACE = 4
"""Times the image's longer side: a box with a longer side is no face."""


@dataclass(frozen=True)
class Faces:
    """What a detector finds in each image, as face-alignment's `detect_from_image` finds it.

    "blazeface" (Bazarevsky et al., 2019) looks at the central square, resized to 128×128; "sfd" (S3FD, Zhang et al., 2017)
    at the whole image. Both run in float32 whatever the setup's precision: bfloat16 moved some of BlazeFace's boxes by 11
    pixels of 256. Untrained, the network runs and the middle of the image stands for a face.
    """

    detector: str
    setup: Setup

    def __call__(self, batch: Batch) -> list[Boxes]:
        """Return the faces of each image; none for an image with a side under 32 pixels."""
        images, detector = batch.images, DETECTORS[self.detector]
        size = (images.shape[-2], images.shape[-1])
        if min(size) < SMALLEST_IMAGE:
            return [np.zeros((0, 5)) for _ in images]
        setup, at_once = (
            replace(self.setup, precision="fp32"),
            detector.at_once if self.setup.device == "cpu" else len(images),
        )
        found: list[Boxes] = []
        for inputs in torch.split(detector.prepare(images), at_once):
            outputs = [output.cpu() for output in networks.forward(detector.build, setup, inputs)]
            found += [_middle(size)] * len(inputs) if setup.untrained else detector.decode(outputs, size, setup)
        return [boxes[np.isfinite(boxes).all(1)] for boxes in found]


@dataclass(frozen=True)
class ReferenceBoxes:
    """The one face of each original: found by the detector, or the data set's own; the same for every setting.

    `source` is "detector" or "dataset". Of several faces it is the one whose centre is nearest to the centre of the data
    set's box where there is one, else the largest.
    """

    source: str
    detector: str
    setup: Setup

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×4 float64 on the CPU: x1, y1, x2, y2 in pixels, for originals and for images decoded from them alike.

        NaN for an image without a face. A box is finite, its centre is inside the image, and its sides are from 4 pixels to
        4 times the image's longer side; its corners may be outside the image.
        """
        if batch.original is not batch:
            return batch.original.get(self)
        size = (batch.images.shape[-2], batch.images.shape[-1])
        given = _corners(batch.boxes, len(batch))
        found = list(given[:, None]) if self.source == "dataset" else batch.get(Faces(self.detector, self.setup))
        boxes = [_the_face(faces[:, :4], near, size) for faces, near in zip(found, given, strict=True)]
        return torch.from_numpy(np.stack(boxes))


def reference_boxes(params: Mapping[str, ParameterValue], setup: Setup) -> ReferenceBoxes:
    """Return the boxes that a metric's parameters ask for."""
    return ReferenceBoxes(str(params["boxes"]), str(params["detector"]), setup)


def traced(decoded: Batch, reference: Batch) -> Batch:
    """Return the decoded images as a batch that knows its originals, where the faces are looked for."""
    return decoded if decoded.original is reference else Batch(decoded.images, decoded.boxes, original=reference)


def overlaps(boxes: Boxes, box: Tensor) -> Array:
    """Return the intersection over union of each of N×5 boxes with one of four coordinates: N values in [0, 1]."""
    x1, y1, x2, y2 = box.tolist()
    width = np.minimum(boxes[:, 2], x2) - np.maximum(boxes[:, 0], x1)
    height = np.minimum(boxes[:, 3], y2) - np.maximum(boxes[:, 1], y1)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return cast(Array, shared / (areas + (x2 - x1) * (y2 - y1) - shared))


def _corners(boxes: Tensor | None, count: int) -> Array:
    if boxes is None:
        return np.full((count, 4), np.nan)
    given = boxes.double().cpu().numpy()
    return np.hstack((given[:, :2], given[:, :2] + given[:, 2:]))


def _the_face(boxes: Array, near: Array, size: Size) -> Array:
    sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    sized = (sides >= SMALLEST_FACE) & (sides <= LARGEST_FACE * max(size))
    inside = (centres >= 0) & (centres < size[::-1])
    candidates = boxes[(sized & inside).all(1)]
    if len(candidates) == 0:
        return np.full(4, np.nan)
    if np.isnan(near).any():
        widths, heights = (candidates[:, 2:] - candidates[:, :2]).T
        return cast(Array, candidates[np.argmax(widths * heights)])
    aside = (candidates[:, :2] + candidates[:, 2:]) / 2 - (near[:2] + near[2:]) / 2
    return cast(Array, candidates[np.argmin(np.hypot(*aside.T))])


def _middle(size: Size) -> Boxes:
    height, width = size
    return np.array([[0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height, 1.0]])


# ------------------------------------------------------------------------------------------------------- detectors


@dataclass(frozen=True)
class Detector:
    """How one network finds faces, in the steps around its forward pass."""

    build: networks.Build
    at_once: int
    """How many images it takes at a time on the CPU, where more are no faster and their activations need memory."""
    prepare: Callable[[Tensor], Tensor]
    """B×3×H×W uint8 → the network's input."""
    decode: Callable[[list[Tensor], Size, Setup], list[Boxes]]
    """The network's outputs, float32 on the CPU, and the image's size → the faces of each image."""


def blazeface(setup: Setup) -> nn.Module:
    """Build BlazeFace for front cameras, with the threshold of face-alignment's detector."""
    network: Any = importlib.import_module("face_alignment.detection.blazeface.net_blazeface").BlazeFace()
    network.min_score_thresh = 0.5
    if not setup.untrained:
        with networks.state("blazeface", setup) as state:
            network.load_state_dict(state)
        with networks.weight_file("blazeface_anchors", setup) as path:
            network.load_anchors_from_npy(np.load(path))
    return cast(nn.Module, network)


def _prepare_blazeface(images: Tensor) -> Tensor:
    preparation = importlib.import_module("face_alignment.detection.blazeface.utils")
    squares, _ = preparation.resize_and_crop_batch(images.permute(0, 2, 3, 1).cpu().numpy(), 128)
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 127.5 - 1


def _decode_blazeface(outputs: list[Tensor], size: Size, setup: Setup) -> list[Boxes]:
    network: Any = networks.loaded(blazeface, setup)  # with the next line, its `predict_on_batch` less the forward pass
    candidates = network._tensors_to_detections(*outputs, network.anchors)
    merged = [network._weighted_non_max_suppression(detections) for detections in candidates]
    faces = [torch.stack(detections).numpy() if detections else np.zeros((0, 17)) for detections in merged]
    height, width = size
    shift = np.array([(width - height) // 2, 0] * 2 if width > height else [0, (height - width) // 2] * 2)
    return [np.hstack((found[:, [1, 0, 3, 2]] * min(size) + shift, found[:, 16:])) for found in faces]


def sfd(setup: Setup) -> nn.Module:
    """Build S3FD."""
    network: nn.Module = importlib.import_module("face_alignment.detection.sfd.net_s3fd").s3fd()
    if not setup.untrained:
        with networks.state("sfd", setup) as state:
            network.load_state_dict(state)
    return network


def _prepare_sfd(images: Tensor) -> Tensor:
    mean = torch.tensor([104.0, 117.0, 123.0], device=images.device)  # of blue, green and red
    return images.flip(1).float() - mean.view(1, 3, 1, 1)


def _decode_sfd(outputs: list[Tensor], size: Size, setup: Setup) -> list[Boxes]:  # noqa: ARG001  # a detector's signature
    get_predictions = importlib.import_module("face_alignment.detection.sfd.detect").get_predictions
    nms = importlib.import_module("face_alignment.detection.sfd.bbox").nms
    maps = [functional.softmax(output, 1) if level % 2 == 0 else output for level, output in enumerate(outputs)]
    found = []
    for image in range(len(maps[0])):  # of several images at once it would give each the others' boxes, too
        candidates = get_predictions([output[image : image + 1].numpy() for output in maps], 1)[0].reshape(-1, 5)
        kept = candidates[nms(candidates, 0.3)]
        found.append(kept[kept[:, 4] > 0.5])
    return found


DETECTORS: Mapping[str, Detector] = {
    "blazeface": Detector(blazeface, 16, _prepare_blazeface, _decode_blazeface),
    "sfd": Detector(sfd, 4, _prepare_sfd, _decode_sfd),
}
