"""VGG16 (Simonyan and Zisserman, 2015) with torchvision's ImageNet weights: one pass per image serves several metrics."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vcmbench.interfaces import Setup
from vcmbench.metrics.activations import Backbone, mean_squared_difference, mean_squared_unit_difference
from vcmbench.metrics.imagenet import Tapped, convolutional_layers, normalised
from vcmbench.metrics.networks import forward

RELU1_2, RELU2_2, RELU3_3, RELU4_3, RELU5_1, RELU5_3 = 3, 8, 15, 22, 25, 29
"""The positions of layers in torchvision's `vgg16().features`."""
SMALLEST = 16
"""Pixels: it halves an image four times before its last convolution."""
AT_ONCE = 2 * 256 * 256
"""Pixels, on a CPU core: the activations of two images of 256×256 are 64 MB."""


class VggActivations(NamedTuple):
    """After rectification, B×C×H×W."""

    relu1_2: Tensor
    relu2_2: Tensor
    relu3_3: Tensor
    relu4_3: Tensor
    relu5_1: Tensor
    relu5_3: Tensor

    @property
    def of_lpips(self) -> tuple[Tensor, ...]:
        """The five of which LPIPS takes unit vectors."""
        return self.relu1_2, self.relu2_2, self.relu3_3, self.relu4_3, self.relu5_3


class VggDifferences(NamedTuple):
    """Mean squared differences of activations, float64."""

    relu2_2: Tensor
    """B."""
    relu5_1: Tensor
    """B."""
    unit: Tensor
    """B×1472: each channel of the five activations of LPIPS, as unit vectors."""


def vgg16(setup: Setup) -> Tapped:
    """Return the network that gives the six activations."""
    return Tapped(convolutional_layers("vgg16", setup), (RELU1_2, RELU2_2, RELU3_3, RELU4_3, RELU5_1, RELU5_3))


def describe(images: Tensor, setup: Setup) -> VggActivations:
    """Return the activations on B×3×H×W uint8."""
    return VggActivations(*forward(vgg16, setup, normalised(images)))


def compare(reference: VggActivations, decoded: VggActivations) -> VggDifferences:
    """Return how far the activations are apart."""
    return VggDifferences(
        mean_squared_difference(reference.relu2_2, decoded.relu2_2).mean(1),
        mean_squared_difference(reference.relu5_1, decoded.relu5_1).mean(1),
        torch.cat(list(map(mean_squared_unit_difference, reference.of_lpips, decoded.of_lpips)), dim=1),
    )


VGG16 = Backbone("VGG16", SMALLEST, AT_ONCE, describe, compare)
