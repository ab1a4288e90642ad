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

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.codecs.edge.condition import Condition
from vcmbench.interfaces import Image

Colours = npt.NDArray[np.float32]
"""H×W×3, from 0 to 255."""

WEIGHTS = Path(__file__).with_name("decoder.safetensors")

WIDTHS = (32, 48, 96, 192, 192)
"""Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""
MULTIPLE = 2 ** len(WIDTHS)
"""Of which both sides of what the network is given must be multiples."""
CONDITIONS = 8
"""Channels of what it is given."""
_SHARPENING, _BLUR = 0.1, 1.5
"""What a network draws where it cannot know is nearer to a mean than originals are, so that faces come out softer, and are
less memorable; that much unsharp masking, with a Gaussian of so many pixels, makes up for it."""


class Decoder(nn.Module):
    """From B×8×H×W conditions (see `stack`) to B×3×H×W pictures around [0, 1]; H and W are multiples of 32."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        fine, *coarse = widths
        self.stem = Rectified(CONDITIONS, fine, 4, stride=2, padding=1)
        self.place = nn.Conv2d(3, coarse[0], 1)
        self.down = nn.ModuleList(nn.Conv2d(above, below, 2, stride=2) for above, below in itertools.pairwise(widths))
        self.encode = nn.ModuleList(Residual(width) for width in coarse)
        self.up = nn.ModuleList(nn.Conv2d(below, above, 1) for above, below in itertools.pairwise(widths))
        self.decode = nn.ModuleList(Residual(width) for width in coarse[:-1])
        self.join = Rectified(fine, fine, 3, padding=1)
        self.head = nn.Conv2d(fine, 12, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, conditions: Tensor) -> Tensor:
        """Add the residual to the diffused picture, the first three channels of the conditions."""
        return conditions[:, :3] + self.residual(conditions).float()

    def residual(self, conditions: Tensor) -> Tensor:
        """Return what the diffused pictures lack, B×3×H×W."""
        skipped = [self.stem(conditions.to(self.place.weight.dtype))]
        features = self.down[0](skipped[0])
        features = self.encode[0](features + self.place(_places(conditions, features)))
        for down, encode in zip(self.down[1:], self.encode[1:], strict=True):
            skipped.append(features)
            features = encode(down(features))
        for up, decode in zip(reversed(self.up[1:]), reversed(self.decode), strict=True):
            features = decode(_twice(up(features)) + skipped.pop())
        features = self.join(functional.relu(_twice(self.up[0](features)) + skipped.pop()))
        return functional.pixel_shuffle(self.head(features), 2)


class Rectified(nn.Conv2d):
    """A convolution of which what is below 0 becomes 0."""

    def forward(self, features: Tensor) -> Tensor:
        """B×C×H×W to as many channels as it has."""
        return functional.relu(super().forward(features))


class Added(nn.Conv2d):
    """A convolution that is added to something."""

    def forward(self, features: Tensor, sum_before: Tensor | None = None) -> Tensor:
        """B×C×H×W, and what it is added to, to the same shape as that."""
        change = super().forward(features)
        return change if sum_before is None else sum_before + change


class Residual(nn.Module):
    """Adds to its input what two convolutions make of it (He et al., 2016, without normalisation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Rectified(width, width, 3, padding=1)
        self.second = Added(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        changed: Tensor = self.second(self.first(functional.relu(features)), features)
        return changed


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0)


def _places(conditions: Tensor, features: Tensor) -> Tensor:
    """Where each feature is in the picture, since faces are cropped alike, and how many points there are."""
    count, _, height, width = features.shape
    rows = torch.linspace(-1, 1, height, dtype=features.dtype, device=features.device).view(1, 1, height, 1)
    columns = torch.linspace(-1, 1, width, dtype=features.dtype, device=features.device).view(1, 1, 1, width)
    density = conditions[:, 7:].mean((1, 2, 3), keepdim=True, dtype=torch.float32).sqrt().to(features.dtype)
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
    if device == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's hints lack it
        _pack(network)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's hints lack this form


class _Packed(nn.Module):
    """A convolution by oneDNN with its weights laid out once for the size of picture that it is given.

    By the names that `torch.compile` calls oneDNN by; `nn.Conv2d` lays them out anew each time.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._how = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        self._then = "relu" if isinstance(layer, Rectified) else "none"
        self._shape: torch.Size | None = None

    def forward(self, features: Tensor, sum_before: Tensor | None = None) -> Tensor:
        """1×C×H×W, channels last, to the same layout; what it is added to is overwritten."""
        if features.shape != self._shape:
            self._laid_out = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self._how, list(features.shape))
            self._shape = features.shape
        given = (features, self._laid_out, self.bias, *self._how)
        if sum_before is None:
            result: Tensor = torch.ops.mkldnn._convolution_pointwise(*given, self._then, [], "")
        else:
            result = torch.ops.mkldnn._convolution_pointwise_.binary(sum_before, *given, "add", 1, None, [], None)
        return result


def _pack(module: nn.Module) -> None:
    """Exchange all convolutions inside for packed ones; from then on it only decodes, one picture at a time, on the CPU."""
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d):
            setattr(module, name, _Packed(part))
        else:
            _pack(part)


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
    planes = stack(condition, _dtype(device))[None].to(device)
    beyond = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    padded = functional.pad(planes, beyond, mode="replicate") if any(beyond) else planes
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        residual = network.residual(padded.contiguous(memory_format=torch.channels_last))[0, :, :height, :width]
    picture = residual.permute(1, 2, 0).float().cpu().mul_(255).add_(torch.from_numpy(condition.diffused)).contiguous()
    return np.clip(np.rint(sharpened(picture.numpy())), 0, 255).astype(np.uint8)


def sharpened(picture: Colours) -> Colours:
    """Return an H×W×3 picture with the contrast of its finest details raised."""
    blurred = cv2.GaussianBlur(picture, (0, 0), _BLUR)
    return np.asarray(cv2.addWeighted(picture, 1 + _SHARPENING, blurred, -_SHARPENING, 0))


def stack(condition: Condition, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return 8×H×W: the diffused picture in [0, 1], strokes (1), the points' colours in [−½, ½], and points (1)."""
    planes = torch.empty((CONDITIONS, *condition.raster.shape), dtype=dtype)
    diffused, strokes, colours, mask = torch.split(planes, [3, 1, 3, 1])
    torch.mul(torch.from_numpy(condition.diffused).permute(2, 0, 1), 1 / 255, out=diffused)
    strokes.copy_(torch.from_numpy(condition.raster))
    mask.copy_(torch.from_numpy(condition.mask))
    colours.copy_(torch.from_numpy(condition.colours).permute(2, 0, 1)).mul_(1 / 255).sub_(0.5).mul_(mask)
    return planes
