"""LPIPS 0.1: the learned perceptual image patch similarity of Zhang, Isola, Efros, Shechtman and Wang (CVPR 2018)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from vcmbench.interfaces import Column, Setup
from vcmbench.metrics.activations import ActivationMetric, Backbone, PackagedFile, mean_squared_unit_difference
from vcmbench.metrics.imagenet import Tapped, convolutional_layers, normalised
from vcmbench.metrics.networks import METRICS, forward
from vcmbench.metrics.vgg import VGG16, VggDifferences

PACKAGES: Mapping[str, str] = {"torchvision": METRICS, "lpips": METRICS}


# --------------------------------------------------------------------------------------------------------- AlexNet


class AlexNetDifferences(NamedTuple):
    """Mean squared differences of activations."""

    unit: Tensor
    """B×1152 float64: each channel of the five activations, as unit vectors."""


def alexnet(setup: Setup) -> Tapped:
    """Return AlexNet (Krizhevsky, 2014) up to its fifth convolution; it gives the activations after each."""
    return Tapped(convolutional_layers("alexnet", setup), (1, 4, 7, 9, 11))


def describe(images: Tensor, setup: Setup) -> tuple[Tensor, ...]:
    """Return the five activations on B×3×H×W uint8: B×C×H×W."""
    return cast(tuple[Tensor, ...], forward(alexnet, setup, normalised(images)))


def compare(reference: tuple[Tensor, ...], decoded: tuple[Tensor, ...]) -> AlexNetDifferences:
    """Return how far the activations are apart."""
    return AlexNetDifferences(torch.cat(list(map(mean_squared_unit_difference, reference, decoded)), dim=1))


ALEXNET = Backbone("AlexNet", 31, 16 * 256 * 256, describe, compare)
"""31 pixels: a window of 11 at every fourth, then twice of 3 at every second."""


# --------------------------------------------------------------------------------------------------------- metrics

ALEX_HEADS = PackagedFile("lpips", "lpips/weights/v0.1/alex.pth")
VGG_HEADS = PackagedFile("lpips", "lpips/weights/v0.1/vgg.pth")


@functools.cache
def heads(file: PackagedFile) -> Tensor:
    """Return the weights of the channels of all five activations in a row: C float64."""
    state = torch.load(file.located, map_location="cpu", weights_only=True)
    return torch.cat([state[f"lin{layer}.model.1.weight"].flatten() for layer in range(5)]).double()


class LpipsAlex(ActivationMetric):
    """LPIPS with AlexNet: what is usually reported."""

    name = "lpips_alex"
    summary = "learned perceptual image patch similarity 0.1 with AlexNet"
    version = "1"
    columns: ClassVar[Mapping[str, Column]] = {"lpips_alex": Column("LPIPS (AlexNet)", "lower", limits=(0, None))}
    requires = PACKAGES
    weights = ("alexnet",)
    backbone = ALEXNET
    fitted = ALEX_HEADS

    def distance(self, result: AlexNetDifferences) -> Tensor:
        """Weigh the channels."""
        return result.unit @ heads(ALEX_HEADS).to(result.unit.device)


class LpipsVgg(ActivationMetric):
    """LPIPS with VGG16."""

    name = "lpips_vgg"
    summary = "learned perceptual image patch similarity 0.1 with VGG16"
    version = "1"
    columns: ClassVar[Mapping[str, Column]] = {"lpips_vgg": Column("LPIPS (VGG16)", "lower", limits=(0, None))}
    requires = PACKAGES
    weights = ("vgg16",)
    backbone = VGG16
    fitted = VGG_HEADS

    def distance(self, result: VggDifferences) -> Tensor:
        """Weigh the channels."""
        return result.unit @ heads(VGG_HEADS).to(result.unit.device)
