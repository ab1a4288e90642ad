"""Where the next points help most: orthogonal matching pursuit over the pictures that single points would diffuse into.

After Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit" (Asilomar 1993). The dictionary has a picture for
each place; all its inner products with one picture are the solution of one sparse system. The pictures' norms are estimated
from a few dozen products (as traces are by Meyer, Musco, Musco and Woodruff, "Hutch++", SOSA 2021, but with cosines as the
smooth pictures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import sgemm
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu

from vcmbench.codecs.edge.diffusion import Links

Floats: TypeAlias = npt.NDArray[np.float32]
Middles: TypeAlias = npt.NDArray[np.float64]

_OPEN = 0.3
"""Conductance above which two cells of a block are one place."""
_MODES, _PROBES = 48, 48
"""From how many smooth and how many random pictures norms are estimated; half as many cost 0.1 dB, and are little faster."""
_ALONE, _STEPS = 32, 14
"""Up to so many points are chosen one at a time, more in about so many steps; ten steps cost 0.01 dB."""
_APART = 12.0
"""Distance in cells of points that are chosen at a time."""
_CANDIDATES, _NEARLY = 64, 0.5
"""Such points are among so many of the best, with at least this part of the best one's score."""
_LEAST = 1e-3
"""Part of its first norm below which that of a place counts no further down."""
_GROUND, _FIRST = 1e-3, 4.0
"""What holds every cell while the very first point is looked for, and what that point is held by then."""


@dataclass(frozen=True)
class Places:
    """Cells, or blocks of them, joined in blocks of 2×2 where no stroke parts them."""

    of_cell: npt.NDArray[np.intp]
    """rows×columns: the place that each cell belongs to."""
    sizes: Floats
    """How many cells each of P places has."""
    middles: list[complex]
    """P: row and column (the imaginary part) of each place's middle, in cells."""
    laplacian: csc_array
    """P×P conductances."""
    probes: Floats
    """P×K pictures: the sum of their squared products with a picture is its squared norm, nearly."""

    @classmethod
    def of(cls, links: Links, shape: tuple[int, int]) -> Places:
        """Join what the links are between: a grid's cells (rows×columns), or blocks of 2×2 of them."""
        of_cell, count = _joined(links)
        one = np.concatenate([of_cell[:, :-1].ravel(), of_cell[:-1].ravel()])
        other = np.concatenate([of_cell[:, 1:].ravel(), of_cell[1:].ravel()])
        conductance = np.concatenate([links.across.ravel(), links.down.ravel()])
        apart = one != other
        one, other, conductance = one[apart], other[apart], conductance[apart] / 2
        total = np.bincount(one, conductance, count) + np.bincount(other, conductance, count)
        diagonal = np.arange(count)
        laplacian = coo_array(
            (
                np.concatenate([-conductance, -conductance, total]).astype(np.float32),
                (np.concatenate([one, other, diagonal]), np.concatenate([other, one, diagonal])),
            ),
            shape=(count, count),
        )
        if shape != links.shape:
            of_cell = of_cell.repeat(2, 0).repeat(2, 1)[: shape[0], : shape[1]]
        flat = of_cell.ravel()
        sizes = np.bincount(flat, minlength=count).astype(np.float32)
        rows, columns = (np.bincount(flat, each.ravel(), count) / sizes for each in np.indices(shape))
        return cls(of_cell, sizes, (rows + 1j * columns).tolist(), laplacian.tocsc(), _probes(sizes, rows, columns, shape))

    def summed(self, planes: Floats) -> Floats:
        """Return P×C: the sums of C×rows×columns over the cells of each place."""
        flat = self.of_cell.ravel()
        sums = [np.bincount(flat, plane.ravel(), len(self.sizes)) for plane in planes]
        return np.stack(sums, axis=1).astype(np.float32)

    def apart(self, scores: Floats, most: int) -> list[int]:
        """Return the best place and up to so many in all that are nearly as good and far from each other."""
        if most == 1:
            return [int(scores.argmax())]
        count = min(_CANDIDATES, len(scores))
        candidates = np.argpartition(scores, -count)[-count:]
        order = candidates[np.argsort(-scores[candidates])]
        chosen: list[int] = []
        for place in order[scores[order] >= _NEARLY * scores[order[0]]].tolist():
            if all(abs(self.middles[other] - self.middles[place]) >= _APART for other in chosen):
                chosen.append(place)
            if len(chosen) == most:
                break
        return chosen

    def solver(self, hold: Floats) -> Callable[[Floats], Floats]:
        """Return what finds the potentials (P×K) to sources, where places are held (P)."""
        matrix = csc_array(self.laplacian + diags_array(hold))
        solve: Callable[[Floats], Floats] = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
        return solve


def _joined(links: Links) -> tuple[npt.NDArray[np.intp], int]:
    rows, columns = links.shape
    first = np.arange(rows * columns).reshape(rows, columns)
    across, down = links.across > _OPEN, links.down > _OPEN
    across[:, 1::2] = False
    down[1::2] = False
    for _ in range(2):
        for one, other, joined in ((first[:, :-1], first[:, 1:], across), (first[:-1], first[1:], down)):
            lower = np.minimum(one, other)
            np.copyto(one, lower, where=joined)
            np.copyto(other, lower, where=joined)
    names, of_cell = np.unique(first, return_inverse=True)
    return of_cell.reshape(rows, columns), len(names)


def pursue(
    places: Places, hold: Floats, error: Floats, free: npt.NDArray[np.bool_], count: int
) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the places of `count` points, and what they leave of the error (P×C).

    `hold` (P) says how strongly the earlier points hold each place, `error` (P×C) is the mean of what they leave to be
    mended, and `free` says where a point may be.
    """
    channels = error.shape[1]
    root = np.sqrt(places.sizes)[:, None]
    free = free.copy()
    chosen: list[int] = []
    basis = np.zeros((len(root), count + 1), np.float32, order="F")
    if not hold.any():
        mean = np.average(error, axis=0, weights=places.sizes)
        first = (places.solver(_GROUND * places.sizes)(places.sizes[:, None] * (error - mean)) ** 2).sum(1)
        chosen.append(int(np.argmax(np.where(free, first, -1))))
        free[chosen] = False
        hold = np.zeros_like(hold)
        hold[chosen] = _FIRST
        basis[:, 0] = root[:, 0] / np.linalg.norm(root)
    used = len(chosen)
    together = 1 if count <= _ALONE else count // _STEPS
    solve = places.solver(hold)
    targets = np.concatenate([root * error, places.probes], axis=1)
    targets -= basis[:, :used] @ (basis[:, :used].T @ targets)
    products = np.ascontiguousarray(solve(root * targets).T)
    least = _LEAST * _squares(products[channels:])
    while used < count:
        scores = _squares(products[:channels]) / np.maximum(_squares(products[channels:]), least)
        best = places.apart(np.where(free, scores, -1), min(together, count - used))
        free[best] = False
        chosen += best
        units = np.zeros((len(root), len(best)), np.float32)
        units[best, np.arange(len(best))] = 1
        pictures = root * solve(units)
        for _ in range(2):
            pictures -= basis[:, :used] @ (basis[:, :used].T @ pictures)
        pictures = np.linalg.qr(pictures)[0] if len(best) > 1 else pictures / np.linalg.norm(pictures)
        basis[:, used : used + len(best)] = pictures
        used += len(best)
        sgemm(-1, solve(root * pictures), pictures.T @ targets, 1, products.T, overwrite_c=1)
    left = targets[:, :channels] - basis @ (basis.T @ targets[:, :channels])
    return np.array(chosen, np.intp), np.asarray(left / root, np.float32)


def _squares(products: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->j", products, products))


def _probes(sizes: Floats, rows: Middles, columns: Middles, shape: tuple[int, int]) -> Floats:
    """Return `Places.probes`: the smoothest cosines at the places' middles, then random signs for what these leave."""
    root = np.sqrt(sizes)[:, None]
    waves = np.indices((_MODES, _MODES)).reshape(2, -1).T
    down, across = waves[np.argsort(np.hypot(*(waves / shape).T), kind="stable")[:_MODES]].T
    cosines = [
        np.cos(np.outer((middles + 0.5) * (np.pi / side), frequencies).astype(np.float32))
        for middles, frequencies, side in zip((rows, columns), (down, across), shape, strict=True)
    ]
    modes, _ = np.linalg.qr(root * cosines[0] * cosines[1])
    signs = np.random.default_rng(0).integers(0, 2, (len(root), _PROBES)).astype(np.float32) * 2 - 1
    rest = signs - modes @ (modes.T @ signs)
    return np.concatenate([modes, rest / np.sqrt(np.float32(_PROBES))], axis=1)
