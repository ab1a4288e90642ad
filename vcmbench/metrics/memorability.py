"""Memorability: how likely people are to remember an image, as ResMem predicts it (Needell and Bainbridge, 2022)."""

from __future__ import annotations

import base64
import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import FileHash, PackagePath, files
from typing import Any, ClassVar, cast

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from vcmbench.interfaces import Batch, Column, Metric, Scores, Setup
from vcmbench.metrics.networks import forward, network_identity
from vcmbench.torchvision_import import import_torchvision

RESIZED = 256
CROPPED = 227


def weight_file() -> PackagePath:
    """Return resmem's weight file as its wheel records it: where it lies, and its hash without reading 0.5 GB."""
    return next(file for file in files("resmem") or () if file.name == "model.pt")


def weight_hash() -> str:
    """Return the recorded SHA-256 of the weight file, in hexadecimal."""
    recorded = cast(FileHash, weight_file().hash)  # the wheel format asks for the hash of every file
    return base64.urlsafe_b64decode(recorded.value + "=").hex()


def resmem(setup: Setup) -> nn.Module:  # noqa: ARG001  # its weights are always here, so that it is never untrained
    """Return ResMem with its own weights."""
    import_torchvision()
    package = importlib.import_module("resmem")
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # resmem calls torchvision in a deprecated way, and loads weights that "meta" drops
        network: Any = package.ResMem(pretrained=True)
    weights = torch.load(weight_file().locate(), map_location="cpu", mmap=True, weights_only=True)
    network.load_state_dict(weights, assign=True)
    network.lrn1, network.lrn2 = (NormInFloat32(layer.size) for layer in (network.lrn1, network.lrn2))
    # resmem flattens what comes here by a view, which another memory layout of the images does not allow.
    network.pool5.register_forward_hook(lambda _layer, _inputs, output: output.contiguous())
    return cast(nn.Module, network)


class NormInFloat32(nn.LocalResponseNorm):
    """The same in float32 whatever the network's precision: torch has none in bfloat16 for a CPU."""

    def forward(self, activations: Tensor) -> Tensor:
        """Normalise B×C×H×W."""
        return super().forward(activations.float()).to(activations.dtype)


def preprocess(images: Tensor) -> Tensor:
    """Resize B×3×H×W uint8 to 256×256 if need be, and return the central B×3×227×227 as float32 in [0, 1].

    Equals resmem's own transform sample for sample; for that the resizing is Pillow's, which filters and rounds in 8 bits.
    """
    if images.shape[-2:] != (RESIZED, RESIZED):
        images = torch.stack([_resize(image) for image in images.cpu()])
    margin = (RESIZED - CROPPED) // 2
    return images[..., margin : margin + CROPPED, margin : margin + CROPPED].float() / 255


def _resize(image: Tensor) -> Tensor:
    resized = PIL.Image.fromarray(image.permute(1, 2, 0).numpy()).resize((RESIZED, RESIZED), PIL.Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


@dataclass(frozen=True)
class ResMemScore:
    """The memorability that ResMem predicts."""

    setup: Setup

    def __call__(self, batch: Batch) -> list[float]:
        """Return one score in [0, 1] per image."""
        crops = preprocess(batch.images)
        return cast(list[float], forward(resmem, self.setup, crops).squeeze(1).float().tolist())


class Memorability(Metric):
    """ResMem's score of the decoded image, and how far it is above the original's."""

    name = "memorability"
    summary = "memorability predicted by ResMem, and its difference from the original's"
    version = "1"
    kind = "machine"
    columns: ClassVar[Mapping[str, Column]] = {
        "memorability": Column("Memorability", "higher", limits=(0, 1)),
        "memorability_delta": Column("Memorability − original's", None, limits=(-1, 1)),
    }
    requires: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("resmem", "torchvision"),
        "resmem is free for non-commercial use, research included; pip install 'vcmbench[memorability]'",
    )

    def __init__(self, setup: Setup | None = None) -> None:
        super().__init__(setup)
        self.scorer = ResMemScore(self.setup)
        self.extractors = (self.scorer,)

    @property
    def identity(self) -> dict[str, object]:
        """The release of resmem, the SHA-256 of its weights and the precision, besides name and version."""
        return {**super().identity, **network_identity(self.setup, (), ("resmem",)), "weights": weight_hash()}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Score each decoded image, and subtract its original's score."""
        scores, originals = decoded.get(self.scorer), reference.get(self.scorer)
        delta = [score - original for score, original in zip(scores, originals, strict=True)]
        return {"memorability": scores, "memorability_delta": delta}
