"""The perceptual losses against torchvision's own network, and how often VGG16 runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pictures import ASTRONAUT, PORTRAIT, batch, flat, jpeg, noisy
from random_weights import random_weights, write_vgg16
from torch import Tensor

from vcmbench.interfaces import Image, Metric, Missing, Setup, UsageError
from vcmbench.metrics import networks
from vcmbench.metrics.lpips import LpipsVgg
from vcmbench.metrics.perceptual import PerceptualH, PerceptualL
from vcmbench.metrics.vgg import vgg16
from vcmbench.torchvision_import import import_torchvision
from vcmbench.weights import ARTEFACTS, sha256

SETUP = Setup(unverified=True)
BF16 = Setup(precision="bf16", unverified=True)
SQUARE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])
SPOILT = jpeg(PORTRAIT, 10)
SMALL = (PORTRAIT[40:136, 100:196], SPOILT[40:136, 100:196])
METRICS = (PerceptualL(SETUP), PerceptualH(SETUP))


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A random VGG16 in place of the pretrained one."""
    with random_weights(tmp_path_factory.mktemp("torch"), write_vgg16) as folder:
        yield folder


@pytest.fixture(scope="module")
def activations(weights: Path) -> Any:
    """What torchvision's network gives for an image file: relu2_2 and relu5_1, under the names of their metrics."""
    torchvision = import_torchvision()
    from torchvision import transforms  # noqa: PLC0415  # needs the import before it
    from torchvision.models.feature_extraction import create_feature_extractor  # noqa: PLC0415  # likewise

    with torch.device("meta"):
        network = torchvision.models.vgg16()
    network.load_state_dict(torch.load(weights / ARTEFACTS["vgg16"].file), assign=True)
    taps = create_feature_extractor(network.eval(), {"features.8": "perceptual_l", "features.25": "perceptual_h"})
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
    )

    def extract(path: Path) -> dict[str, Tensor]:
        with torch.no_grad():
            return taps(prepare(PIL.Image.open(path))[None])  # type: ignore[no-any-return]  # torchvision has no hints

    return extract


def values(original: Image, decoded: Image) -> dict[str, Any]:
    """Both losses of one image."""
    reference, images = batch(original), batch(decoded)
    return {metric.name: metric.score(reference, images)[metric.name][0] for metric in METRICS}


def expected(activations: Any, folder: Path, *images: Image) -> dict[str, float]:
    """The mean squared differences of torchvision's activations."""
    paths = [folder / "original.png", folder / "decoded.png"]
    for path, image in zip(paths, images, strict=True):
        PIL.Image.fromarray(image).save(path)
    x, y = map(activations, paths)
    return {name: float((x[name] - y[name]).square().mean()) for name in x}


@pytest.mark.parametrize(
    ("original", "decoded"),
    [(PORTRAIT, SPOILT), (PORTRAIT, noisy(PORTRAIT, 2)), (SQUARE, jpeg(SQUARE, 60))],
    ids=["200×313 jpeg", "200×313 noise", "256×256 jpeg"],
)
def test_values_equal_those_of_torchvision(activations: Any, tmp_path: Path, original: Image, decoded: Image) -> None:
    """Both are the mean squared difference of torchvision's activations to 1e-5."""
    assert values(original, decoded) == pytest.approx(expected(activations, tmp_path, original, decoded), rel=1e-5)


def test_red_and_blue_are_told_apart(activations: Any, tmp_path: Path) -> None:
    """On images with red and blue swapped torchvision's activations give other values."""
    swapped = expected(activations, tmp_path, *(np.ascontiguousarray(image[..., ::-1]) for image in SMALL))
    assert all(value != pytest.approx(swapped[name], rel=1e-3) for name, value in values(*SMALL).items())


def test_three_metrics_and_two_settings_run_vgg16_once_an_image() -> None:
    """perceptual_l, perceptual_h and lpips_vgg of two settings need one pass per original and one per decoded image."""
    seen: list[int] = []
    metrics: tuple[Metric, ...] = (*METRICS, LpipsVgg(SETUP))
    reference = batch(*[SQUARE] * 3)
    hook = networks.loaded(vgg16, SETUP).register_forward_hook(lambda _network, inputs, _output: seen.append(len(inputs[0])))
    try:
        for quality in (4, 40):
            decoded = batch(*[jpeg(SQUARE, quality)] * 3)
            for metric in metrics:
                metric.score(reference, decoded)
                reference.release(keep=metric.extractors)
                decoded.release(keep=metric.extractors)
    finally:
        hook.remove()
    assert sum(seen) == 3 * (1 + 2)


def test_equal_images_differ_by_nothing_and_order_does_not_matter() -> None:
    """The value of a copy is 0, and original and decoded image can change places."""
    original, decoded = SMALL
    assert values(original, original) == {"perceptual_l": 0, "perceptual_h": 0}
    assert values(original, decoded) == pytest.approx(values(decoded, original), rel=1e-6)


def test_images_smaller_than_the_network_have_a_reason() -> None:
    """16×16 pixels are enough for the fifth block; 15 rows are not, and the reason says so."""
    assert all(value > 0 for value in values(PORTRAIT[:16, :16], SPOILT[:16, :16]).values())
    missing = Missing("VGG16 needs at least 16×16 pixels, not 300×15")
    assert values(PORTRAIT[:15, :300], SPOILT[:15, :300]) == {"perceptual_l": missing, "perceptual_h": missing}


def test_nan_from_the_network_has_a_reason() -> None:
    """Where the network gives NaN for one image of a batch, that one has no value, and its neighbour has."""

    def spoil(_network: Any, _inputs: Any, outputs: tuple[Tensor, ...]) -> None:
        for activations in outputs:
            activations[0] = math.nan

    hook = networks.loaded(vgg16, SETUP).register_forward_hook(spoil)
    try:
        scores = METRICS[1].score(batch(SMALL[0], SMALL[0]), batch(*SMALL))
    finally:
        hook.remove()
    missing, value = scores["perceptual_h"]
    assert missing == Missing("VGG16 gives nan")
    assert value == pytest.approx(values(*SMALL)["perceptual_h"], rel=1e-5)


def test_bf16_is_within_its_stated_deviation() -> None:
    """In bf16 a visible difference is within 2 % of what it is in float32, and another one."""
    exact = values(*SMALL)
    reference, decoded = map(batch, SMALL)
    for metric in (PerceptualL(BF16), PerceptualH(BF16)):
        (rounded,) = metric.score(reference, decoded)[metric.name]
        assert rounded == pytest.approx(exact[metric.name], rel=0.02)
        assert rounded != exact[metric.name]


def test_different_sizes_are_refused() -> None:
    """Images of another size than their originals' are refused with both shapes."""
    with pytest.raises(UsageError, match="originals are 1 × 3 × 200 × 313 and the decoded images 1 × 3 × 100 × 100"):
        METRICS[0].score(batch(PORTRAIT), batch(flat(0, (100, 100))))


def test_the_identity_names_the_weights(weights: Path) -> None:
    """The identity has the hash of the file that is loaded, and changes with the precision."""
    assert METRICS[0].identity["weights"] == {"vgg16": sha256(weights / ARTEFACTS["vgg16"].file)}
    assert METRICS[0].identity != PerceptualL(BF16).identity
