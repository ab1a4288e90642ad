"""How far a network's activations on a decoded image are from those on its original."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from vcmbench.interfaces import Batch, Metric, Missing, Scores, Setup, UsageError, Value
from vcmbench.metrics.features import CACHED_SAMPLES, require_same_shape
from vcmbench.metrics.networks import network_identity
from vcmbench.weights import sha256

GPU_TO_CPU = 8
"""How many times more pixels a GPU takes at a time than a CPU core."""

Description = TypeVar("Description")
Result = TypeVar("Result", bound=tuple[Tensor, ...])


@dataclass(frozen=True)
class Backbone(Generic[Description, Result]):
    """A network, and how its activations on two images are compared."""

    title: str
    smallest: int
    """The smallest side in pixels of an image for which every layer has an output."""
    at_once: int
    """How many pixels a CPU core takes at a time: more are no faster, and their activations need memory."""
    describe: Callable[[Tensor, Setup], Description]
    """Runs the network on B×3×H×W uint8, and gives what is needed to compare its activations."""
    compare: Callable[[Description, Description], Result]
    """Compares originals with decoded images; gives a named tuple of tensors with B rows each."""


@dataclass(frozen=True)
class Activations(Generic[Description, Result]):
    """What is needed of a backbone's activations; asked of a few images at a time, and kept of originals only."""

    backbone: Backbone[Description, Result]
    setup: Setup

    def __call__(self, batch: Batch) -> Description:
        """Run the network on all images at once."""
        return self.backbone.describe(batch.images, self.setup)


@dataclass(frozen=True)
class Comparisons(Generic[Description, Result]):
    """The comparisons of a decoded batch made so far, by the reference compared with; `compared` adds to them."""

    activations: Activations[Description, Result]

    def __call__(self, batch: Batch) -> dict[Batch, Result]:  # noqa: ARG002  # the contract of an extractor
        """Return none: nothing is compared yet."""
        return {}


def compared(reference: Batch, decoded: Batch, activations: Activations[Description, Result]) -> Result:
    """Compare each decoded image with its original, once; raises `UsageError` when their shapes differ."""
    found = decoded.get(Comparisons(activations))
    if reference not in found:
        found[reference] = _compared(reference, decoded, activations)
    return found[reference]


def _compared(reference: Batch, decoded: Batch, activations: Activations[Description, Result]) -> Result:
    require_same_shape(reference, decoded)
    parts = [
        activations.backbone.compare(reference.part(*span).get(activations), activations(decoded.part(*span)))
        for span in _spans(decoded.images, activations.backbone.at_once)
    ]
    return type(parts[0])(*map(torch.cat, zip(*parts, strict=True)))


def _spans(images: Tensor, at_once: int) -> list[tuple[int, int]]:
    pixels = at_once if images.device.type == "cpu" else GPU_TO_CPU * at_once
    count, step = len(images), max(1, pixels // images[0, 0].numel())
    return [(start, min(start + step, count)) for start in range(0, count, step)]


def position_mean(sum_of: Callable[..., Tensor], *activations: Tensor) -> Tensor:
    """Average a function of B×C×H×W activations over the positions: B×… float64.

    `sum_of` gets B×N×C float32, N being some of the positions, leaves them as they are, and returns the function's sum over
    them, B×…. On a CPU they are so few that what it computes stays in the cache.
    """
    rows = [each.permute(0, 2, 3, 1).flatten(1, 2) for each in activations]
    count, positions, channels = rows[0].shape
    on_cpu = rows[0].device.type == "cpu"
    images = max(1, CACHED_SAMPLES // (positions * channels)) if on_cpu else count
    span = max(1, CACHED_SAMPLES // channels) if on_cpu else positions
    sums = []
    for few_images in zip(*(torch.split(each, images) for each in rows), strict=True):
        blocks = zip(*(torch.split(each, span, dim=1) for each in few_images), strict=True)
        of_blocks = [sum_of(*(samples.float() for samples in block)) for block in blocks]
        sums.append(torch.stack(of_blocks).sum(0, dtype=torch.float64))
    return torch.cat(sums).div_(positions)


def mean_squared_difference(reference: Tensor, decoded: Tensor) -> Tensor:
    """Return the mean over positions of the squared differences of B×C×H×W activations: B×C float64."""
    return position_mean(lambda x, y: (x - y).square_().sum(1), reference, decoded)


def mean_squared_unit_difference(reference: Tensor, decoded: Tensor) -> Tensor:
    """Return the same for activations whose C values at a position are divided by their Euclidean norm."""
    return position_mean(_squared_unit_difference, reference, decoded)


def _squared_unit_difference(x: Tensor, y: Tensor) -> Tensor:
    x_reciprocals, y_reciprocals = (_norms(each).reciprocal_() for each in (x, y))
    # x r − y s as (x − y s/r) r: in the least number of passes, and 0 where the two are equal
    differences = torch.addcmul(x, y, y_reciprocals.div_(x_reciprocals), value=-1)
    return differences.mul_(x_reciprocals).square_().sum(1)


def _norms(vectors: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=2, keepdim=True)
    return norms.add_(1e-10)  # as LPIPS keeps off 0


# --------------------------------------------------------------------------------------------------------- metrics


@dataclass(frozen=True)
class PackagedFile:
    """A file that an installed package carries; finding it does not import the package."""

    package: str
    path: str
    """As the package's list of files ends."""

    @property
    def located(self) -> Path:
        """Where it lies; raises `UsageError` where the package does not list it."""
        for file in files(self.package) or ():
            if file.as_posix().endswith(self.path):
                return Path(str(file.locate()))
        raise UsageError(f"{self.package} lists no {self.path}; pip install --force-reinstall --no-deps {self.package}")


class ActivationMetric(Metric):
    """A distance of activations, in one column that is named as the metric."""

    kind = "human"
    backbone: ClassVar[Backbone[Any, Any]]
    fitted: ClassVar[PackagedFile | None] = None
    """Weights of the channels that were fitted to people's judgements."""

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        super().__init__(setup, **params)
        self._activations = Activations(self.backbone, self.setup)
        self.extractors = (self._activations, Comparisons(self._activations))

    @property
    def identity(self) -> dict[str, object]:
        """The packages and weights of the network and its precision, besides name and version."""
        fitted = {"fitted": sha256(self.fitted.located)} if self.fitted else {}
        return {**super().identity, **network_identity(self.setup, self.weights, tuple(self.requires)), **fitted}

    @abstractmethod
    def distance(self, result: Any) -> Tensor:
        """Return one value per image, from the result of the backbone's `compare`."""

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original; images that are too small for the network have no value."""
        height, width = decoded.images.shape[-2:]
        smallest = self.backbone.smallest
        if min(height, width) < smallest:
            reason = f"{self.backbone.title} needs at least {smallest}×{smallest} pixels, not {width}×{height}"
            return {self.name: [Missing(reason)] * len(decoded)}
        distances = self.distance(compared(reference, decoded, self._activations))
        return {self.name: [self._value(distance) for distance in distances.tolist()]}

    def _value(self, distance: float) -> Value:
        return distance if math.isfinite(distance) else Missing(f"{self.backbone.title} gives {distance}")
