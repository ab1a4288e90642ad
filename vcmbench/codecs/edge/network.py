"""The generative decoder: a small U-Net (Ronneberger et al., 2015) that adds to the diffused picture what it lacks.

It works on 2×2 blocks of pixels as channels (Shi et al., 2016), and on coarser grids down to a sixteenth of that, where it
sees the whole face. This is the only part of the codec that needs torch.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.codecs.edge.condition import Condition
from vcmbench.interfaces import Image

WEIGHTS = Path(__file__).with_name("decoder.safetensors")

WIDTHS = (32, 48, 96, 192, 192)
"""Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""
MULTIPLE = 2 ** len(WIDTHS)
"""Of which both sides of what the network is given must be multiples."""
CONDITIONS = 8
"""Channels of what it is given."""


class Decoder(nn.Module):
    """From B×8×H×W conditions (see `stack`) to B×3×H×W pictures around [0, 1]; H and W are multiples of 32."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        fine, *coarse = widths
        self.stem = nn.Conv2d(CONDITIONS, fine, 4, stride=2, padding=1)
        self.place = nn.Conv2d(3, coarse[0], 1)
        self.down = nn.ModuleList(nn.Conv2d(above, below, 2, stride=2) for above, below in itertools.pairwise(widths))
        self.encode = nn.ModuleList(Residual(width) for width in coarse)
        self.up = nn.ModuleList(nn.Conv2d(below, above, 1) for above, below in itertools.pairwise(widths))
        self.decode = nn.ModuleList(Residual(width) for width in coarse[:-1])
        self.join = nn.Conv2d(fine, fine, 3, padding=1)
        self.head = nn.Conv2d(fine, 12, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, conditions: Tensor) -> Tensor:
        """Add the residual to the diffused picture, the first three channels of the conditions."""
        skipped = [functional.relu(self.stem(conditions.to(self.stem.weight.dtype)))]
        features = self.down[0](skipped[0])
        features = self.encode[0](features + self.place(_places(conditions, features)))
        for down, encode in zip(self.down[1:], self.encode[1:], strict=True):
            skipped.append(features)
            features = encode(down(features))
        for up, decode in zip(reversed(self.up[1:]), reversed(self.decode), strict=True):
            features = decode(_twice(up(features)) + skipped.pop())
        features = functional.relu(self.join(functional.relu(_twice(self.up[0](features)) + skipped.pop())))
        residual = functional.pixel_shuffle(self.head(features), 2)
        return conditions[:, :3] + residual.float()


class Residual(nn.Module):
    """Adds to its input what two convolutions make of it (He et al., 2016, without normalisation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        change: Tensor = self.second(functional.relu(self.first(functional.relu(features))))
        return features + change


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0)


def _places(conditions: Tensor, features: Tensor) -> Tensor:
    """Where each feature is in the picture, since faces are cropped alike, and how many points there are."""
    count, _, height, width = features.shape
    rows = torch.linspace(-1, 1, height, dtype=features.dtype, device=features.device).view(1, 1, height, 1)
    columns = torch.linspace(-1, 1, width, dtype=features.dtype, device=features.device).view(1, 1, 1, width)
    density = conditions[:, 7:].mean((1, 2, 3), keepdim=True).sqrt().to(features.dtype)
    return torch.cat([plane.expand(count, 1, height, width) for plane in (rows, columns, density)], 1)


# ------------------------------------------------------------------------------------------------------- inference


def reconstruct(conditions: Sequence[Condition], device: str = "cpu") -> list[Image]:
    """Decode pictures of any sizes, H×W×3 uint8 each.

    They are taken one at a time, so that a picture does not depend on those beside it, and on a CPU that is as fast. The
    same machine always gives the same pixels; another one may round differently.
    """
    network = shipped(device)
    return [_reconstruct(network, condition, device) for condition in conditions]


@functools.cache
def shipped(device: str) -> Decoder:
    """Return the network with the weights of the package, ready to decode on the device."""
    with torch.device("meta"):
        network = Decoder()
    weights = {name: tensor.to(_dtype(device)) for name, tensor in load_file(WEIGHTS).items()}
    network.load_state_dict(weights, assign=True)
    network.requires_grad_(requires_grad=False).eval()
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's hints lack this form


def backend(device: str = "cpu") -> str:
    """Name torch, the precision and the weights, by their SHA-256."""
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    return f"torch {torch.__version__} in {_dtype(device)}, weights {digest[:16]}"


def _dtype(device: str) -> torch.dtype:
    """bfloat16 on a CPU that computes in it, which takes two thirds of the time; its rounding is below that to 8 bits."""
    return torch.bfloat16 if device == "cpu" and torch.cpu._is_avx512_bf16_supported() else torch.float32


@torch.inference_mode()
def _reconstruct(network: Decoder, condition: Condition, device: str) -> Image:
    height, width = condition.raster.shape
    planes = stack(condition)[None].to(device)
    padded = functional.pad(planes, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        picture = network(padded.contiguous(memory_format=torch.channels_last))[0, :, :height, :width]
    return picture.mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()  # type: ignore[no-any-return]  # numpy() is untyped


def stack(condition: Condition) -> Tensor:
    """Return 8×H×W float32: the diffused picture in [0, 1], strokes (1), the points' colours in [−½, ½], and points (1)."""
    mask = torch.from_numpy(condition.mask)[None].float()
    colours = torch.from_numpy(condition.colours).permute(2, 0, 1) / 255
    diffused = torch.from_numpy(condition.diffused).permute(2, 0, 1) / 255
    return torch.cat([diffused, torch.from_numpy(condition.raster)[None].float(), (colours - 0.5) * mask, mask])
