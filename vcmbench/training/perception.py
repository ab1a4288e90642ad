"""The pretrained network whose activations the perceptual loss compares."""

from __future__ import annotations

import itertools
from importlib.util import find_spec
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vcmbench import weights
from vcmbench.interfaces import Setup, UsageError
from vcmbench.metrics import imagenet, memorability
from vcmbench.training.losses import Perceptual

_ENDS = (4, 9, 16, 23)
"""Where the stages of VGG16 end: after its rectified layers 1_2, 2_2, 3_3 and 4_3."""


def perceptual_loss() -> Perceptual:
    """Return the loss of VGG16 where its weights are on this machine, else of the ResNet-152 that ResMem carries.

    Raises `UsageError` where neither is.
    """
    if weights.find("vgg16"):
        layers = imagenet.convolutional_layers("vgg16", Setup())
        stages = [layers[start:end] for start, end in itertools.pairwise((0, *_ENDS))]
        return Perceptual(nn.ModuleList(stages), imagenet.MEAN, imagenet.STD)
    if find_spec("resmem") and find_spec("torchvision"):
        resnet: Any = memorability.resmem(Setup()).features
        _fold_normalisation(resnet)
        stages = [
            nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu),
            nn.Sequential(resnet.maxpool, resnet.layer1),
            resnet.layer2,
            resnet.layer3,
        ]
        # Samples in [0, 1] as they are: its batch normalisation was adapted to what ResMem gives it.
        return Perceptual(nn.ModuleList(stages), mean=(0, 0, 0), std=(1, 1, 1))
    remedy = "run `vcmbench weights fetch vgg16`, or pip install 'vcmbench[memorability]'"
    raise UsageError(f"the perceptual loss needs VGG16 or ResMem: {remedy}; or set losses.perceptual to 0")


def _fold_normalisation(network: nn.Module) -> None:
    """Make batch normalisation a part of the convolution before it, which saves a seventh of the time."""
    before: tuple[str, nn.Conv2d] | None = None
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.BatchNorm2d) and before:
            setattr(network, before[0], fuse_conv_bn_eval(before[1].eval(), layer.eval()))
            setattr(network, name, nn.Identity())
        before = (name, layer) if isinstance(layer, nn.Conv2d) else None
        _fold_normalisation(layer)
