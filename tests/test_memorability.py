"""Memorability against resmem used as its authors describe, and how often its network runs."""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pictures import ASTRONAUT, PORTRAIT, batch, flat, jpeg, noisy

from vcmbench import metrics
from vcmbench.interfaces import Image, Setup, UsageError
from vcmbench.metrics import networks
from vcmbench.metrics.memorability import Memorability, weight_file, weight_hash
from vcmbench.metrics.memorability import resmem as build
from vcmbench.torchvision_import import import_torchvision

pytestmark = pytest.mark.skipif(Memorability().unavailable() is not None, reason=str(Memorability().unavailable()))

SQUARE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])
TALL: Image = np.ascontiguousarray(ASTRONAUT[:400, 100:380])


@pytest.fixture(scope="module")
def resmem() -> Any:
    """Memorability of an image as resmem's description computes it."""
    import_torchvision()
    import resmem as package  # noqa: PLC0415  # needs torchvision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # resmem calls torchvision in a deprecated way
        model = package.ResMem(pretrained=True)
    model.eval()

    def predict(image: Image) -> float:
        with torch.no_grad():
            return float(model(package.transformer(PIL.Image.fromarray(image)).view(-1, 3, 227, 227)))

    return predict


def memorability(*images: Image) -> list[Any]:
    return list(Memorability().score(batch(*images), batch(*images))["memorability"])


@pytest.mark.parametrize("image", [SQUARE, PORTRAIT, TALL], ids=["256×256", "200×313", "400×280"])
def test_scores_equal_resmem(resmem: Any, image: Image) -> None:
    """The score equals resmem's in any size, and not the one with red and blue swapped."""
    (score,) = memorability(image)
    assert score == pytest.approx(resmem(image), abs=1e-5)
    assert score != pytest.approx(resmem(np.ascontiguousarray(image[..., ::-1])), abs=1e-3)


def test_real_portraits_equal_resmem(resmem: Any, portraits: Path) -> None:
    """A file of a real portrait scores as with resmem."""
    path = min((portraits / "test").glob("*/*.jpg"))
    image = np.array(PIL.Image.open(path).convert("RGB"))
    assert memorability(image) == pytest.approx([resmem(image)], abs=1e-5)


def test_delta_is_decoded_less_original(resmem: Any) -> None:
    """The difference is the decoded image's score less its original's, image by image."""
    originals, decoded = (SQUARE, flat(128, (256, 256))), (jpeg(SQUARE, 4), SQUARE)
    delta = Memorability().score(batch(*originals), batch(*decoded))["memorability_delta"]
    expected = [resmem(image) - resmem(original) for original, image in zip(originals, decoded, strict=True)]
    assert delta == pytest.approx(expected, abs=1e-5)


def test_batches_score_as_single_images() -> None:
    """An image scores the same to 1e-5 alone and among others."""
    images = [SQUARE, noisy(SQUARE, 30), flat(0, (256, 256))]
    alone = [memorability(image)[0] for image in images]
    assert memorability(*images) == pytest.approx(alone, abs=1e-5)


def test_originals_are_scored_once_for_all_settings() -> None:
    """Three settings of one reference run the network four times, not six."""
    seen: list[int] = []
    metric, reference = Memorability(), batch(SQUARE)
    network = networks.loaded(build, Setup())
    hook = network.register_forward_hook(lambda _network, inputs, _output: seen.append(len(inputs[0])))
    try:
        for quality in (4, 10, 40):
            metric.score(reference, batch(jpeg(SQUARE, quality)))
            reference.release(keep=metric.extractors)
    finally:
        hook.remove()
    assert seen == [1] * 4


def test_the_identity_names_the_weights() -> None:
    """The recorded hash is that of the file which is loaded, and it is part of the identity."""
    with Path(str(weight_file().locate())).open("rb") as file:
        assert weight_hash() == hashlib.file_digest(file, "sha256").hexdigest()
    assert Memorability().identity["weights"] == weight_hash()
    assert Memorability().identity["packages"] == {"resmem": "1.1.6"}


def test_without_resmem_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where resmem cannot be imported, the metric says how to get it, and cannot be made."""
    monkeypatch.setitem(sys.modules, "resmem", None)
    reason = Memorability().unavailable()
    assert reason is not None
    assert "pip install 'vcmbench[memorability]'" in reason
    with pytest.raises(UsageError, match=r"vcmbench\[memorability\]"):
        metrics.create("memorability")
