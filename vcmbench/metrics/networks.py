"""Pretrained networks for metrics: loaded once a process, run in the asked precision on the asked device."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from vcmbench import weights
from vcmbench.interfaces import Setup

METRICS = "pip install 'vcmbench[metrics]'"
"""How to get the packages that networks come from."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SEED = 20210611
"""Of untrained networks: the day is as good as any."""

Build: TypeAlias = Callable[[Setup], nn.Module]
"""Makes a network with its weights, in float32 on the CPU; a function of a module, so that equal ones are the same."""

_loading = threading.Lock()


def loaded(build: Build, setup: Setup) -> nn.Module:
    """Return the network for inference, loaded by the first call whichever thread makes it."""
    with _loading:
        return _loaded(build, setup)


@functools.cache
def _loaded(build: Build, setup: Setup) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # an untrained network is the same everywhere
        network = build(setup)
    network.requires_grad_(requires_grad=False).eval().to(setup.device, DTYPES[setup.precision])
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]  # torch's hints lack this form


def state(name: str, setup: Setup) -> dict[str, Tensor]:
    """Return the tensors of a weight file; raises `UsageError` where it is missing, damaged or not the published one."""
    path = weights.verified(name, unverified=setup.unverified)
    return cast(dict[str, Tensor], torch.load(path, map_location="cpu", weights_only=True))


@torch.no_grad()
def forward(build: Build, setup: Setup, inputs: Tensor) -> Any:
    """Run a network on B×C×H×W, all images at once; what it returns is in the network's precision, on its device.

    Every forward pass of every metric is this call. On a GPU it is deterministic, and without TensorFloat-32.
    """
    network = loaded(build, setup)
    inputs = inputs.to(setup.device, DTYPES[setup.precision], memory_format=torch.channels_last)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        return network(inputs)


def network_identity(setup: Setup, names: tuple[str, ...], packages: tuple[str, ...]) -> Mapping[str, object]:
    """What of networks can change a value: their weight files' SHA-256, the packages' releases, and the precision."""
    return {
        "precision": setup.precision,
        "weights": {"untrained": SEED} if setup.untrained else {name: _hash(name, setup) for name in names},
        "packages": {package: version(package) for package in packages},
    }


def _hash(name: str, setup: Setup) -> str:
    return weights.sha256(weights.verified(name, unverified=setup.unverified))
