"""DISTS against DISTS_pytorch, its authors' package, on the same files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pictures import ASTRONAUT, PORTRAIT, batch, flat, jpeg, noisy
from random_weights import random_weights, write_vgg16

from vcmbench.interfaces import Image, Setup
from vcmbench.metrics import networks
from vcmbench.metrics.dists import Dists, vgg16_with_l2_pooling
from vcmbench.torchvision_import import import_torchvision
from vcmbench.weights import ARTEFACTS, sha256

METRIC = Dists(Setup(unverified=True))
SQUARE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])
SPOILT = jpeg(PORTRAIT, 10)
SMALL = (PORTRAIT[40:136, 100:196], SPOILT[40:136, 100:196])


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A random VGG16 in place of the pretrained one."""
    with random_weights(tmp_path_factory.mktemp("torch"), write_vgg16) as folder:
        yield folder


@pytest.fixture(scope="module")
def package(weights: Path) -> Any:  # noqa: ARG001  # DISTS_pytorch loads them
    """The network of DISTS_pytorch."""
    import_torchvision()
    from DISTS_pytorch import DISTS  # noqa: PLC0415  # needs torchvision

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The parameter 'pretrained'|Arguments other than a weight enum", UserWarning)
        return DISTS()


@pytest.fixture
def reference(package: Any, tmp_path: Path) -> Any:
    """The distance of two images, which are written to files, as DISTS_pytorch computes it in some type of number."""
    from DISTS_pytorch.DISTS_pt import prepare_image  # noqa: PLC0415  # needs torchvision

    def distance(*images: Image, dtype: torch.dtype = torch.float32) -> float:
        inputs = []
        for position, image in enumerate(images):
            path = tmp_path / f"{position}.png"
            PIL.Image.fromarray(image).save(path)
            inputs.append(prepare_image(PIL.Image.open(path)).to(dtype))
        with torch.no_grad():
            return float(package.to(dtype)(*inputs))

    return distance


def dists(original: Image, decoded: Image) -> Any:
    """The value of one image."""
    return METRIC.score(batch(original), batch(decoded))["dists"][0]


@pytest.mark.parametrize(
    ("original", "decoded"),
    [(PORTRAIT, SPOILT), (PORTRAIT, noisy(PORTRAIT, 20)), (SQUARE, jpeg(SQUARE, 10))],
    ids=["200×313 jpeg", "200×313 noise", "256×256 jpeg"],
)
def test_values_equal_those_of_dists_pytorch(reference: Any, original: Image, decoded: Image) -> None:
    """The value is that of DISTS_pytorch to 1e-5."""
    assert dists(original, decoded) == pytest.approx(reference(original, decoded), rel=1e-5)


def test_red_and_blue_are_told_apart(reference: Any) -> None:
    """On images with red and blue swapped DISTS_pytorch gives another value."""
    swapped = reference(*(np.ascontiguousarray(image[..., ::-1]) for image in SMALL))
    assert dists(*SMALL) != pytest.approx(swapped, rel=1e-3)


@pytest.mark.parametrize(
    ("original", "decoded"),
    [
        (SMALL[0], jpeg(PORTRAIT, 98)[40:136, 100:196]),
        (flat(90, (40, 50)), flat(91, (40, 50))),
        (SMALL[0][:1, :1], SMALL[1][:1, :1]),
    ],
    ids=["hardly a difference", "flat", "one pixel"],
)
def test_where_one_less_a_similarity_has_few_digits_the_value_is_that_of_float64(
    reference: Any, original: Image, decoded: Image
) -> None:
    """Where rounding to float32 changes what DISTS_pytorch gives, the value is what it gives in float64."""
    assert dists(original, decoded) == pytest.approx(reference(original, decoded, dtype=torch.float64), rel=1e-4)


def test_equal_images_differ_by_nothing_and_order_does_not_matter() -> None:
    """The value of a copy is 0, and original and decoded image can change places."""
    original, decoded = SMALL
    assert dists(original, original) == 0
    assert dists(original, decoded) == pytest.approx(dists(decoded, original), rel=1e-6)


def test_originals_pass_the_network_once_for_all_settings() -> None:
    """Three settings of one reference run the network four times, not six."""
    seen: list[int] = []
    network, reference = networks.loaded(vgg16_with_l2_pooling, METRIC.setup), batch(SQUARE)
    hook = network.register_forward_hook(lambda _network, inputs, _output: seen.append(len(inputs[0])))
    try:
        for quality in (4, 10, 40):
            METRIC.score(reference, batch(jpeg(SQUARE, quality)))
            reference.release(keep=METRIC.extractors)
    finally:
        hook.remove()
    assert seen == [1] * 4


def test_bf16_is_within_its_stated_deviation() -> None:
    """In bf16 a visible difference is within 5 % of what it is in float32, and another one."""
    metric, (reference, decoded) = Dists(Setup(precision="bf16", unverified=True)), map(batch, SMALL)
    (value,) = metric.score(reference, decoded)["dists"]
    assert value == pytest.approx(dists(*SMALL), rel=0.05)
    assert value != dists(*SMALL)


def test_the_identity_names_packages_and_weights(weights: Path) -> None:
    """The identity has the release of DISTS_pytorch and the hashes of VGG16's file and of the fitted weights."""
    identity = METRIC.identity
    assert identity["weights"] == {"vgg16": sha256(weights / ARTEFACTS["vgg16"].file)}
    assert identity["packages"] == {name: version(name) for name in ("torchvision", "DISTS_pytorch")}
    assert identity["fitted"] == sha256(Path(sys.prefix) / "weights.pt")
