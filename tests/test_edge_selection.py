"""Which points are sent: each layer mends what the ones before left, on any picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from skimage.data import astronaut

from vcmbench.codecs.edge.colour import LIMITS, quantise, reconstruct
from vcmbench.codecs.edge.diffusion import diffuse
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, grid_shape
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import Image

ASTRONAUT: Image = astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no type hints
FACE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])


def ramp(height: int, width: int) -> Image:
    """Red from top to bottom, green from left to right."""
    rows, columns = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing="ij")
    return np.stack([rows, columns, np.full((height, width), 90)], axis=2).astype(np.uint8)


PICTURES = {
    "face": FACE,
    "small face": np.ascontiguousarray(FACE[::2, ::2]),
    "uneven": np.ascontiguousarray(ASTRONAUT[:200, 100:413]),
    "ramp": ramp(256, 256),
    "noise": np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8),
    "small noise": np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8),
    "soft noise": np.random.default_rng(0).normal(128, 12, (256, 256, 3)).clip(0, 255).astype(np.uint8),
    "one colour": np.full((128, 128, 3), (200, 30, 60), np.uint8),
    "stripes": np.broadcast_to((np.arange(256) // 4 % 2 * 255).astype(np.uint8)[:, None, None], (256, 256, 3)),
}


def drawn(image: Image) -> Raster:
    """Draw the strokes that the encoder finds."""
    return rasterise(strokes_of(image), *image.shape[:2])


def psnr(image: Image, raster: Raster, points: Points) -> float:
    """Decode, in dB; without an error, as with one of a twentieth of a level."""
    decoded = np.rint(diffuse(raster, points.cells, reconstruct(points.levels), *raster.shape))
    return float(10 * np.log10(255**2 / max(((decoded - image) ** 2).mean(), 0.05**2)))


@pytest.mark.parametrize("name", PICTURES)
def test_no_layer_does_harm(name: str) -> None:
    """A layer lowers PSNR by next to nothing at most, unless no more than the coarse levels is wrong anyway."""
    image = PICTURES[name]
    raster = drawn(image)
    points = choose(image, raster, COUNTS[-1])
    quality = [psnr(image, raster, points.first(count)) for count in COUNTS]
    for before, after in pairwise(quality):
        assert after > min(before - 0.02, 36)


def test_a_face_gains_with_each_layer() -> None:
    """On a face, layers bring what they are sent for."""
    raster = drawn(FACE)
    points = choose(FACE, raster, COUNTS[-1])
    quality = [psnr(FACE, raster, points.first(count)) for count in COUNTS]
    assert quality[0] > 16.5
    assert quality[2] > 22.3
    assert (np.diff(quality) > [2, 2, 0.6, 0.4, 0.2]).all()


@pytest.mark.parametrize("name", PICTURES)
def test_points_are_in_cells_of_their_own(name: str) -> None:
    """There are as many points as asked for, no two in one cell, all inside, in levels that can be coded."""
    image = PICTURES[name]
    points = choose(image, drawn(image), COUNTS[2])
    assert len(points) == len(np.unique(points.cells, axis=0)) == COUNTS[2]
    assert (points.cells >= 0).all()
    assert (points.cells < grid_shape(*image.shape[:2])).all()
    lowest, highest = np.transpose(LIMITS)
    assert (points.levels >= lowest).all()
    assert (points.levels <= highest).all()


def test_fewer_points_are_the_first_of_more() -> None:
    """Asking for fewer layers gives the same points in them."""
    image = PICTURES["small face"]
    raster = drawn(image)
    more, fewer = choose(image, raster, COUNTS[3]), choose(image, raster, COUNTS[1])
    assert np.array_equal(more.cells[: COUNTS[1]], fewer.cells)
    assert np.array_equal(more.levels[: COUNTS[1]], fewer.levels)


def test_fitted_colours_beat_the_pictures_own() -> None:
    """Colours fitted by least squares decode better than those that the picture has in the cells."""
    raster = drawn(FACE)
    points = choose(FACE, raster, COUNTS[2])
    own = FACE.reshape(64, 4, 64, 4, 3).mean((1, 3))[points.cells[:, 0], points.cells[:, 1]]
    unfitted = Points(points.cells, quantise(own))
    assert psnr(FACE, raster, points) > psnr(FACE, raster, unfitted) + 0.5
