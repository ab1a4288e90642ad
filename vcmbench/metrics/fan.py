"""The 68 landmarks that 2DFAN-4 finds (Bulat and Tzimiropoulos, 2017), for all images of a batch at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vcmbench.interfaces import Batch, Setup
from vcmbench.metrics import networks
from vcmbench.metrics.faces import ReferenceBoxes

Array: TypeAlias = npt.NDArray[np.float64]

RESOLUTION = 64
"""Of the heat maps, a quarter of the crops'."""
AT_ONCE = 4
"""How many crops go through the network at a time on the CPU, where more are no faster and their activations need memory."""


@dataclass(frozen=True)
class FanLandmarks:
    """2DFAN-4's points, as face-alignment's `get_landmarks_from_image` gives them for the same face boxes.

    With `flip` the heat maps of each crop and of its mirror image are added, at twice the time.
    """

    boxes: ReferenceBoxes
    flip: bool
    setup: Setup

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×136 float32 on the CPU: x1, y1, …, x68, y68, in whole pixels of the image.

        NaN for an image without a face, or whose heat maps are not finite.
        """
        points = torch.full((len(batch), 136), torch.nan)
        boxes = batch.get(self.boxes).numpy()
        found = np.flatnonzero(np.isfinite(boxes).all(1))
        centres, scales = centres_and_scales(boxes[found])
        images = batch.images.permute(0, 2, 3, 1)
        at_once = AT_ONCE if self.setup.device == "cpu" else len(batch)
        for start in range(0, len(found), at_once):
            here = slice(start, start + at_once)
            crops = crop(images[torch.from_numpy(found[here])].cpu().numpy(), centres[here], scales[here])
            maps = heat_maps(crops, flip=self.flip, setup=self.setup)
            points[torch.from_numpy(found[here])] = peaks(maps, centres[here], scales[here]).flatten(1)
        return points


def fan(setup: Setup) -> nn.Module:
    """Build 2DFAN-4: four stacked hourglasses."""
    network: nn.Module = importlib.import_module("face_alignment.models").FAN(4)
    if not setup.untrained:
        with networks.state("fan", setup) as state:
            network.load_state_dict(state)
    return network


def centres_and_scales(boxes: Array) -> tuple[Array, Array]:
    """Return the centres (N×2, in pixels) and scales (N) of the network's crops for N×4 face boxes."""
    package = importlib.import_module("face_alignment.utils")
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 2] - width / 2, boxes[:, 3] - height / 2
    return np.stack((x, y - height * package.CENTER_Y_OFFSET), 1), (width + height) / package.REFERENCE_SCALE


def crop(images: npt.NDArray[np.uint8], centres: Array, scales: Array) -> Tensor:
    """Return face-alignment's crops of N×H×W×3 images, black outside of them: N×3×256×256 float32 in [0, 1]."""
    package = importlib.import_module("face_alignment.utils")
    crops = [package.crop(*face) for face in zip(images, centres, scales, strict=True)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def heat_maps(crops: Tensor, *, flip: bool, setup: Setup) -> Tensor:
    """Return the last hourglass's heat maps of N×3×256×256 in [0, 1]: N×68×64×64 float32."""
    maps: Tensor = networks.forward(fan, setup, crops)[-1].float()
    if flip:
        mirror = importlib.import_module("face_alignment.utils").flip
        maps += mirror(networks.forward(fan, setup, mirror(crops))[-1].float(), is_label=True)
    return maps


def peaks(maps: Tensor, centres: Array, scales: Array) -> Tensor:
    """Return where N×68×64×64 heat maps are highest, in the images they were cropped from: N×68×2 float32, x first.

    Equals face-alignment's `get_preds_fromhm`, which compiles itself for 10 seconds: the first highest sample, moved by a
    quarter of one towards its higher neighbours, truncated to whole pixels. NaN for a face whose maps are not finite.
    """
    samples = maps.flatten(2)
    highest = samples.argmax(2)
    x, y = highest % RESOLUTION, highest // RESOLUTION
    inner = (x > 0) & (x < RESOLUTION - 1) & (y > 0) & (y < RESOLUTION - 1)
    offsets = [_quarter(samples, highest, step) * inner for step in (1, RESOLUTION)]
    in_maps = torch.stack((x + offsets[0], y + offsets[1]), 2).double().cpu().numpy() + 0.5
    points = torch.from_numpy(np.trunc(_in_image(in_maps, centres, scales))).float()
    points[~samples.isfinite().all(2).all(1).cpu()] = torch.nan
    return points


def _in_image(points: Array, centres: Array, scales: Array) -> Array:
    sides = 200 * scales  # of the crops, in pixels of the image
    into_maps = np.tile(np.eye(3), (len(points), 1, 1))
    into_maps[:, 0, 0] = into_maps[:, 1, 1] = RESOLUTION / sides
    into_maps[:, :2, 2] = RESOLUTION * (0.5 - centres / sides[:, None])
    into_image = np.linalg.pinv(into_maps)  # as in face-alignment: its rounding errors decide at whole pixels
    return cast(Array, points @ into_image[:, :2, :2].transpose(0, 2, 1) + into_image[:, None, :2, 2])


def _quarter(samples: Tensor, highest: Tensor, step: int) -> Tensor:
    last = samples.shape[2] - 1
    after, before = (samples.gather(2, (highest + side).clamp(0, last)[..., None]) for side in (step, -step))
    return (after - before)[..., 0].sign() / 4
