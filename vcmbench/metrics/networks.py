"""Pretrained networks for metrics: loaded once a process, run in the asked precision on the asked device."""

from __future__ import annotations

import contextlib
import functools
import pickle
import textwrap
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from vcmbench import weights
from vcmbench.interfaces import Setup, UsageError

METRICS = "pip install 'vcmbench[metrics]'"
"""How to get the packages that networks come from."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SEED = 20210611
"""Of untrained networks: the day is as good as any."""
LONGEST_FAULT = 200
"""Characters that are quoted of what is wrong with a weight file: torch names every tensor."""

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


def forget() -> None:
    """Free every loaded network; the next one that is asked for is loaded anew."""
    with _loading:
        _loaded.cache_clear()


@contextlib.contextmanager
def state(name: str, setup: Setup) -> Iterator[dict[str, Tensor]]:
    """Give the tensors of a weight file, to be copied into a network here; raises `UsageError` as `weight_file` does.

    Only what is copied is read, unless the file is as torch wrote it before 2020.
    """
    with weight_file(name, setup) as path:
        try:
            tensors = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
        except (pickle.UnpicklingError, EOFError) as error:  # whose own words advise to load it unsafely
            raise ValueError("torch has not saved it, or not tensors alone") from error
        if not isinstance(tensors, dict) or not all(isinstance(key, str) for key in tensors):
            raise TypeError("its tensors have no names")
        yield tensors


@contextlib.contextmanager
def weight_file(name: str, setup: Setup) -> Iterator[Path]:
    """Give the path of a weight file, to make a network from here.

    Raises `UsageError` with the remedy where the file is missing or not the published one, or where an exception here says
    that the network cannot be made from it.
    """
    path = weights.verified(name, unverified=setup.unverified)
    try:
        yield path
    except Exception as error:  # what a file of another kind leads to is as various as the files
        words = textwrap.shorten(str(error) or type(error).__name__, LONGEST_FAULT, placeholder=" …")
        remedy = f"delete it and run `vcmbench weights fetch {name}`"
        raise UsageError(f"{path} does not hold the weights of {name} ({words}); {remedy}") from error


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
