"""The figures of the metrics' pages: landmarks of real portraits, what bf16 changes, what is kept of an original.

Landmarks are those of PFLD in the boxes of BlazeFace, both real and from beside the portraits; ResMem is in its package. All
other networks are seeded random ones (`random_networks.py`): how far bf16 is from fp32 is theirs, and pretrained ones may be
farther or nearer.

    .venv/bin/python benchmarks/metric_figures.py [--portraits PATH] [--images 140] [--rounded 8]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measuring import PORTRAITS, machine, print_table
from portraits import Portraits, as_tensor, load_portraits
from random_networks import homes, write_networks
from torch import Tensor

from vcmbench import codecs
from vcmbench.interfaces import Batch, Codec, Image, Missing, Precision, Setup, Value
from vcmbench.metrics import create, networks
from vcmbench.metrics.faces import DETECTORS, Boxes, ReferenceBoxes, blazeface, overlaps
from vcmbench.metrics.fan import FanLandmarks, centres_and_scales, crop, heat_maps
from vcmbench.metrics.inception import InceptionFeatures

QUALITIES = (4, 6, 10, 20, 40, 70, 100)
ROUNDED_QUALITIES = (4, 10, 40)
"""Of the decoded images that are scored in both precisions."""
AT_ONCE = 20
FP32, BF16 = (Setup(precision=precision, unverified=True) for precision in ("fp32", "bf16"))


def batches(portraits: Portraits, codec: Codec) -> list[tuple[Batch, Batch]]:
    """Return originals and decoded images, a few at a time."""
    pairs = []
    for start in range(0, len(portraits.images), AT_ONCE):
        here = slice(start, start + AT_ONCE)
        boxes = torch.from_numpy(portraits.boxes[here]).float()
        decoded = np.stack([codec.decode(codec.encode(image)) for image in portraits.images[here]])
        reference = Batch(as_tensor(portraits.images[here]), boxes)
        pairs.append((reference, Batch(as_tensor(decoded), boxes, reference)))
    return pairs


# ------------------------------------------------------------------------------------------------------- landmarks


def print_landmarks(portraits: Portraits, model: Path) -> None:
    """Print the landmark metric's means over the portraits under JPEG and a lossless codec."""
    metric = create("landmarks", backend="onnx", model=str(model))
    settings = {str(quality): codecs.create("jpeg", quality=quality) for quality in QUALITIES}
    rows = {column: [f"`{column}`"] for column in metric.columns}
    covered = set()
    for codec in [*settings.values(), codecs.create("png")]:
        values: dict[str, list[Value]] = {column: [] for column in metric.columns}
        for reference, decoded in batches(portraits, codec):
            for column, some in metric.score(reference, decoded).items():
                values[column] += some
        for column, cells in rows.items():
            present = [float(value) for value in values[column] if not isinstance(value, Missing)]
            covered.add(len(present))
            mean = np.mean(present)
            cells.append(f"{100 * mean:.0f} %" if column == "face_detected" else f"{mean:.4f}")
    with_values = " or ".join(map(str, sorted(covered)))
    print(f"\nlandmarks: {with_values} of {len(portraits.images)} portraits have values; their means by JPEG quality:")
    print_table(["column", *settings, "png"], list(rows.values()))


# -------------------------------------------------------------------------------------------------------- bfloat16

IN_BOXES: Mapping[str, Any] = {"boxes": "dataset"}
SCORED: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("perceptual_l", "perceptual_l", {}),
    ("perceptual_h", "perceptual_h", {}),
    ("lpips_alex", "lpips_alex", {}),
    ("lpips_vgg", "lpips_vgg", {}),
    ("dists", "dists", {}),
    ("gender_p_woman", "gender", IN_BOXES),
    ("identity_similarity", "identity", {**IN_BOXES, "network": "arcface"}),
    ("identity_similarity", "identity", {**IN_BOXES, "network": "facenet512"}),
    ("memorability", "memorability", {}),
)
"""Column, metric and parameters."""


def print_deviations(portraits: Portraits) -> None:
    """Print how far the values of both precisions are apart."""
    settings = [codecs.create("jpeg", quality=quality) for quality in ROUNDED_QUALITIES]
    pairs = [pair for codec in settings for pair in batches(portraits, codec)]
    rows = []
    for column, name, parameters in SCORED:
        exact, rounded = (_values(column, name, precision, parameters, pairs) for precision in ("fp32", "bf16"))
        apart = np.abs(rounded - exact)
        relative = 100 * (apart / np.abs(exact)).max()
        cells = [f"{exact.min():.3g} to {exact.max():.3g}", f"{apart.max():.1e}", f"{relative:.2f} %"]
        network = parameters.get("network", "")
        rows.append([f"`{column}` {network}".rstrip(), *cells])
    qualities = ", ".join(map(str, ROUNDED_QUALITIES))
    print(f"\nbf16 against fp32, random networks but ResMem, {len(portraits.images)} portraits × JPEG {qualities}:")
    print_table(["column", "fp32", "largest difference", "of the value"], rows)


def _values(
    column: str,
    name: str,
    precision: Precision,
    parameters: Mapping[str, Any],
    pairs: Sequence[tuple[Batch, Batch]],
) -> npt.NDArray[np.float64]:
    metric = create(name, precision=precision, unverified=True, **parameters)
    values: list[Value] = []
    for reference, decoded in pairs:
        values += metric.score(reference, decoded)[column]
        for batch in (reference, decoded):
            batch.release()
    return np.array(values, np.float64)


def print_rounding(few: Portraits, many: Portraits) -> None:
    """Print what bf16 does to what landmarks, FID and detected boxes are made from; the last one on many portraits."""
    batch = Batch(as_tensor(few.images), torch.from_numpy(few.boxes))
    exact, rounded = (batch.get(InceptionFeatures(setup)) for setup in (FP32, BF16))
    features = ((rounded - exact).norm(dim=1) / exact.norm(dim=1)).max()
    corners = np.hstack((few.boxes[:, :2], few.boxes[:, :2] + few.boxes[:, 2:]))
    centres, scales = centres_and_scales(corners)
    crops = crop(few.images, centres, scales)
    maps, rounded_maps = (heat_maps(crops, flip=False, setup=setup) for setup in (FP32, BF16))
    spread = (rounded_maps - maps).square().mean().sqrt() / maps.std()
    landmarks = [_points(batch, setup) for setup in (FP32, BF16)]
    moved = (landmarks[0] != landmarks[1]).any(2).float().mean()
    degraded = codecs.create("jpeg", quality=10)
    faces = np.concatenate([many.images, [degraded.decode(degraded.encode(image)) for image in many.images]])
    movement, other = _movement(_faces(faces, FP32), _faces(faces, BF16))
    print(f"\nbf16 against fp32, {len(few.images)} portraits:")
    rows = [
        ["Inception's feature: largest difference, of its norm", f"{100 * features:.1f} %"],
        ["2DFAN-4's heat maps: root mean square difference, of their standard deviation", f"{100 * spread:.1f} %"],
        ["2DFAN-4's points that moved", f"{100 * moved:.0f} %"],
        [f"real BlazeFace, {len(faces)} images: largest movement of a corner", f"{movement:.1f} pixels"],
        ["images in which it found another number of faces", f"{other}"],
    ]
    print_table(["random networks, but BlazeFace", ""], rows)


def _points(batch: Batch, setup: Setup) -> Tensor:
    boxes = ReferenceBoxes("dataset", "blazeface", setup)
    return batch.get(FanLandmarks(boxes, flip=False, setup=setup)).view(-1, 68, 2)


def _faces(images: Image, setup: Setup) -> list[Boxes]:
    detector = DETECTORS["blazeface"]
    found = []
    for some in torch.split(as_tensor(images), detector.at_once):
        outputs = networks.forward(blazeface, setup, detector.prepare(some))
        found += detector.decode([output.float() for output in outputs], (some.shape[2], some.shape[3]), FP32)
    return found


def _movement(exact: Sequence[Boxes], rounded: Sequence[Boxes]) -> tuple[float, int]:
    """Return how far the corners of the most overlapping boxes are apart, and in how many images the numbers differ."""
    furthest, other = 0.0, 0
    for one, two in zip(exact, rounded, strict=True):
        other += len(one) != len(two)
        for face in one if len(two) else ():
            nearest = two[overlaps(two, torch.from_numpy(face[:4])).argmax()]
            furthest = max(furthest, float(np.abs(nearest[:4] - face[:4]).max()))
    return furthest, other


# ---------------------------------------------------------------------------------------------------------- memory


def print_kept(portraits: Portraits) -> None:
    """Print how much memory the activations of an original take while its settings are scored."""
    rows = []
    for name in ("lpips_alex", "lpips_vgg", "dists"):
        cells = [f"`{name}`"]
        for precision in ("fp32", "bf16"):
            batch = Batch(as_tensor(portraits.images[:1]))
            metric = create(name, precision=precision, unverified=True)
            cells.append(f"{_bytes(batch.get(metric.extractors[0])) / 1e6:.1f}")
        rows.append(cells)
    height, width = portraits.images.shape[1:3]
    print(f"\nactivations kept of each original of {width}×{height}, in MB; perceptual losses share those of `lpips_vgg`:")
    print_table(["metric", "fp32", "bf16"], rows)


def _bytes(feature: Any) -> int:
    return feature.nbytes if isinstance(feature, Tensor) else sum(map(_bytes, feature))


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--images", type=int, default=140, help="portraits of the landmarks and of BlazeFace")
    parser.add_argument("--rounded", type=int, default=8, help="portraits that are scored in both precisions")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker
    packages = ("torch", "torchvision", "face-alignment", "deepface", "onnxruntime", "opencv-contrib-python-headless")
    print(machine(*packages, "lpips", "DISTS-pytorch", "pytorch-fid", "resmem", "pillow"))
    real = arguments.portraits.parent / "weights"
    portraits = load_portraits(arguments.portraits, arguments.images)
    few = Portraits(portraits.images[: arguments.rounded], portraits.boxes[: arguments.rounded])
    with tempfile.TemporaryDirectory() as place:
        os.environ.update(homes(Path(place)))
        write_networks(Path(place), real)
        print_landmarks(portraits, real / "pfld.onnx")
        print_deviations(few)
        print_rounding(few, portraits)
        print_kept(few)


if __name__ == "__main__":
    main()
