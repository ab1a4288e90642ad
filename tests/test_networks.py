"""Loading networks: weight files of an old format, of other networks or of nothing, and what stays in memory."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import write_alexnet
from torch import Tensor, nn
from weights_folder import weights_in

from vcmbench.interfaces import Setup, UsageError
from vcmbench.metrics import networks
from vcmbench.metrics.faces import blazeface, sfd
from vcmbench.metrics.fan import fan
from vcmbench.metrics.gender import gender_network
from vcmbench.metrics.identity import arcface, facenet512
from vcmbench.metrics.inception import build as inception
from vcmbench.metrics.lpips import alexnet
from vcmbench.metrics.vgg import vgg16
from vcmbench.weights import ARTEFACTS

SETUP = Setup(unverified=True)
ALEXNET = ARTEFACTS["alexnet"].file
BUILDERS: Mapping[str, networks.Build] = {
    "vgg16": vgg16,
    "alexnet": alexnet,
    "inception": inception,
    "fan": fan,
    "sfd": sfd,
    "blazeface": blazeface,
    "gender": gender_network,
    "arcface": arcface,
    "facenet512": facenet512,
}
"""Weight file → what makes a network from it."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder of weight files."""
    with weights_in(tmp_path) as folder:
        yield folder


def parameters(build: networks.Build) -> dict[str, Tensor]:
    """The tensors of a loaded network."""
    return networks.loaded(build, SETUP).state_dict()


def check_refused(build: networks.Build, path: Path, name: str) -> None:
    """Loading says briefly which file is wrong, for which network, and what to do."""
    with pytest.raises(UsageError) as refusal:
        networks.loaded(build, SETUP)
    words = str(refusal.value)
    assert words.startswith(f"{path} does not hold the weights of {name} (")
    assert words.endswith(f"); delete it and run `vcmbench weights fetch {name}`")
    assert len(words) < len(str(path)) + 350


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", BUILDERS)
def test_the_weights_of_another_network_are_refused(name: str, folder: Path) -> None:
    """Whichever the network, a file that lacks its tensors is named with the remedy."""
    torch.save({"stranger": torch.zeros(1)}, folder / ARTEFACTS[name].file)
    check_refused(BUILDERS[name], folder / ARTEFACTS[name].file, name)


def _write_half(path: Path) -> None:
    write_alexnet(path.parent)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _write_other_shapes(path: Path) -> None:
    write_alexnet(path.parent)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "features.0.weight": torch.zeros(64, 3, 5, 5)}, path)


FAULTS: Mapping[str, Callable[[Path], object]] = {
    "nothing": lambda path: path.touch(),
    "a web page": lambda path: path.write_text("<html>Log in to the network</html>"),
    "half a file": _write_half,
    "other shapes": _write_other_shapes,
    "a list": lambda path: torch.save([torch.zeros(1)], path),
    "numbers for names": lambda path: torch.save({0: torch.zeros(1)}, path),
    "words for tensors": lambda path: torch.save({"features.0.weight": "wrong"}, path),
    "a pickled network": lambda path: torch.save(nn.Linear(1, 1), path),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_of_another_kind_is_refused(fault: str, folder: Path) -> None:
    """Whatever is in the file, the error is that it does not hold the weights, with the remedy."""
    FAULTS[fault](folder / ALEXNET)
    check_refused(alexnet, folder / ALEXNET, "alexnet")


@pytest.mark.parametrize("anchors", [b"", b"no numbers", None], ids=["nothing", "words", "another number"])
def test_wrong_anchors_are_refused(anchors: bytes | None, folder: Path) -> None:
    """Anchors that BlazeFace cannot use are named with the remedy, too."""
    path = folder / ARTEFACTS["blazeface_anchors"].file
    network = importlib.import_module("face_alignment.detection.blazeface.net_blazeface").BlazeFace()
    torch.save(network.state_dict(), folder / ARTEFACTS["blazeface"].file)
    if anchors is None:
        np.save(path, np.zeros((7, 4), np.float32))
    else:
        path.write_bytes(anchors)
    check_refused(blazeface, path, "blazeface_anchors")


def test_a_right_file_in_the_place_of_a_wrong_one_is_loaded(folder: Path) -> None:
    """A refusal is not remembered."""
    (folder / ALEXNET).touch()
    check_refused(alexnet, folder / ALEXNET, "alexnet")
    write_alexnet(folder)
    assert len(parameters(alexnet)) == 10


# --------------------------------------------------------------------------------------------------- what is read


def test_a_file_of_the_old_format_gives_the_same_network(folder: Path) -> None:
    """A file as torch wrote it before 2020, which cannot be mapped into memory, has the same tensors."""
    write_alexnet(folder)
    expected = parameters(alexnet)
    state = torch.load(folder / ALEXNET, weights_only=True)
    torch.save(state, folder / ALEXNET, _use_new_zipfile_serialization=False)
    networks.forget()
    found = parameters(alexnet)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_file_is_mapped_while_it_is_read_and_no_longer(folder: Path) -> None:
    """What is not used of a large file is not read, and a loaded network does not depend on the file any more."""
    write_alexnet(folder)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not tell what is mapped")
    with networks.state("alexnet", SETUP) as state:
        assert ALEXNET in maps.read_text()
    del state
    network = networks.loaded(alexnet, SETUP)
    gc.collect()
    assert ALEXNET not in maps.read_text()
    assert network is networks.loaded(alexnet, SETUP)


def test_networks_can_be_forgotten(folder: Path) -> None:
    """A forgotten network is freed, and loaded from the file that is there then."""
    write_alexnet(folder)
    before, first = parameters(alexnet)["_layers.0.bias"].clone(), weakref.ref(networks.loaded(alexnet, SETUP))
    state = torch.load(folder / ALEXNET, weights_only=True)
    torch.save({**state, "features.0.bias": state["features.0.bias"] + 1}, folder / ALEXNET)
    networks.forget()
    gc.collect()
    assert first() is None
    assert torch.equal(parameters(alexnet)["_layers.0.bias"], before + 1)
