"""Which points the encoder sends: greedily those that mend most, their colours fitted by least squares."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vcmbench.codecs.edge.colour import quantise, reconstruct
from vcmbench.codecs.edge.diffusion import HOLD, Cells, Equations, Links, Plane, held, link_pyramid, reached
from vcmbench.codecs.edge.geometry import COUNTS, Points, Raster, cell_size
from vcmbench.codecs.edge.pursuit import Places, pursue
from vcmbench.interfaces import Image

_PURSUED = 122
"""Up to so many points each is chosen by matching pursuit; of more, the largest errors do as well and cost less."""
_ROUNDS = 3
"""In how many rounds a layer of the largest errors is chosen."""
_AROUND = 1.0
"""Standard deviation in cells of the window over which an error counts."""
_CAREFUL = (0.75, 0.5, 0.25, 0.0)
"""Where a layer would do harm, it moves only so much of the way from what is decoded without it to its best colours."""
_ITERATIONS = 2
"""Steps of conjugate gradients towards the best colours."""


def choose(image: Image, raster: Raster, count: int) -> Points:
    """Choose the `count` points, one of `COUNTS`, of an image (H×W×3) whose strokes (H×W) are drawn already.

    The points of a smaller count are the first of a larger one's: each layer is fitted with the earlier ones as decoded.
    """
    height, width = raster.shape
    size = cell_size(height, width)
    pyramid = link_pyramid(raster)[size.bit_length() - 1 :]
    means = _cell_means(image, size)
    # few points need no fine places, and among few places they are chosen better
    fine, coarse = (Places.of(links, pyramid[0].shape) for links in pyramid[:2])
    points = Points(np.zeros((0, 2), np.int32), np.zeros((0, 3), np.int32))
    decoded = np.broadcast_to(means.mean((1, 2), keepdims=True), means.shape)
    for end in COUNTS[: COUNTS.index(count) + 1]:
        points, decoded = _with_layer(means, pyramid, fine if len(points) else coarse, points, decoded, end)
    return points


def _cell_means(image: Image, size: int) -> Plane:
    height, width, _ = image.shape
    padded = np.pad(image, ((0, -height % size), (0, -width % size), (0, 0)), mode="edge").astype(np.float32)
    means = cv2.resize(padded, (padded.shape[1] // size, padded.shape[0] // size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(means.transpose(2, 0, 1))


def _with_layer(
    means: Plane, pyramid: Sequence[Links], places: Places, earlier: Points, decoded: Plane, end: int
) -> tuple[Points, Plane]:
    """Return the points up to `end` and what they are decoded to, given the earlier ones and what these are decoded to."""
    colours = reconstruct(earlier.levels).astype(np.float32)
    add = _pursued if end <= _PURSUED else _largest
    new, guess = add(means, pyramid, places, earlier.cells, colours, decoded, end - len(earlier))
    cells = np.concatenate([earlier.cells, new])
    equations = _equations(pyramid, cells)
    fitted = _fitted(means, pyramid[0], equations, cells, colours, guess)
    points, after = _coloured(pyramid[0], equations, cells, earlier, fitted)
    if len(earlier) and _error(means, after) > _error(means, decoded):
        before = decoded[:, new[:, 0], new[:, 1]].T
        shares = (before + share * (fitted - before) for share in _CAREFUL)
        careful = [_coloured(pyramid[0], equations, cells, earlier, each) for each in shares]
        points, after = min([(points, after), *careful], key=lambda each: _error(means, each[1]))
    return points, after


def _coloured(links: Links, equations: Equations, cells: Cells, earlier: Points, colours: Plane) -> tuple[Points, Plane]:
    """Return all points, those behind the earlier ones in these colours, and what they are decoded to."""
    points = Points(cells, np.concatenate([earlier.levels, quantise(colours)]))
    return points, equations.solved(held(links, cells, reconstruct(points.levels).astype(np.float32)))


def _error(means: Plane, decoded: Plane) -> float:
    return float(((np.clip(decoded, 0, 255) - means) ** 2).mean())


def _pursued(
    means: Plane, pyramid: Sequence[Links], places: Places, earlier: Cells, _: Plane, decoded: Plane, count: int
) -> tuple[Cells, Plane]:
    """Return the cells of `count` more points and a first guess of their colours, by matching pursuit."""
    hold = held(pyramid[0], earlier, np.ones((len(earlier), 1), np.float32))[0]
    taken = _mask(earlier, hold.shape)
    free = places.summed((~taken)[None].astype(np.float32))[:, 0] > 0
    sizes = places.sizes[:, None]
    chosen, left = pursue(places, places.summed(hold[None])[:, 0], places.summed(means - decoded) / sizes, free, count)
    wanted = places.summed(means) / sizes - left
    return _likest(means, wanted, places, taken, chosen), wanted[chosen]


def _likest(
    means: Plane, wanted: Plane, places: Places, taken: npt.NDArray[np.bool_], chosen: npt.NDArray[np.intp]
) -> Cells:
    """Return of each chosen place the cell that looks most like what the place shall become."""
    distance = ((means - wanted[places.of_cell].transpose(2, 0, 1)) ** 2).sum(0)
    distance[taken] = np.inf
    owner = places.of_cell.ravel()
    order = np.lexsort((distance.ravel(), owner))
    return _cells(order[np.searchsorted(owner[order], chosen)], taken.shape)


def _largest(
    means: Plane, pyramid: Sequence[Links], _: Places, earlier: Cells, colours: Plane, decoded: Plane, count: int
) -> tuple[Cells, Plane]:
    """Return the same by where the error is largest, each round after the points of the one before."""
    cells = earlier
    for rounds_left in range(_ROUNDS, 0, -1):
        wanted = (len(earlier) + count - len(cells)) // rounds_left
        cells = np.concatenate([cells, _worst(means - decoded, _mask(cells, means.shape[1:]), wanted)])
        new = cells[len(earlier) :]
        guess = means[:, new[:, 0], new[:, 1]].T
        if rounds_left > 1:
            decoded = _equations(pyramid, cells).solved(held(pyramid[0], cells, np.concatenate([colours, guess])), 1)
    return new, guess


def _worst(error: Plane, taken: npt.NDArray[np.bool_], count: int) -> Cells:
    score = cv2.GaussianBlur(np.abs(error).sum(0), (0, 0), _AROUND)
    score[taken] = -1
    peaks = (cv2.dilate(score, np.ones((3, 3), np.uint8)) == score) & ~taken
    order = np.argsort(-score.ravel())
    is_peak = peaks.ravel()[order]
    return _cells(np.concatenate([order[is_peak], order[~is_peak]])[:count], taken.shape)


def _equations(pyramid: Sequence[Links], cells: Cells) -> Equations:
    return Equations.of(pyramid, held(pyramid[0], cells, np.ones((len(cells), 1), np.float32))[0])


def _mask(cells: Cells, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[cells[:, 0], cells[:, 1]] = True
    return mask


def _cells(numbers: npt.NDArray[np.intp], shape: tuple[int, ...]) -> Cells:
    return np.stack(np.unravel_index(numbers, shape), axis=1).astype(np.int32)


def _fitted(means: Plane, links: Links, equations: Equations, cells: Cells, fixed: Plane, guess: Plane) -> Plane:
    """Return the colours of the points behind the fixed ones that make the squared error over the cells least, nearly."""
    new = cells[len(fixed) :]

    def pulls(error: Plane) -> Plane:
        return HOLD * reached(links, equations.solved(error, 1))[:, new[:, 0], new[:, 1]]

    error = means - equations.solved(held(links, cells, np.concatenate([fixed, guess])))
    scale = pulls(np.ones((1, *links.shape), np.float32))
    change = step = np.zeros((3, len(guess)), np.float32)
    previous = np.full((3, 1), np.inf, np.float32)
    for _ in range(_ITERATIONS):
        gradient = pulls(error)
        norm = (gradient * gradient / scale).sum(1, keepdims=True)
        step = gradient / scale + norm / (previous + 1e-9) * step
        effect = equations.solved(held(links, new, step.T), 1)
        rate = norm / ((effect**2).sum((1, 2))[:, None] + 1e-9)
        change = change + rate * step
        error -= rate[:, :, None] * effect
        previous = norm
    return guess + change.T
