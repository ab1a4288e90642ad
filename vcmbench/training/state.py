"""Everything that a training must remember to go on where it stopped."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from torch.optim import Adam, Optimizer

from vcmbench.codecs.edge.network import Decoder
from vcmbench.interfaces import UsageError
from vcmbench.training.losses import Discriminator
from vcmbench.training.recipe import Recipe

_BETAS = (0.9, 0.99)
_WARM_UP = 10
"""The average forgets faster at first, when the weights still are far from good."""


class State:
    """The networks, their optimisers, the moving average of the decoder's weights, and how many steps were made."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.decoder = _ready(Decoder(), device)
        if recipe.initial is not None:
            _load(self.decoder, recipe.initial)
        self.average = copy.deepcopy(self.decoder).requires_grad_(requires_grad=False).eval()
        self.judge = _ready(Discriminator(), device)
        self.optimiser = Adam(self.decoder.parameters(), recipe.learning_rate, _BETAS)
        self.judge_optimiser = Adam(self.judge.parameters(), recipe.learning_rate, (0.0, _BETAS[1]))
        self.step = 0

    def update_average(self, decay: float) -> None:
        """Move the average towards the weights."""
        decay = min(decay, (1 + self.step) / (_WARM_UP + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.decoder.parameters()), 1 - decay)

    def set_learning_rate(self, rate: float) -> None:
        """Set it for both optimisers."""
        for optimiser in (self.optimiser, self.judge_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = rate

    def save(self, path: Path) -> None:
        """Write a checkpoint that appears whole or not at all."""
        parts = {name: part.state_dict() for name, part in self._parts()}
        unfinished = path.with_suffix(".partial")
        torch.save({"step": self.step, **parts}, unfinished)
        unfinished.replace(path)

    def load(self, path: Path, device: str) -> None:
        """Go on from a checkpoint; raises `UsageError` where it is damaged or another network's."""
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            for name, part in self._parts():
                part.load_state_dict(checkpoint[name])
            self.step = int(checkpoint["step"])
        except Exception as error:  # a file of another kind leads to errors as various as the files
            raise UsageError(f"{path} is not a checkpoint of this training; delete it to begin anew") from error

    def _parts(self) -> Iterator[tuple[str, nn.Module | Optimizer]]:
        for name in ("decoder", "average", "judge", "optimiser", "judge_optimiser"):
            yield name, getattr(self, name)


def export(average: Decoder, path: Path) -> None:
    """Write the weights in fp16, as the package ships them."""
    unfinished = path.with_suffix(".partial")
    unfinished.write_bytes(save({name: tensor.half().contiguous().cpu() for name, tensor in average.state_dict().items()}))
    unfinished.replace(path)


def _load(decoder: Decoder, path: Path) -> None:
    try:
        decoder.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UsageError(f"initial: {path} does not hold weights of this network") from error


def _ready(network: nn.Module, device: str) -> Any:
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack this form
