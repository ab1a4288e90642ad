"""torchvision's ImageNet networks up to their last convolution, as backbones of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vcmbench.interfaces import Setup
from vcmbench.metrics import networks
from vcmbench.torchvision_import import import_torchvision

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's red, green and blue samples in [0, 1], as torchvision has it."""
STD = (0.229, 0.224, 0.225)


def normalised(images: Tensor) -> Tensor:
    """Return B×3×H×W uint8 as float32 with ImageNet's mean at 0 and its standard deviation at 1.

    It is also what LPIPS makes of samples in [-1, 1]: its shift and scale are these constants for that range.
    """
    mean, std = (255 * torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    return images.float().sub_(mean).div_(std)


def convolutional_layers(name: str, setup: Setup) -> nn.Sequential:
    """Return the layers before the classifier of torchvision's network `name`, with the weights of the same name."""
    torchvision = import_torchvision()
    with torch.device("meta"):
        layers: nn.Sequential = getattr(torchvision.models, name)().features
    layers.to_empty(device="cpu")
    if setup.untrained:
        return layers.apply(_initialise)
    prefix = "features."
    with networks.state(name, setup) as state:
        layers.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    return layers


def _initialise(layer: nn.Module) -> None:
    """Draw weights with which the activations neither die nor grow from layer to layer (He et al., 2015)."""
    if isinstance(layer, nn.Conv2d) and layer.bias is not None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


class Tapped(nn.Module):
    """Layers in a row, run up to the last one whose output is asked for."""

    def __init__(self, layers: nn.Sequential, taps: Sequence[int]) -> None:
        super().__init__()
        self._layers = nn.Sequential(*list(layers)[: max(taps) + 1])
        self._taps = taps

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the layers at the positions `taps`, first to last."""
        outputs = []
        activations = inputs
        for position, layer in enumerate(self._layers):
            activations = layer(activations)
            if position in self._taps:
                outputs.append(activations)
        return tuple(outputs)
