"""Seeded random networks in the format and under the names of the real weight files, which cannot be carried here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from weights_folder import weights_in

from vcmbench.torchvision_import import import_torchvision
from vcmbench.weights import ARTEFACTS


@contextmanager
def random_weights(home: Path, *writers: Callable[[Path], None]) -> Iterator[Path]:
    """Write files where both vcmbench and torch.hub look for them; yields the folder."""
    with weights_in(home) as folder:
        for write in writers:
            write(folder)
        yield folder


def write_vgg16(folder: Path) -> None:
    """Write VGG16 as torchvision's file has it."""
    _write_torchvision("vgg16", folder)


def write_alexnet(folder: Path) -> None:
    """Write AlexNet as torchvision's file has it."""
    _write_torchvision("alexnet", folder)


def _write_torchvision(name: str, folder: Path) -> None:
    with torch.device("meta"):
        network = getattr(import_torchvision().models, name)()
    generator = torch.Generator().manual_seed(0)
    state = {key: _parameter(key, value.shape, generator) for key, value in network.state_dict().items()}
    torch.save(state, folder / ARTEFACTS[name].file)


def _parameter(key: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if not key.startswith("features."):
        return torch.zeros(()).expand(shape)  # the classifier is not run; so it takes no room in the file
    if key.endswith("bias"):
        return torch.randn(shape, generator=generator) / 10
    filters = nn.init.kaiming_normal_(torch.empty(shape), nonlinearity="relu", generator=generator)
    return filters - filters.mean((1, 2, 3), keepdim=True)  # so that activations tell of the picture more than of its mean
