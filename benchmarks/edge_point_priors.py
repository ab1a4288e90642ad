"""Learn how likely each bit of a point is: writes the priors that `vcmbench/codecs/edge/point_coding.py` ships with.

Each portrait of the train split is taken as it is and mirrored, with strokes and points as the encoder finds them. Prints
the mean bits per pixel of the point layers on the test split, with the priors before and after.

    .venv/bin/python benchmarks/edge_point_priors.py [--portraits PATH] [--count 600] [--tested 140]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from edge_priors import Tally
from measuring import PORTRAITS
from portraits import load_portraits

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, grid_shape
from vcmbench.codecs.edge.point_coding import code_points, write_points
from vcmbench.codecs.edge.point_levels import GROUPS
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import Image

FILE = Path(str(files("vcmbench.codecs.edge").joinpath("point_priors.json")))


@dataclass(frozen=True)
class Picture:
    """What is coded of a portrait."""

    raster: Raster
    points: Points


def analysed(image: Image) -> Picture:
    """Find strokes and points, each layer of these in reading order, which is how a decoder knows the earlier ones."""
    height, width, _ = image.shape
    raster = rasterise(strokes_of(image), height, width)
    chosen = choose(image, raster, COUNTS[-1])
    layer = np.searchsorted(COUNTS, np.arange(len(chosen)), side="right")
    order = np.lexsort((chosen.cells[:, 1], chosen.cells[:, 0], layer))
    return Picture(raster, Points(chosen.cells[order], chosen.levels[order]))


def mirrored(picture: Picture) -> Picture:
    """Exchange left and right; the image's sides are multiples of the cells'."""
    _, columns = grid_shape(*picture.raster.shape)
    cells = picture.points.cells * (1, -1) + (0, columns - 1)
    levels = picture.points.levels
    layer = np.searchsorted(COUNTS, np.arange(len(cells)), side="right")
    order = np.lexsort((cells[:, 1], cells[:, 0], layer))
    return Picture(picture.raster[:, ::-1], Points(cells[order].astype(np.int32), levels[order]))


def layers(points: Points) -> Iterator[tuple[Points, Points]]:
    """Yield each layer and the points before it."""
    for first, last in zip((0, *COUNTS), COUNTS):  # noqa: B905  # the last count begins no layer
        yield Points(points.cells[first:last], points.levels[first:last]), points.first(first)


def train(pictures: list[Picture]) -> None:
    """Write the priors that fit some pictures."""
    tally = Tally(GROUPS)
    for picture in pictures:
        for layer, earlier in layers(picture.points):
            code_points(tally.bit, layer, len(layer), earlier, picture.raster)
    lines = [f'"{group}": {json.dumps(values, separators=(",", ":"))}' for group, values in tally.trained().items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")
    priors.load.cache_clear()


def bits_per_pixel(pictures: list[Picture]) -> str:
    """Return the mean size of the layers up to each number of points."""
    rates = np.cumsum(np.mean([_layer_rates(picture) for picture in pictures], axis=0))
    return ", ".join(f"{count}: {rate:.4f}" for count, rate in zip(COUNTS, rates, strict=True))


def _layer_rates(picture: Picture) -> list[float]:
    return [
        8 * len(write_points(layer, earlier, picture.raster)) / picture.raster.size
        for layer, earlier in layers(picture.points)
    ]


def main() -> None:
    """Train on one split and print what it brings on the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--tested", type=int, default=140)
    arguments = parser.parse_args()
    seen, unseen = (
        [analysed(image) for image in load_portraits(arguments.portraits, count, split).images]
        for split, count in (("train", arguments.count), ("test", arguments.tested))
    )
    before = bits_per_pixel(unseen)
    train([*seen, *map(mirrored, seen)])
    print(f"bpp by number of points, of {len(unseen)} portraits\nbefore {before}\nafter  {bits_per_pixel(unseen)}")


if __name__ == "__main__":
    main()
