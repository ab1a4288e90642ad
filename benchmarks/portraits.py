"""Portraits as vcmbench prepares them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.datasets.vggface2 import VggFace2
from vcmbench.interfaces import Image


@dataclass(frozen=True)
class Portraits:
    """Prepared images, N×H×W×3 uint8, and the face box of each: x, y, width and height in its pixels."""

    images: Image
    boxes: npt.NDArray[np.float64]


def load_portraits(root: Path, count: int, split: str = "test") -> Portraits:
    """Prepare the first portraits of a folder in VGGFace2's layout."""
    dataset = VggFace2(str(root), split)
    prepared = []
    for row in islice((row for batch in dataset.images() for row in batch.to_pylist()), count):
        box = (row["box_x"], row["box_y"], row["box_width"], row["box_height"])
        prepared.append(prepare(dataset.read(row["path"]), box, Preparation()))
    return Portraits(np.stack([each.image for each in prepared]), np.array([each.box for each in prepared]))


def as_tensor(images: Image) -> Tensor:
    """Return N×H×W×3 images as N×3×H×W."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
