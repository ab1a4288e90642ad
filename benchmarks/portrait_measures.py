"""What a codec does to portraits, image by image: rate, fidelity, landmarks, features, memorability and time.

All but the feature distance is what vcmbench's codecs and metrics give. That distance is defined in `feature_distances`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from portraits import Portraits, as_tensor
from torch import Tensor

from vcmbench import weights
from vcmbench.interfaces import Batch, Codec, Image, Missing, Setup, Value, digest
from vcmbench.metrics import create, networks
from vcmbench.metrics.memorability import ResMemScore, resmem
from vcmbench.pipeline.scoring import Scorer

Values: TypeAlias = npt.NDArray[np.float64]
"""One value for each portrait."""

DEFINITIONS = 1
"""Raised whenever this file would measure other values."""
AT_ONCE = 14
COLUMNS = ("psnr_rgb", "ssim_rgb", "ssim_y", "nme_box", "memorability_delta")
RESAMPLES = 10_000
SETUP = Setup()


@dataclass(frozen=True)
class Measure:
    """How a measure is titled and spelled, and which way is better."""

    title: str
    form: str
    better: Literal["higher", "lower"]


MEASURES: Mapping[str, Measure] = {
    "bpp": Measure("bpp", ".4f", "lower"),
    "psnr": Measure("PSNR, dB", ".2f", "higher"),
    "ssim": Measure("SSIM", ".3f", "higher"),
    "ssim_y": Measure("SSIM-Y", ".3f", "higher"),
    "nme": Measure("NME, %", ".2f", "lower"),
    "features": Measure("features", ".3f", "lower"),
    "memorability": Measure("|Δ memorability|", ".4f", "lower"),
}


@dataclass(frozen=True)
class Measured:
    """What one setting does to each portrait."""

    bpp: Values
    """The bitstream's bits by the image's pixels."""
    psnr: Values
    """Over R, G and B, in dB."""
    ssim: Values
    """The mean over R, G and B."""
    ssim_y: Values
    """Of the luma."""
    nme: Values
    """In per cent of √(w·h) of the box around the original's landmarks."""
    features: Values
    """As `feature_distances` defines it."""
    memorability: Values
    """How far ResMem's score is from the original's, up or down."""
    encode_ms: Values
    decode_ms: Values


class Laboratory:
    """Measures settings on the same portraits; what is computed of an original serves all of them."""

    def __init__(self, portraits: Portraits, networks_folder: Path, boxes: str) -> None:
        """Take the landmark network and the face detector from a folder; `boxes` is the landmark metric's parameter."""
        os.environ.setdefault(weights.FOLDER, str(networks_folder))
        self.portraits = portraits
        self._metrics = [create(name) for name in ("psnr_rgb", "ssim_rgb", "ssim_y", "memorability")]
        self._metrics.append(create("landmarks", backend="onnx", model=str(networks_folder / "pfld.onnx"), boxes=boxes))
        self._scorer = Scorer()
        self._originals = [
            Batch(as_tensor(portraits.images[part]), torch.from_numpy(portraits.boxes[part]).float())
            for part in (slice(start, start + AT_ONCE) for start in range(0, len(portraits.images), AT_ONCE))
        ]

    def identity(self, codec: Codec) -> str:
        """Digest what, beside the portrait, decides the values of a setting; times are of the machine."""
        return digest([DEFINITIONS, codec.identity, [metric.identity for metric in self._metrics]])

    def measure(self, codec: Codec) -> Measured:
        """Code, decode and score every portrait."""
        images = self.portraits.images
        codec.decode(codec.encode(images[0]))  # what is loaded or compiled at the first call
        streams, encode_ms = zip(*(_timed(codec.encode, image) for image in images), strict=True)
        decoded, decode_ms = zip(*(_timed(codec.decode, stream) for stream in streams), strict=True)
        scores = self._scores(np.stack(decoded))
        return Measured(
            bpp=np.array([8 * len(stream) / (image.size / 3) for stream, image in zip(streams, images, strict=True)]),
            psnr=scores["psnr_rgb"],
            ssim=scores["ssim_rgb"],
            ssim_y=scores["ssim_y"],
            nme=100 * scores["nme_box"],
            features=scores["features"],
            memorability=np.abs(scores["memorability_delta"]),
            encode_ms=np.array(encode_ms),
            decode_ms=np.array(decode_ms),
        )

    def _scores(self, decoded: Image) -> dict[str, Values]:
        scores: dict[str, list[float]] = {}
        for number, original in enumerate(self._originals):
            part = slice(number * AT_ONCE, (number + 1) * AT_ONCE)
            batch = Batch(as_tensor(decoded[part]), original.boxes, original)
            distances = feature_distances(original, batch)  # first, as ResMem is to run once
            found = self._scorer.score(self._metrics, original, batch)
            for column, values in [("features", distances), *((name, found[name]) for name in COLUMNS)]:
                scores.setdefault(column, []).extend(_numbers(column, cast(Sequence[Value], values)))
        return {column: np.array(values) for column, values in scores.items()}


def feature_distances(original: Batch, decoded: Batch) -> list[float]:
    """Return, for each image, how far its ResNet-152 features are from the original's.

    The distance is the mean squared difference of the 2,048 features after the last pooling of the ResNet-152 that ResMem
    carries, divided by the mean square of the original's. The network is given what ResMem gives it: the central 227×227 of
    256×256 pixels, from 0 to 1. They are not normalised by ImageNet's mean and deviation, as the statistics that its batch
    normalisation has stored are of images that were not: with it the variance of activations is 9 times what is stored (the
    median over layers), without it 0.9 times.
    """
    before, after = original.get(resnet_features).double(), decoded.get(resnet_features).double()
    return cast(list[float], ((after - before).square().mean(1) / before.square().mean(1)).tolist())


def resnet_features(batch: Batch) -> Tensor:
    """Return B×2048 float32.

    They are taken from ResMem's own pass, so that memorability is had with them; that score must not be there already.
    """
    network: Any = networks.loaded(resmem, SETUP)
    pooled: list[Tensor] = []
    hook = network.features.avgpool.register_forward_hook(lambda _layer, _inputs, output: pooled.append(output.flatten(1)))
    try:
        batch.get(ResMemScore(SETUP))
    finally:
        hook.remove()
    (features,) = pooled
    return features


def _timed(function: Any, argument: Any) -> tuple[Any, float]:
    start = time.process_time()  # on one core that is all the time there is, and a neighbour does not count
    result = function(argument)
    return result, 1e3 * (time.process_time() - start)


def _numbers(column: str, values: Sequence[Value]) -> list[float]:
    for value in values:
        if isinstance(value, Missing):
            raise SystemExit(f"{column}: {value.reason}")
    return [float(value) for value in cast(Sequence[float], values)]


def interval(values: Values) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean over portraits, which are drawn alike for every setting and measure."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), (2.5, 97.5))
    return float(low), float(high)


class Cache:
    """A file of what was measured before, by setting and portrait; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stored: dict[str, dict[str, list[float]]] = json.loads(path.read_text()) if path and path.exists() else {}

    def get(self, setting: str, portraits: Portraits) -> Measured | None:
        """Return what was measured of the setting, where that is so for all these portraits."""
        stored = self._stored.get(setting, {})
        digests = _digests(portraits)
        if not stored.keys() >= set(digests):
            return None
        return Measured(*np.array([stored[each] for each in digests]).T)

    def put(self, setting: str, portraits: Portraits, measured: Measured) -> None:
        """Store it, at once and whole."""
        if self._path is None:
            return
        columns = [getattr(measured, column.name) for column in fields(Measured)]
        rows = np.stack(columns, axis=1).tolist()
        self._stored.setdefault(setting, {}).update(zip(_digests(portraits), rows, strict=True))
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._stored))
        beside.replace(self._path)


def _digests(portraits: Portraits) -> list[str]:
    pairs = zip(portraits.images, portraits.boxes, strict=True)
    return [hashlib.sha256(image.tobytes() + box.tobytes()).hexdigest() for image, box in pairs]
