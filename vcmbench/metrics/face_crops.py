"""What DeepFace's networks say of the one face of each image, cut out by the original's box and resized as DeepFace does."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from vcmbench.interfaces import Batch, Image, Missing, Setup
from vcmbench.metrics import networks
from vcmbench.metrics.faces import NO_BOX, WEIGHTS, ReferenceBoxes

REQUIRES: Mapping[str, str] = dict.fromkeys(("deepface", "face_alignment"), networks.METRICS)
PACKAGES = ("deepface", "face-alignment", "opencv-contrib-python-headless")
"""Whose releases can change a value: the networks, the boxes, the resizing."""

AT_ONCE = 4
"""How many faces a network takes at a time on the CPU, where more are no faster and their activations need memory."""

Window: TypeAlias = tuple[slice, slice]
"""The rows and the columns of an image that its face covers."""


@dataclass(frozen=True)
class FaceNetwork:
    """A network of DeepFace that looks at one face."""

    build: networks.Build
    """Makes a network that takes N×3×S×S, BGR in [0, 1], and gives N×L."""
    side: int
    """S, in pixels."""
    length: int
    """L."""
    resizes_floats: bool
    """Whether DeepFace scales samples to [0, 1] before it resizes them, as `analyze` does, or after, as `represent` does."""


@dataclass(frozen=True)
class FaceOutput:
    """What a network gives for the one face of each image."""

    network: FaceNetwork
    boxes: ReferenceBoxes

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×L float32 on the CPU; NaN for an image without a face, or whose output is not finite or all zeros."""
        images = batch.images.permute(0, 2, 3, 1).cpu().numpy()
        windows = {place: window for place, window in enumerate(self._windows(batch)) if not isinstance(window, Missing)}
        setup, places = self.boxes.setup, list(windows)
        passes = math.ceil(len(places) / (AT_ONCE if setup.device == "cpu" else len(images)))
        outputs = torch.full((len(images), self.network.length), math.nan)
        for some in (places[first::passes] for first in range(passes)):  # even shares: VGG-Face is slow on a face alone
            faces = torch.cat([_resized(images[place][windows[place]], self.network) for place in some])
            outputs[some] = networks.forward(self.network.build, setup, faces).float().cpu()
        usable = outputs.isfinite().all(1) & outputs.any(1)
        outputs[~usable] = math.nan
        return outputs

    def reasons(self, batch: Batch) -> list[Missing]:
        """Return why an image has no output, for each image, whether it has one or not."""
        unusable = Missing("the network gave no finite numbers, or only zeros")
        return [window if isinstance(window, Missing) else unusable for window in self._windows(batch)]

    def _windows(self, batch: Batch) -> list[Window | Missing]:
        height, width = batch.images.shape[-2:]
        return [
            Missing(NO_BOX[self.boxes.source])
            if any(map(math.isnan, box))
            else _window(box, height, width, self.network.side)
            for box in batch.get(self.boxes).tolist()
        ]


def _window(box: list[float], height: int, width: int, side: int) -> Window | Missing:
    """Round a box to whole pixels and clip it to the image."""
    left, right = (min(max(round(x), 0), width) for x in box[0::2])
    top, bottom = (min(max(round(y), 0), height) for y in box[1::2])
    shorter, longer = sorted((right - left, bottom - top))
    if longer >= side * shorter:  # the shorter side would be resized to nothing
        return Missing(f"the face box is {right - left}×{bottom - top} pixels: too narrow to be resized to {side}×{side}")
    return slice(top, bottom), slice(left, right)


def _resized(face: Image, network: FaceNetwork) -> Tensor:
    """Return the face as 1×3×S×S float32, BGR in [0, 1], in the middle of black where it is not square.

    As in DeepFace, samples are not divided by 255 where none is above 1.
    """
    resize = importlib.import_module("deepface.modules.preprocessing").resize_image
    bgr = np.ascontiguousarray(face[..., ::-1])
    samples = bgr / np.float32(255) if network.resizes_floats and bgr.max() > 1 else bgr
    return torch.from_numpy(resize(samples, (network.side, network.side))).permute(0, 3, 1, 2)


def weight_names(artefact: str, boxes: ReferenceBoxes) -> tuple[str, ...]:
    """Return the weight files of a network and of what finds its faces."""
    return (artefact, *WEIGHTS[boxes.detector]) if boxes.source == "detector" else (artefact,)


def with_weights(make: Callable[[], nn.Module], artefact: str, setup: Setup) -> nn.Module:
    """Make a network with the tensors of a weight file, or with random ones if `setup` says so."""
    if setup.untrained:
        return _amplified(make())
    with torch.device("meta"):  # no time for random numbers that the file replaces
        network = make()
    network.to_empty(device="cpu")
    with networks.state(artefact, setup) as state:
        network.load_state_dict(state)
    return network


@torch.no_grad()
def _amplified(network: nn.Module) -> nn.Module:
    """Give PyTorch's random weights the power that ReLU needs, or the face dies out on its way (He et al., 2015)."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(math.sqrt(6))
    return network
