"""What the pixel metrics cost: milliseconds of a core for one more setting of an image, its original being known.

.venv/bin/python benchmarks/pixel_metric_times.py [--portraits PATH] [--images 16] [--repeat 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import PORTRAITS, machine, print_table
from portraits import as_tensor, load_portraits

from vcmbench import codecs
from vcmbench.interfaces import Batch
from vcmbench.metrics import create

COLUMNS: Mapping[str, Sequence[str]] = {
    "psnr_rgb": (),
    "psnr_y": (),
    "ssim_rgb": (),
    "ssim_y": (),
    "ms_ssim": ("ssim_rgb",),
}
"""Each metric, and those that share with it and are scored before."""


def milliseconds(name: str, before: Sequence[str], originals: Batch, decoded: Batch) -> float:
    """Return the time of one image's value, all images being scored at once."""
    for other in before:
        create(other).score(originals, decoded)
    metric = create(name)
    started = time.process_time()
    metric.score(originals, decoded)
    taken = time.process_time() - started
    decoded.release()
    return 1e3 * taken / len(decoded.images)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker
    print(machine("torch", "numpy"))
    images = load_portraits(arguments.portraits, arguments.images).images
    jpeg = codecs.create("jpeg", quality=20)
    originals = Batch(as_tensor(images))
    decoded = Batch(as_tensor(np.stack([jpeg.decode(jpeg.encode(image)) for image in images])), None, originals)
    rows = []
    for name, before in COLUMNS.items():
        first, *times = [milliseconds(name, before, originals, decoded) for _ in range(1 + arguments.repeat)]
        after = f"`{name}`" + (f" after `{before[0]}`" if before else "")
        rows.append([after, f"{statistics.median(times):.2f}", f"{first:.2f}"])
    print_table(["256×256 pixels", "ms", "with the original's"], rows)


if __name__ == "__main__":
    main()
