"""Perceptual losses: mean squared differences of VGG16's activations (Johnson, Alahi and Fei-Fei, ECCV 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from vcmbench.interfaces import Column
from vcmbench.metrics.activations import ActivationMetric
from vcmbench.metrics.networks import METRICS
from vcmbench.metrics.vgg import VGG16, VggDifferences


class PerceptualL(ActivationMetric):
    """Mean squared difference of an early layer: edges and colours where they are."""

    name = "perceptual_l"
    summary = "mean squared difference of VGG16's activations relu2_2"
    version = "1"
    columns: ClassVar[Mapping[str, Column]] = {"perceptual_l": Column("Perceptual L", "lower", limits=(0, None))}
    requires: ClassVar[Mapping[str, str]] = {"torchvision": METRICS}
    weights = ("vgg16",)
    backbone = VGG16

    def distance(self, result: VggDifferences) -> Tensor:
        """Return that of relu2_2."""
        return result.relu2_2


class PerceptualH(ActivationMetric):
    """Mean squared difference of a late layer: what the image shows, roughly where."""

    name = "perceptual_h"
    summary = "mean squared difference of VGG16's activations relu5_1"
    version = "1"
    columns: ClassVar[Mapping[str, Column]] = {"perceptual_h": Column("Perceptual H", "lower", limits=(0, None))}
    requires: ClassVar[Mapping[str, str]] = {"torchvision": METRICS}
    weights = ("vgg16",)
    backbone = VGG16

    def distance(self, result: VggDifferences) -> Tensor:
        """Return that of relu5_1."""
        return result.relu5_1
