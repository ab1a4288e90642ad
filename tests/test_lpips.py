"""LPIPS against lpips, its authors' package, on the same files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pictures import ASTRONAUT, PORTRAIT, batch, jpeg, noisy
from random_weights import random_weights, write_alexnet, write_vgg16

from vcmbench.interfaces import Image, Missing, Setup, UsageError
from vcmbench.metrics import networks
from vcmbench.metrics.activations import PackagedFile
from vcmbench.metrics.lpips import LpipsAlex, LpipsVgg, alexnet
from vcmbench.torchvision_import import import_torchvision
from vcmbench.weights import ARTEFACTS, sha256

SETUP = Setup(unverified=True)
BF16 = Setup(precision="bf16", unverified=True)
SQUARE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])
SPOILT = jpeg(PORTRAIT, 10)
SMALL = (PORTRAIT[40:136, 100:196], SPOILT[40:136, 100:196])
METRICS = {"alex": LpipsAlex(SETUP), "vgg": LpipsVgg(SETUP)}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random networks in place of the pretrained ones."""
    with random_weights(tmp_path_factory.mktemp("torch"), write_alexnet, write_vgg16) as folder:
        yield folder


@pytest.fixture(scope="module", params=METRICS)
def net(request: pytest.FixtureRequest) -> str:
    """Each network, as lpips calls it."""
    return str(request.param)


@pytest.fixture(scope="module")
def reference(weights: Path, net: str) -> Any:  # noqa: ARG001  # lpips loads them
    """The distance of two image files as lpips computes it."""
    import_torchvision()
    import lpips  # noqa: PLC0415  # needs torchvision

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The parameter 'pretrained'|Arguments other than a weight enum", UserWarning)
        package = lpips.LPIPS(net=net, verbose=False)

    def distance(*paths: Path) -> float:
        with torch.no_grad():
            return float(package(*(lpips.im2tensor(lpips.load_image(str(path))) for path in paths)))

    return distance


def lpips_of(net: str, original: Image, decoded: Image) -> Any:
    """The value of one image."""
    metric = METRICS[net]
    return metric.score(batch(original), batch(decoded))[metric.name][0]


def files(folder: Path, *images: Image) -> list[Path]:
    """The images as files."""
    paths = [folder / f"{position}.png" for position in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        PIL.Image.fromarray(image).save(path)
    return paths


@pytest.mark.parametrize(
    ("original", "decoded"),
    [(PORTRAIT, SPOILT), (PORTRAIT, noisy(PORTRAIT, 2)), (SQUARE, jpeg(SQUARE, 60))],
    ids=["200×313 jpeg", "200×313 noise", "256×256 jpeg"],
)
def test_values_equal_those_of_lpips(reference: Any, net: str, tmp_path: Path, original: Image, decoded: Image) -> None:
    """The value is that of lpips to 1e-5."""
    expected = reference(*files(tmp_path, original, decoded))
    assert lpips_of(net, original, decoded) == pytest.approx(expected, rel=1e-5)


def test_red_and_blue_are_told_apart(reference: Any, net: str, tmp_path: Path) -> None:
    """On images with red and blue swapped lpips gives another value."""
    swapped = reference(*files(tmp_path, *(np.ascontiguousarray(image[..., ::-1]) for image in SMALL)))
    assert lpips_of(net, *SMALL) != pytest.approx(swapped, rel=1e-3)


def test_equal_images_differ_by_nothing_and_order_does_not_matter(net: str) -> None:
    """The value of a copy is 0, and original and decoded image can change places."""
    original, decoded = SMALL
    assert lpips_of(net, original, original) == 0
    assert lpips_of(net, original, decoded) == pytest.approx(lpips_of(net, decoded, original), rel=1e-6)


@pytest.mark.parametrize(("net", "smallest"), [("alex", 31), ("vgg", 16)], scope="module")
def test_images_smaller_than_the_network_have_a_reason(reference: Any, net: str, smallest: int, tmp_path: Path) -> None:
    """Images have a value from the size on from which lpips gives one, below it a reason that names the size."""
    enough = (PORTRAIT[:smallest, :smallest], SPOILT[:smallest, :smallest])
    assert lpips_of(net, *enough) == pytest.approx(reference(*files(tmp_path, *enough)), rel=1e-5)
    too_small = (PORTRAIT[: smallest - 1, :40], SPOILT[: smallest - 1, :40])
    with pytest.raises(RuntimeError):
        reference(*files(tmp_path, *too_small))
    missing = lpips_of(net, *too_small)
    assert isinstance(missing, Missing)
    assert f"{smallest}×{smallest} pixels, not 40×{smallest - 1}" in missing.reason


def test_originals_pass_alexnet_once_for_all_settings() -> None:
    """Three settings of one reference run AlexNet four times, not six."""
    seen: list[int] = []
    metric, reference = METRICS["alex"], batch(SQUARE)
    hook = networks.loaded(alexnet, SETUP).register_forward_hook(
        lambda _network, inputs, _output: seen.append(len(inputs[0]))
    )
    try:
        for quality in (4, 10, 40):
            metric.score(reference, batch(jpeg(SQUARE, quality)))
            reference.release(keep=metric.extractors)
    finally:
        hook.remove()
    assert seen == [1] * 4


def test_bf16_is_within_its_stated_deviation(net: str) -> None:
    """In bf16 a visible difference is within 2 % of what it is in float32."""
    metric, (reference, decoded) = type(METRICS[net])(BF16), map(batch, SMALL)
    (value,) = metric.score(reference, decoded)[metric.name]
    assert value == pytest.approx(lpips_of(net, *SMALL), rel=0.02)
    assert value != lpips_of(net, *SMALL)


def test_the_identity_names_packages_and_weights(weights: Path, net: str) -> None:
    """The identity has the release of lpips and the hashes of the network's file and of the fitted weights."""
    identity = METRICS[net].identity
    backbone = {"alex": "alexnet", "vgg": "vgg16"}[net]
    assert identity["weights"] == {backbone: sha256(weights / ARTEFACTS[backbone].file)}
    assert identity["packages"] == {"lpips": version("lpips"), "torchvision": version("torchvision")}
    import_torchvision()
    import lpips  # noqa: PLC0415  # needs torchvision

    assert identity["fitted"] == sha256(Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth")


def test_without_its_fitted_weights_the_package_is_named() -> None:
    """Where a package lacks a file, the error names both and the remedy."""
    with pytest.raises(UsageError, match=r"lpips lists no weights/v9/alex\.pth; pip install --force-reinstall"):
        PackagedFile("lpips", "weights/v9/alex.pth").located  # noqa: B018  # looking it up raises
