"""The Inception network that FID and KID are made from: pytorch-fid's, with its preprocessing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vcmbench.interfaces import Batch, Setup, StoredFeature
from vcmbench.metrics import networks
from vcmbench.torchvision_import import import_torchvision

WEIGHTS = ("inception",)
PACKAGES = ("pytorch-fid", "torchvision")
REQUIRES = {"pytorch_fid": networks.METRICS, "torchvision": networks.METRICS}

LENGTH = 2048
SIDE = 299
CHUNK = 4
"""Images a pass on a CPU: with 8 one takes 5 % less time, and twice the memory."""


def build(setup: Setup) -> nn.Module:
    """Return pytorch-fid's InceptionV3 up to its last maps: B×3×299×299 in [-1, 1] → a list of one, B×2048×8×8."""
    package = _package()
    with contextlib.nullcontext(_random_state()) if setup.untrained else networks.state("inception", setup) as state:
        vars(package)["load_state_dict_from_url"] = lambda *_, **__: state  # where the package downloads
        network = package.InceptionV3(resize_input=False, normalize_input=False).eval()
    del vars(package)["load_state_dict_from_url"]  # the network's classes keep the package, and that would keep the tensors
    network.blocks[-1][-1] = nn.Identity()  # for the mean of the maps, which is float32 whatever the network's precision
    for unit in [module for module in network.modules() if hasattr(module, "bn")]:
        unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()  # a tenth faster, and bf16 rounds less
    return cast(nn.Module, network)


def _package() -> ModuleType:
    """Return a copy of `pytorch_fid.inception`, nobody else's."""
    import_torchvision()
    spec: Any = find_spec("pytorch_fid.inception")
    package = module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


def _random_state() -> dict[str, Tensor]:
    """Return weights that keep the signal's power from layer to layer (He et al., 2015); with PyTorch's own it dies out."""
    models: Any = import_torchvision().models
    network = models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return cast(dict[str, Tensor], network.state_dict())


@dataclass(frozen=True)
class InceptionFeatures:
    """The mean of Inception's last maps, pytorch-fid's "final average pooling features"."""

    setup: Setup

    def __call__(self, batch: Batch) -> Tensor:
        """Return B×2048 float32 on the setup's device."""
        images = batch.images.to(self.setup.device)
        chunks = torch.split(images, CHUNK if images.device.type == "cpu" else len(images))
        return torch.cat([self._features(chunk) for chunk in chunks])

    def _features(self, images: Tensor) -> Tensor:
        samples = images.float() / 255
        resized = functional.interpolate(samples, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        (maps,) = networks.forward(build, self.setup, 2 * resized - 1)
        return cast(Tensor, maps.float().mean((2, 3)))


def inception_feature(setup: Setup) -> StoredFeature:
    """Return the feature that FID and KID share."""
    return StoredFeature("inception", LENGTH, InceptionFeatures(setup))
