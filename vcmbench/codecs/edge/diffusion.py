"""The classical decoder: colours spread from the points until they meet a stroke.

Edge-aware diffusion after Mainberger et al., "Edge-based compression of cartoon-like images with homogeneous diffusion"
(Pattern Recognition 44(9), 2011), solved from coarse grids to fine ones (Bornemann and Deuflhard, "The cascadic multigrid
method for elliptic problems", Numerische Mathematik 75, 1996).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.geometry import Raster, cell_size
from vcmbench.codecs.edge.mean_portrait import mean_portrait

LEAK = 0.005
"""Conductance between two pixels of which one is on a stroke; elsewhere it is 1."""
HOLD = 0.5
"""Conductance between a point's colour and its cell."""
REACH, REACH_STEPS = 0.5, 3
"""How strongly, in each of so many steps, a point also holds the neighbours of the cells that it holds already."""
MEAN_HOLD = 0.1
"""How strongly the mean portrait holds each cell where there is no point; more of it, and strokes part its tones less."""
SHADE, SHADE_BLUR = 40.0, 1.5
"""How much darker strokes then are, and the standard deviation in pixels of their shade; more of it costs SSIM."""

Plane: TypeAlias = npt.NDArray[np.float32]
Cells: TypeAlias = npt.NDArray[np.int32]

_SWEEPS = 6
"""How often each cell of each grid takes part of its neighbours' mean."""
_SLOWEST = 0.1
"""Least eigenvalue of the errors that the sweeps on a grid have to shrink; the coarser grids shrink the others."""
_PASSES = 2
"""How often the grids are gone through, each time for what the time before left."""
_PIXEL_SWEEPS = 2
"""Sweeps on each grid inside the cells, where there are no points."""
_SMALL = 8
"""Sides up to which the equations of a grid are solved directly."""


@dataclass(frozen=True)
class Links:
    """Conductances of a grid between horizontal neighbours (H×(W−1)) and vertical ones ((H−1)×W)."""

    across: Plane
    down: Plane

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return len(self.across), self.down.shape[1]

    @cached_property
    def around(self) -> Plane:
        """Return 4×H×(W+2): each sample's links to the left, to the right, above and below, in rows with a frame."""
        height, width = self.shape
        around = np.zeros((4, height, width + 2), np.float32)
        around[0, :, 2:-1] = around[1, :, 1:-2] = self.across
        around[2, 1:, 1:-1] = around[3, :-1, 1:-1] = self.down
        return around


def diffuse(raster: Raster, cells: Cells, colours: npt.NDArray[Any], height: int, width: int) -> Plane:
    """Return the image (H×W×3 R, G, B from 0 to 255) of strokes (H×W) and N points.

    `cells` are the N×2 rows and columns of the points' cells and `colours` their N×3 R, G, B, which may lie outside 0 to
    255. Without points the image is a sketch: the mean portrait's tones, parted and shaded by the strokes.
    """
    pyramid = link_pyramid(raster)
    finest = cell_size(height, width).bit_length() - 1
    framed = _framed(spread(pyramid[finest:], cells, colours) if len(cells) else _tones(pyramid[finest:]))
    for links in reversed(pyramid[:finest]):
        framed = _refined(framed, links)
    image = framed[:, 1:-1, 1:-1].transpose(1, 2, 0)
    if not len(cells):
        image = image - SHADE * cv2.GaussianBlur(raster.astype(np.float32), (0, 0), SHADE_BLUR)[:, :, None]
    return np.clip(image, 0, 255)


def _tones(pyramid: Sequence[Links]) -> Plane:
    """Return the mean portrait's colours (3×rows×columns), spread until they meet a stroke."""
    shape = pyramid[0].shape
    given = mean_portrait(*shape).transpose(2, 0, 1)
    return Equations.of(pyramid, np.full(shape, MEAN_HOLD, np.float32)).solved(MEAN_HOLD * given)


# ----------------------------------------------------------------------------------------------------------- grids


def link_pyramid(raster: Raster) -> list[Links]:
    """Return the links between pixels, then between blocks of 2×2, 4×4 and so on."""
    across = np.where(raster[:, 1:] | raster[:, :-1], np.float32(LEAK), np.float32(1))
    down = np.where(raster[1:] | raster[:-1], np.float32(LEAK), np.float32(1))
    pyramid = [Links(across, down)]
    while max(pyramid[-1].shape) > _SMALL:
        pyramid.append(_coarser(pyramid[-1]))
    return pyramid


def _coarser(links: Links) -> Links:
    return Links(_coarser_across(links.across), _coarser_across(links.down.T).T)


def _coarser_across(conductances: Plane) -> Plane:
    """Join half a block, the border between two and half the next one in series, and the two rows beside each other."""
    height, width = conductances.shape[0], conductances.shape[1] + 1
    resistances = 1 / np.pad(conductances, ((0, height % 2), (0, width % 2)), constant_values=1)
    inside = resistances[:, ::2]
    rows = 2 / (inside[:, :-1] / 2 + resistances[:, 1::2] + inside[:, 1:] / 2)
    return np.asarray((rows[::2] + rows[1::2]) / 2)


def _framed(planes: Plane) -> Plane:
    """Return C×H×W with a frame of zeros: then all neighbours lie at fixed distances in memory."""
    channels, height, width = planes.shape
    framed = np.zeros((channels, height + 2, width + 2), np.float32)
    framed[:, 1:-1, 1:-1] = planes
    return framed


def _summed(planes: Plane) -> Plane:
    """Return the sums over blocks of 2×2."""
    _, height, width = planes.shape
    rows = planes[:, ::2].copy()
    rows[:, : height // 2] += planes[:, 1::2]
    sums = rows[:, :, ::2].copy()
    sums[:, :, : width // 2] += rows[:, :, 1::2]
    return sums


def _enlarged(framed: Plane, shape: tuple[int, int]) -> Plane:
    """Return C×(H+2)×(W+2): each sample of the coarser framed planes in a block of 2×2."""
    height, width = shape
    finer = np.zeros((len(framed), height + 2, width + 2), np.float32)
    coarser = framed[:, 1:-1, 1:-1]
    finer[:, 1:-1:2, 1:-1:2] = coarser
    finer[:, 1:-1:2, 2:-1:2] = coarser[:, :, : width // 2]
    finer[:, 2:-1:2] = finer[:, 1:-2:2]
    return finer


# ------------------------------------------------------------------------------------------------------- equations


def spread(pyramid: Sequence[Links], cells: Cells, colours: npt.NDArray[Any]) -> Plane:
    """Return the colours (3×rows×columns) of all cells; the pyramid begins with the links between cells."""
    given = np.ones((len(cells), 1), np.float32)
    planes = held(pyramid[0], cells, np.concatenate([given, colours], axis=1))
    return Equations.of(pyramid, planes[0]).solved(planes[1:])


def held(links: Links, cells: Cells, values: npt.NDArray[Any]) -> Plane:
    """Return C×rows×columns: what N points with N×C values bring to each cell, each in its cell and, less so, around."""
    planes = np.zeros((values.shape[1], *links.shape), np.float32)
    planes[:, cells[:, 0], cells[:, 1]] = HOLD * values.T
    return reached(links, planes)


def reached(links: Links, planes: Plane) -> Plane:
    """Return C×rows×columns: each cell with what reaches it from the cells around; as much as reaches them from it."""
    framed = _framed(planes)
    samples, neighbours = _views(framed)
    conductances = _of_channels(np.float32(REACH) * links.around, len(planes))
    for _ in range(REACH_STEPS):
        wider = samples.copy()
        _add_products(wider, conductances, neighbours)
        samples[...] = wider
    return framed[:, 1:-1, 1:-1]


def _of_channels(around: Plane, channels: int) -> Plane:
    """Return 4×C×(H·(W+2)) of 4×H×(W+2): the same for each channel, since OpenCV adds products of equal shapes only."""
    return around.reshape(4, 1, -1).repeat(channels, axis=1)


def _add_products(total: Plane, weights: Plane, neighbours: Sequence[Plane]) -> None:
    """Add the weighted neighbours on all four sides: in half the time that NumPy takes, which keeps each product."""
    for weight, neighbour in zip(weights, neighbours, strict=True):
        cv2.accumulateProduct(weight, neighbour, total)


@dataclass(frozen=True)
class _Grid:
    """The equations of one grid: each sample's total conductance (H×W), and its neighbours' shares of it."""

    total: Plane
    shares: Plane
    """4×C×(H·(W+2)): those of the samples to the left, to the right, above and below, in rows with a frame, per channel."""

    @classmethod
    def of(cls, links: Links, hold: Plane | float, channels: int) -> _Grid:
        total = links.around[:, :, 1:-1].sum(0) + hold
        shares = links.around.copy()
        shares[:, :, 1:-1] /= total
        return cls(total, _of_channels(shares, channels))

    def relax(self, framed: Plane, source: Plane, steps: Sequence[float]) -> None:
        """Move each sample towards the mean of its neighbours and source, weighted by conductance, in these steps."""
        channels, height, width = source.shape
        constant = np.zeros((channels, height, width + 2), np.float32)
        np.divide(source, self.total, out=constant[:, :, 1:-1])
        constant = constant.reshape(channels, -1)
        samples, neighbours = _views(framed)
        mean, shares = np.empty_like(constant), self.shares[:, :channels]
        for step in steps:
            np.copyto(mean, constant)
            _add_products(mean, shares, neighbours)
            cv2.accumulateWeighted(mean, samples, step)

    def unbalanced(self, planes: Plane, source: Plane) -> Plane:
        """Return how much more the source brings to each sample (C×H×W) than leaves it."""
        framed = _framed(planes)
        self.relax(framed, source, [1])
        return np.asarray((framed[:, 1:-1, 1:-1] - planes) * self.total)


def _views(framed: Plane) -> tuple[Plane, list[Plane]]:
    """Return C×(H·(W+2)): the samples, and those to the left, to the right, above and below."""
    channels, height, width = framed.shape
    flat = framed.reshape(channels, -1)
    size = (height - 2) * width
    return flat[:, width : width + size], [flat[:, width + step : width + step + size] for step in (-1, 1, -width, width)]


@dataclass(frozen=True)
class Equations:
    """At which potentials as much leaves each cell, by links and hold, as its source brings: on all grids."""

    grids: Sequence[_Grid]
    """The finest first."""
    inverse: npt.NDArray[np.float32]
    """Of the coarsest grid's matrix."""

    @classmethod
    def of(cls, pyramid: Sequence[Links], hold: Plane) -> Equations:
        """Prepare for many sources; `hold` says how strongly each cell (rows×columns) is held."""
        holds = [hold[None]]
        for _ in pyramid[1:]:
            holds.append(_summed(holds[-1]))
        grids = [_Grid.of(links, each[0], 3) for links, each in zip(pyramid[:-1], holds[:-1], strict=True)]
        return cls(grids, np.linalg.inv(_matrix(pyramid[-1], holds[-1][0])).astype(np.float32))

    def solved(self, source: Plane, passes: int = _PASSES) -> Plane:
        """Return the potentials, nearly, of some sources (C×rows×columns)."""
        planes = self._guess(source)
        for _ in range(1, passes):
            planes = planes + self._guess(self.grids[0].unbalanced(planes, source))
        return planes

    def _guess(self, source: Plane) -> Plane:
        sources = [source]
        for _ in self.grids:
            sources.append(_summed(sources[-1]))
        coarsest = sources.pop()
        framed = _framed((coarsest.reshape(len(coarsest), -1) @ self.inverse).reshape(coarsest.shape))
        for grid, each in zip(reversed(self.grids), reversed(sources), strict=True):
            framed = _enlarged(framed, each.shape[1:])
            grid.relax(framed, each, _STEPS)
        return framed[:, 1:-1, 1:-1]


def _matrix(links: Links, hold: Plane) -> npt.NDArray[np.float64]:
    number = np.arange(hold.size).reshape(hold.shape)
    matrix = np.diag(hold.ravel().astype(np.float64))
    for one, other, conductances in (
        (number[:, :-1], number[:, 1:], links.across),
        (number[:-1], number[1:], links.down),
    ):
        matrix[one, other] -= conductances
        matrix[other, one] -= conductances
        np.add.at(matrix, (one, one), conductances)
        np.add.at(matrix, (other, other), conductances)
    return matrix


def _chebyshev(count: int, lowest: float, highest: float) -> list[float]:
    """Return the steps that together shrink every error whose eigenvalue lies in the range."""
    middle, half = (highest + lowest) / 2, (highest - lowest) / 2
    return [1 / (middle + half * math.cos(math.pi * (2 * k + 1) / (2 * count))) for k in range(count)]


_STEPS = _chebyshev(_SWEEPS, _SLOWEST, 2)


def _refined(framed: Plane, links: Links) -> Plane:
    """Return twice as many rows and columns, where strokes part the samples anew; C×(H+2)×(W+2)."""
    grid = _Grid.of(links, 0, 1)
    finer = _enlarged(framed, links.shape)
    for channel in finer:
        samples, neighbours = _views(channel[None])
        for _ in range(_PIXEL_SWEEPS):
            mean = np.zeros_like(samples)
            _add_products(mean, grid.shares, neighbours)
            samples[...] = mean
    return finer
