"""Seeded random networks in the files of face-alignment, where it looks for them: 2DFAN-4, S3FD and BlazeFace."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from pictures import PORTRAIT, tensor
from torch import Tensor, nn
from torch.nn import functional

from vcmbench.weights import ARTEFACTS

os.environ.setdefault(
    "NUMBA_DISABLE_JIT", "1"
)  # before face-alignment: it would compile its search of points for 10 seconds


def random_networks(temporary: pytest.TempPathFactory) -> Path:
    """Write the files, once for all tests that ask; return the cache's folder, which `TORCH_HOME` would name."""
    home = temporary.getbasetemp() / "face_alignment"
    if not home.exists():
        write_random_fan(home)
        write_random_sfd(home)
        write_random_blazeface(home)
    return home


@torch.no_grad()
def write_random_fan(home: Path) -> None:
    """Write a network whose heat maps are about normal, and differ from picture to picture."""
    network = _random(importlib.import_module("face_alignment.models").FAN(4))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics become the pictures' own
        norm.train()
    network(_pictures(256) / 255)
    _save(network.state_dict(), home, "fan")


@torch.no_grad()
def write_random_sfd(home: Path) -> None:
    """Write a network that takes a few hundred places for candidates, and a few of them for faces."""
    network = _random(importlib.import_module("face_alignment.detection.sfd.net_s3fd").s3fd())
    outputs = network(_pictures(192) - 117)
    for level, layer in enumerate(("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")):
        odds = outputs[2 * level][:, 1] - outputs[2 * level][:, 0]
        scores, locations = getattr(network, f"{layer}_mbox_conf"), getattr(network, f"{layer}_mbox_loc")
        _scale(scores, 2.5 / odds.std())
        scores.bias[-1] -= 2.5 * odds.mean() / odds.std() + 5
        _scale(locations, 1 / outputs[2 * level + 1].std())
    _save(network.state_dict(), home, "sfd")


@torch.no_grad()
def write_random_blazeface(home: Path) -> None:
    """Write a network that takes about one anchor in twenty for a face of some 40 of its 128 pixels, and the anchors."""
    network = _random(importlib.import_module("face_alignment.detection.blazeface.net_blazeface").BlazeFace())
    regressions, scores = network(_pictures(128) / 127.5 - 1)
    for anchors, cells in ((slice(512), 8), (slice(512, None), 16)):
        classifier, regressor = getattr(network, f"classifier_{cells}"), getattr(network, f"regressor_{cells}")
        _scale(classifier, 2 / scores[:, anchors].std())
        classifier.bias -= 2 * scores[:, anchors].mean() / scores[:, anchors].std() + 3
        _scale(regressor, 8 / regressions[:, anchors].std())
        regressor.bias.view(-1, 16)[:, 2:4] += 40
    _save(network.state_dict(), home, "blazeface")
    np.save(_place(home, "blazeface_anchors"), np.concatenate([_anchors(16, 2), _anchors(8, 6)]))


def _anchors(cells: int, per_cell: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The centres of a grid's cells and the size of the image, row by row."""
    y, x = np.divmod(np.arange(cells**2).repeat(per_cell), cells)
    centres = np.stack((x, y), 1).astype(np.float32) + np.float32(0.5)
    return np.hstack((centres / np.float32(cells), np.ones_like(centres)))


def _random(network: Any) -> Any:
    """Redraw every convolution so that the signal keeps its power (He et al., 2015), and the norms about 1 and 0."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2, generator=generator)
            nn.init.normal_(module.bias, std=0.1, generator=generator)
    return network.eval()


def _scale(convolution: nn.Conv2d, factor: Tensor) -> None:
    convolution.weight *= factor
    cast(Tensor, convolution.bias).mul_(factor)


def _pictures(side: int) -> Tensor:
    """The portrait and its mirror image, squeezed to squares."""
    portrait = functional.interpolate(tensor(PORTRAIT).float(), (side, side), mode="area")
    return torch.cat((portrait, portrait.flip(3)))


def _save(state: dict[str, Tensor], home: Path, name: str) -> None:
    torch.save(state, _place(home, name))


def _place(home: Path, name: str) -> Path:
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / ARTEFACTS[name].file
