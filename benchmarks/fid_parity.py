"""FID from files to value, vcmbench beside pytorch-fid's `calculate_fid_given_paths`, with more images than features.

With 2,048 images or fewer the covariances are singular, and the package's root of their product ends at four digits; with
more it can be asked for all of them. The network is random, in the file format of the pretrained one. Images are noise of
many scales; decoded ones are the same as strong JPEG. It takes a quarter of a second of a core for an image and side.

    .venv/bin/python benchmarks/fid_parity.py [--images 2200] [--batch 50] [--quality 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from measuring import keep_to_cores, machine, print_table
from portraits import as_tensor
from random_networks import homes, write_inception

from vcmbench.interfaces import Batch, Image, Setup
from vcmbench.metrics.inception import InceptionFeatures
from vcmbench.reports import set_metrics
from vcmbench.torchvision_import import import_torchvision

SIDE = 64
SCALES = (64, 32, 16, 8, 4, 1)
"""Samples along an image's side of the noises that are added up; their strengths are drawn, too."""
STRONGEST = 80


def write_images(folder: Path, count: int, quality: int) -> tuple[Path, Path]:
    """Write originals, and what JPEG leaves of them, as PNG; return both folders."""
    folders = (folder / "originals", folder / "decoded")
    for each in folders:
        each.mkdir()
    for number in range(count):
        name = f"{number:05}.png"
        original = noise(np.random.default_rng(number))
        _, coded = cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, quality])
        for each, image in zip(folders, (original, cv2.imdecode(coded, cv2.IMREAD_COLOR)), strict=True):
            PIL.Image.fromarray(np.asarray(image, np.uint8)).save(each / name)
    return folders


def noise(generator: np.random.Generator) -> Image:
    """Draw `SIDE`×`SIDE`×3 pixels."""
    samples: npt.NDArray[np.float64] = np.full((SIDE, SIDE, 3), 128.0)
    for scale in SCALES:
        drawn = generator.normal(0, generator.uniform(0, STRONGEST), (scale, scale, 3))
        samples += cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    pixels: Image = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
    return pixels


def ours(folders: tuple[Path, Path], batch: int) -> float:
    """Return vcmbench's FID of the files of two folders."""
    originals, decoded = (features(sorted(folder.iterdir()), batch) for folder in folders)
    (values,) = set_metrics.fid(originals, [decoded], [None] * len(originals))
    assert values["fid"].value is not None, values["fid"].note
    return values["fid"].value


def features(files: list[Path], batch: int) -> npt.NDArray[np.float32]:
    """Return Inception's features of the files, N×2048."""
    extract = InceptionFeatures(Setup(unverified=True))
    parts = []
    for start in range(0, len(files), batch):
        images = np.stack([np.asarray(PIL.Image.open(file)) for file in files[start : start + batch]])
        parts.append(extract(Batch(as_tensor(images), torch.zeros(len(images), 4))).numpy())
    return np.concatenate(parts)


def theirs(folders: tuple[Path, Path], batch: int) -> float:
    """Return pytorch-fid's, of the same files."""
    import_torchvision()
    from pytorch_fid import fid_score  # noqa: PLC0415  # torchvision must be importable by then

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `disp` argument")  # the package's own call of SciPy
        return float(fid_score.calculate_fid_given_paths([str(each) for each in folders], batch, "cpu", 2048, num_workers=0))


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=2200)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--quality", type=int, default=5, help="of the decoded images' JPEG")
    arguments = parser.parse_args()
    keep_to_cores(1)
    torch.set_num_threads(1)
    print(machine("torch", "numpy", "scipy", "pytorch-fid"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(homes(Path(folder)))
        write_inception(Path(folder))
        folders = write_images(Path(folder), arguments.images, arguments.quality)
        found = {"vcmbench": ours(folders, arguments.batch), "pytorch-fid": theirs(folders, arguments.batch)}
    print_table([f"N = {arguments.images:,}", "FID"], [[name, f"{value:.9f}"] for name, value in found.items()])
    print(f"\nrelative difference: {abs(found['vcmbench'] / found['pytorch-fid'] - 1):.1e}")


if __name__ == "__main__":
    main()
