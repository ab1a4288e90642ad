"""Average portraits: writes the tones that `vcmbench/codecs/edge/diffusion.py` shows where no point is known.

The mean of the train split, as it is and mirrored, in so few pixels that nobody is seen in it.

    .venv/bin/python benchmarks/edge_mean_portrait.py [--portraits PATH] [--count 600]
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from measuring import PORTRAITS
from portraits import load_portraits

FILE = Path(str(files("vcmbench.codecs.edge").joinpath("mean_portrait.npz")))
SIDE = 16


def main() -> None:
    """Write the file that is shipped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--count", type=int, default=600)
    arguments = parser.parse_args()
    mean = load_portraits(arguments.portraits, arguments.count, "train").images.mean(0)
    small = cv2.resize((mean + mean[:, ::-1]) / 2, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    np.savez_compressed(FILE, colours=np.rint(small).astype(np.uint8))
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
