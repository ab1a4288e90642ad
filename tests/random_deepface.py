"""Seeded random networks in the format and under the names of DeepFace's weight files, and DeepFace run on them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepface.models.demography.pytorch import Gender
from deepface.models.facial_recognition.pytorch import ArcFace, Facenet
from pictures import PORTRAIT, tensor
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.interfaces import Batch, Image

WEIGHTS = Path(".deepface", "weights")
"""The folder of the files in the one that `DEEPFACE_HOME` names."""
GENDER, ARCFACE, FACENET512 = "gender_model_weights.pth", "arcface_weights.pth", "facenet512_weights.pth"

DARK: Image = (PORTRAIT > 127).astype(np.uint8)
"""Without a sample above 1, which DeepFace takes to be in [0, 1] already."""
CASES: tuple[tuple[Image, tuple[float, ...], Image], ...] = (
    (PORTRAIT, (107, 40, 93, 120), PORTRAIT[40:160, 107:200]),
    (PORTRAIT, (250.4, 10.6, 80, 47), PORTRAIT[11:58, 250:313]),
    (PORTRAIT, (60.6, 149.5, 30, 90), PORTRAIT[150:200, 61:91]),
    (PORTRAIT, (-20, -19, 301, 40), PORTRAIT[:21, :281]),
    (DARK, (107, 40, 93, 120), DARK[40:160, 107:200]),
)
"""Images of one size, the face box of each (x, y, width, height), and its pixels that the box covers."""
FACES = [face for _, _, face in CASES]


def cases(channels: slice = slice(None)) -> Batch:
    """Return the cases' images, their channels in the asked order, with their boxes."""
    return Batch(tensor(*(image[..., channels] for image, _, _ in CASES)), torch.tensor([box for _, box, _ in CASES]))


PROGRAM = """
import json, pathlib, sys
import numpy as np
from deepface import DeepFace
home, call = sys.argv[1:]
with np.load(f"{home}/faces.npz") as faces:
    results = [eval(call, {"DeepFace": DeepFace, "face": face}) for face in faces.values()]
pathlib.Path(f"{home}/results.json").write_text(json.dumps(results, default=float))
"""


def write_random_gender(home: Path) -> None:
    """Write a gender network to which a portrait and its negative differ, where DeepFace at home in `home` looks for it."""
    with torch.device("meta"):  # its own random numbers would be drawn for nothing
        network: Any = Gender.base_model()
    _random(network.to_empty(device="cpu"))
    portrait = functional.interpolate(tensor(PORTRAIT[40:160, 107:200]).flip(1) / 255, (224, 224), mode="bilinear")
    features = network.backbone.embed(torch.cat([portrait, 1 - portrait]))
    logits = features @ network.predictions.weight.flatten(1).T
    odds = logits[:, 0] - logits[:, 1]
    network.predictions.weight.mul_(3 / odds.std())
    network.predictions.bias.copy_(torch.tensor([-0.5, 0.5]) * 3 * odds.mean() / odds.std())
    _write(network, home, GENDER)


def write_random_recogniser(file: str, home: Path) -> None:
    """Write an ArcFace or Facenet512 whose embeddings differ from picture to picture, where DeepFace looks for it."""
    make, side = {ARCFACE: (ArcFace.base_model, 112), FACENET512: (lambda: Facenet.InceptionResNetV1(512), 160)}[file]
    network = _random(make())
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics become the pictures' own
        norm.train()
    network(_pictures(4, side))
    _write(network, home, file)


def deepface_says(call: str, home: Path, faces: Sequence[Image]) -> list[Any]:
    """Evaluate `call`, which names `DeepFace` and `face`, for each RGB face, in a process that has the files in `home`.

    `face` is BGR, as DeepFace wants arrays.
    """
    np.savez(home / "faces.npz", *(face[..., ::-1] for face in faces))
    environment = {"DEEPFACE_HOME": str(home), "DEEPFACE_BACKEND_ENGINE": "pytorch", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", PROGRAM, str(home), call], check=True, env={**os.environ, **environment})
    results: list[Any] = json.loads((home / "results.json").read_text())
    return results


@torch.no_grad()
def _random(network: nn.Module) -> nn.Module:
    """Redraw convolutions and matrices so that the signal keeps its power (He et al., 2015), and norms around 1 and 0."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            bound = math.sqrt(6 / parameter[0].numel())
            parameter.uniform_(-bound, bound, generator=generator)
            parameter.sub_(parameter.flatten(1).mean(1).view(-1, *[1] * (parameter.ndim - 1)))  # or all would be brightness
        elif name.endswith("bias"):
            parameter.uniform_(-0.1, 0.1, generator=generator)
        elif parameter.requires_grad:  # FaceNet's norms have no scale
            parameter.uniform_(0.8, 1.2, generator=generator)
    return network.requires_grad_(requires_grad=False).eval()


def _pictures(count: int, side: int) -> Tensor:
    colours = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(colours, (side, side), mode="bicubic").clamp(0, 1)


def _write(network: nn.Module, home: Path, file: str) -> None:
    path = home / WEIGHTS / file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
