"""Learn how likely each bit of a stroke is: writes the priors that `vcmbench/codecs/edge/stroke_coding.py` ships with.

Each portrait of the train split is taken at one of a few budgets, as it is and mirrored. Strokes are made to be cheap by the
priors, so that both are found in turns. Prints the mean bits per pixel of the edge layer on the test split, with the priors
before and after.

    .venv/bin/python benchmarks/edge_priors.py [--portraits PATH] [--count 600] [--tested 140] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import cycle
from math import prod
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from measuring import PORTRAITS
from portraits import load_portraits

from vcmbench.codecs.edge import estimate, priors
from vcmbench.codecs.edge.geometry import Stroke
from vcmbench.codecs.edge.range_coder import PRECISION, Coder
from vcmbench.codecs.edge.stroke_coding import GROUPS, ZONES, code_strokes, write_strokes
from vcmbench.codecs.edge.tracing import DEFAULT_BUDGET, strokes_of
from vcmbench.interfaces import Image

Groups = Mapping[str, tuple[int, ...]]

SIDE = 256
FILE = Path(str(files("vcmbench.codecs.edge").joinpath("stroke_priors.json")))
BUDGETS = (DEFAULT_BUDGET, 40, DEFAULT_BUDGET, 75)
CONFIDENCE = 6.0
"""Bits seen in similar contexts count as so many in one."""
DENSITY_BLUR = 1.0
"""Zones; standard deviation."""


class Tally(Coder):
    """Counts what would be coded, in the manner of a coder."""

    def __init__(self, groups: Groups) -> None:
        """Begin with nothing counted in the contexts of these groups."""
        self._groups = groups
        self._counts = np.zeros((priors.first_contexts(groups)["all"], 2))

    def bit(self, value: int, context: int) -> int:
        """Count one bit."""
        self._counts[context, int(value)] += 1
        return value

    def uniform(self, value: int, _: int) -> int:
        """Count nothing, as there is nothing to learn."""
        return value

    def trained(self) -> dict[str, list[int]]:
        """Return the priors of each group that fit what was counted."""
        first = priors.first_contexts(self._groups)
        counts = {group: self._counts[first[group] :][: prod(shape)] for group, shape in self._groups.items()}
        return {group: probabilities(counts[group].reshape(*shape, 2)) for group, shape in self._groups.items()}


def portraits_strokes(images: Iterable[Image], budgets: Sequence[int]) -> list[list[Stroke]]:
    """Find the strokes of portraits, at each budget in turn."""
    return [strokes_of(image, budget) for image, budget in zip(images, cycle(budgets), strict=False)]


def mirrored(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Exchange left and right."""
    return [np.stack((stroke[:, 0], SIDE - 1 - stroke[:, 1]), axis=1) for stroke in strokes]


def zone_classes(pictures: Sequence[Sequence[Stroke]]) -> list[int]:
    """Return for each zone how likely strokes are to begin there: as many classes as "begin" has, of equally many zones."""
    density = np.zeros((ZONES, ZONES), np.float32)
    for strokes in pictures:
        for stroke in strokes:
            row, column = min(stroke.tolist(), stroke[::-1].tolist())[0]
            density[row * ZONES // SIDE, column * ZONES // SIDE] += 1
    smooth = np.ravel(cv2.GaussianBlur(density, (0, 0), DENSITY_BLUR))
    classes = GROUPS["begin"][0]
    return list(np.searchsorted(np.quantile(smooth, np.arange(1, classes) / classes), smooth).tolist())


def probabilities(counts: npt.NDArray[np.float64]) -> list[int]:
    """Return the probability of 0 in each context, in 1/2^PRECISION, given how often each bit came.

    Contexts that have come rarely are taken to be like those of which only the first coordinates differ.
    """
    if counts.ndim == 2:
        expected = counts.sum(axis=0, keepdims=True) + 0.5
    else:
        expected = np.full((1, *counts.shape[1:]), 0.0)
        inner = np.array(probabilities(counts.sum(axis=0))).reshape(counts.shape[1:-1]) / (1 << PRECISION)
        expected[0] = np.stack((inner, 1 - inner), axis=-1)
    expected /= expected.sum(axis=-1, keepdims=True)
    zeros = (counts + CONFIDENCE * expected)[..., 0]
    share = zeros / (counts.sum(axis=-1) + CONFIDENCE)
    whole = 1 << PRECISION
    return list(np.clip(np.rint(share * whole), 32, whole - 32).astype(int).ravel().tolist())


def train(pictures: Sequence[Sequence[Stroke]]) -> None:
    """Write the priors that fit the strokes of some pictures."""
    priors_before = {group: [1 << PRECISION - 1] * int(np.prod(shape)) for group, shape in GROUPS.items()}
    save({"zones": zone_classes(pictures), **priors_before})
    tally = Tally(GROUPS)
    for strokes in pictures:
        code_strokes(tally, strokes, SIDE, SIDE)
    save({"zones": zone_classes(pictures), **tally.trained()})


def save(trained: dict[str, list[int]]) -> None:
    """Write the file that is shipped."""
    lines = [f'"{name}": {json.dumps(values, separators=(",", ":"))}' for name, values in trained.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")
    priors.load.cache_clear()
    estimate.tables.cache_clear()


def bits_per_pixel(pictures: Sequence[Sequence[Stroke]]) -> float:
    """Return the mean size of the coded strokes."""
    return float(np.mean([len(write_strokes(strokes, SIDE, SIDE)) for strokes in pictures])) * 8 / SIDE**2


def main() -> None:
    """Train on one split and print what it brings on the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--tested", type=int, default=140)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    train_images, test_images = (
        load_portraits(arguments.portraits, count, split).images
        for split, count in (("train", arguments.count), ("test", arguments.tested))
    )
    before = bits_per_pixel(portraits_strokes(test_images, [DEFAULT_BUDGET]))
    for _ in range(arguments.rounds):
        seen = portraits_strokes(train_images, BUDGETS)
        train([*seen, *map(mirrored, seen)])
    after = bits_per_pixel(portraits_strokes(test_images, [DEFAULT_BUDGET]))
    print(f"{before:.4f} bpp before, {after:.4f} after, of {len(test_images)} portraits")


if __name__ == "__main__":
    main()
