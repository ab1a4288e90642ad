"""DISTS: the deep image structure and texture similarity of Ding, Ma, Wang and Simoncelli (IEEE TPAMI 44(5), 2022)."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from vcmbench.interfaces import Column, Setup
from vcmbench.metrics.activations import ActivationMetric, Backbone, PackagedFile, position_mean
from vcmbench.metrics.imagenet import Tapped, convolutional_layers, normalised
from vcmbench.metrics.networks import METRICS, forward
from vcmbench.metrics.vgg import AT_ONCE, RELU1_2, RELU2_2, RELU3_3, RELU4_3, RELU5_3

POOLED_CHANNELS = {4: 64, 9: 128, 16: 256, 23: 512}
"""Of the max-pooling layers of torchvision's `vgg16().features`, by position: L2 pooling takes their place."""
C = 1e-6
"""Keeps both similarities stable, the authors' c1 = c2."""
FITTED = PackagedFile("DISTS_pytorch", "DISTS_pytorch/weights.pt")


class Moments(NamedTuple):
    """Mean and variance over positions: B×C float64."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, values: Callable[..., Tensor], *activations: Tensor) -> Moments:
        """Take those of the B×N×C `values` of B×C×H×W activations."""
        mean, square = position_mean(lambda *some: _sums(values(*some)), *activations).chunk(2, dim=1)
        return cls(mean, square - mean.square())


def _sums(values: Tensor) -> Tensor:
    """Return the sums of B×N×C values and of their squares side by side.

    The squares are about the mean, and what that leaves out is added in float64: in float32, E[x²] − E[x]² cancels.
    """
    mean = values.mean(1, keepdim=True)
    about_mean = (values - mean).square_().sum(1)
    mean, count = mean.squeeze(1).double(), values.shape[1]
    return torch.cat([count * mean, about_mean + count * mean.square()], dim=1)


class Stage(NamedTuple):
    """The image itself, or the activations of one layer."""

    activations: Tensor
    """B×C×H×W."""
    moments: Moments


class Dissimilarities(NamedTuple):
    """One less the similarity of each channel of all stages: B×1475 float64 in [0, 2]."""

    texture: Tensor
    """Of means: 1 − (2 x̄ ȳ + c) / (x̄² + ȳ² + c)."""
    structure: Tensor
    """1 − (2 cov(x, y) + c) / (var x + var y + c)."""


def vgg16_with_l2_pooling(setup: Setup) -> Tapped:
    """Return VGG16 with the pooling of DISTS's authors; it gives the activations before each pooling and at the end."""
    layers = convolutional_layers("vgg16", setup)
    l2_pooling = importlib.import_module("DISTS_pytorch.DISTS_pt").L2pooling
    for position, channels in POOLED_CHANNELS.items():
        layers[position] = l2_pooling(channels=channels)
    return Tapped(layers, (RELU1_2, RELU2_2, RELU3_3, RELU4_3, RELU5_3))


def describe(images: Tensor, setup: Setup) -> tuple[Stage, ...]:
    """Return the six stages of B×3×H×W uint8, the first of which is the image in [0, 1]."""
    images = images.to(setup.device)
    stages = (images.float() / 255, *forward(vgg16_with_l2_pooling, setup, normalised(images)))
    return tuple(Stage(activations, Moments.of(lambda x: x, activations)) for activations in stages)


def compare(reference: tuple[Stage, ...], decoded: tuple[Stage, ...]) -> Dissimilarities:
    """Return how far the stages are apart."""
    texture, structure = zip(*map(_dissimilarities, reference, decoded), strict=True)
    return Dissimilarities(torch.cat(texture, dim=1), torch.cat(structure, dim=1))


def _dissimilarities(reference: Stage, decoded: Stage) -> tuple[Tensor, Tensor]:
    """Compute them from differences, since one less a similarity near 1 would have few digits left."""
    x, y = reference.moments, decoded.moments
    difference = Moments.of(torch.sub, reference.activations, decoded.activations)
    texture = difference.mean.square() / (x.mean.square() + y.mean.square() + C)
    structure = difference.variance / (x.variance + y.variance + C)  # its variance is var x + var y − 2 cov(x, y)
    return texture, structure


DISTS = Backbone("DISTS", 1, AT_ONCE, describe, compare)
"""Its pooling pads, and leaves an output of even a single pixel."""


class Channels(NamedTuple):
    """The weights of the channels of all stages, float64, which add to 1."""

    texture: Tensor
    structure: Tensor


@functools.cache
def channels() -> Channels:
    """Return the weights that the authors fitted."""
    state = torch.load(FITTED.located, map_location="cpu", weights_only=True)
    alpha, beta = (state[name].flatten().double() for name in ("alpha", "beta"))
    total = alpha.sum() + beta.sum()
    return Channels(alpha / total, beta / total)


class Dists(ActivationMetric):
    """DISTS: texture and structure of the image and of five layers' activations."""

    name = "dists"
    summary = "deep image structure and texture similarity (a distance)"
    version = "1"
    columns: ClassVar[Mapping[str, Column]] = {"dists": Column("DISTS", "lower", limits=(0, None))}
    requires: ClassVar[Mapping[str, str]] = {"torchvision": METRICS, "DISTS_pytorch": METRICS}
    weights = ("vgg16",)
    backbone = DISTS
    fitted = FITTED

    def distance(self, result: Dissimilarities) -> Tensor:
        """Weigh the channels."""
        texture, structure = (weights.to(result.texture.device) for weights in channels())
        return result.texture @ texture + result.structure @ structure
