"""The 68 landmarks that a network in an ONNX file finds, in the convention of PFLD (Guo et al., 2019)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.interfaces import Batch, Setup, UsageError
from vcmbench.metrics import networks
from vcmbench.metrics.faces import ReferenceBoxes

RANGES = {
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""What the network wants → the mean and the deviation that samples in [0, 1] are normalised by, for R, G and B."""

REMEDY = "the parameter model takes a network that maps N×3×H×W float32 of one fixed size to N×136, 0 to 1 across the crop"


@dataclass(frozen=True)
class OnnxNetwork:
    """How to load the network of an ONNX file; equal ones are loaded once."""

    path: str

    def __call__(self, setup: Setup) -> Session:
        """Return the network, to be run on the setup's device; raises `UsageError` for a file that is not of this kind."""
        return Session(self.path, setup.device)


@dataclass(frozen=True)
class OnnxLandmarks:
    """The points that the network finds in a square around the face, `box_scale` times the face box's longer side.

    The square is black outside the image. The network runs in float32, whatever the setup's precision.
    """

    boxes: ReferenceBoxes
    network: OnnxNetwork
    input_range: str
    box_scale: float
    setup: Setup

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×136 float32 on the CPU: x1, y1, …, x68, y68, in pixels of the image; NaN for an image without a face."""
        points = torch.full((len(batch), 136), torch.nan)
        boxes = batch.get(self.boxes)
        found = boxes.isfinite().all(1).nonzero().flatten()
        if len(found) == 0:
            return points
        setup = replace(self.setup, precision="fp32")
        corners, sides = squares(boxes[found], self.box_scale)
        session: Any = networks.loaded(self.network, setup)
        crops = crop(batch.images[found.to(batch.images.device)], corners, sides, session.size)
        mean, deviation = (torch.tensor(values, device=crops.device).view(3, 1, 1) for values in RANGES[self.input_range])
        relative = networks.forward(self.network, setup, (crops - mean) / deviation).double().cpu().view(-1, 68, 2)
        points[found] = (corners[:, None] + relative * sides[:, None, None]).float().flatten(1)
        return points


def squares(boxes: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the upper left corners (N×2) and sides (N) of squares of `scale` times the longer sides of N×4 boxes."""
    sides = scale * (boxes[:, 2:] - boxes[:, :2]).amax(1)
    return (boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2, sides


def crop(images: Tensor, corners: Tensor, sides: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize squares of N×3×H×W uint8 images bilinearly: N×3×`size` float32 in [0, 1], on the images' device."""
    extent = torch.tensor([images.shape[-1], images.shape[-2]])
    scaling = sides[:, None] / extent
    shift = (2 * corners + sides[:, None]) / extent - 1
    affine = torch.cat((torch.diag_embed(scaling), shift[:, :, None]), 2).to(images.device, torch.float32)
    grid = functional.affine_grid(affine, [len(images), 3, *size], align_corners=False)
    return functional.grid_sample(images.float() / 255, grid, align_corners=False)


class Session(nn.Module):
    """A 68-point network that onnxruntime runs: N×3×H×W float32 → N×136, where 0 and 1 are the crop's borders."""

    def __init__(self, path: str, device: str) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.session = _open(path, self.device)
        self.input, self.output = _ends(self.session, path)
        self.at_once = 1 if self.input.shape[0] == 1 else None
        self.size: tuple[int, int] = tuple(self.input.shape[2:])

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the network, on one image after the other where it was exported for one."""
        parts = torch.split(inputs.contiguous().cpu(), self.at_once or len(inputs))
        points = [self.session.run([self.output.name], {self.input.name: part.numpy()})[0] for part in parts]
        return torch.cat([torch.from_numpy(part).view(-1, 136) for part in points])


def _open(path: str, device: torch.device) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone, and those are raised
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0}))
    try:
        return runtime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime has a class of its own for each fault of a file
        raise UsageError(f"landmarks: {path} cannot be loaded as an ONNX network ({error}); {REMEDY}") from error


def _ends(session: Any, path: str) -> tuple[Any, Any]:
    """The network's input and its output of 136 values for each image."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    takes_images = len(inputs) == 1 and inputs[0].type == "tensor(float)" and _is_batch_of_crops(inputs[0].shape)
    points = [output for output in outputs if _values(output.shape) == 136]
    if takes_images and points:
        return inputs[0], points[0]
    found = " → ".join(", ".join(str(end.shape) for end in ends) for ends in (inputs, outputs))
    raise UsageError(f"landmarks: {Path(path).name} maps {found}; {REMEDY}")


def _is_batch_of_crops(shape: list[int | str | None]) -> bool:
    if len(shape) != 4 or shape[1] != 3:
        return False
    return (shape[0] == 1 or not isinstance(shape[0], int)) and all(isinstance(side, int) for side in shape[2:])


def _values(shape: list[int | str | None]) -> int:
    """How many values there are for each image; 0 where the file does not say."""
    sizes = [size if isinstance(size, int) else 0 for size in shape[1:]]
    return prod(sizes) if sizes else 0
