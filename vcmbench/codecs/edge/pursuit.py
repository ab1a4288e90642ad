"""Where the next points help most: orthogonal matching pursuit over the pictures that single points would diffuse into.

After Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit" (Asilomar 1993). The dictionary has a picture for
each place; all its inner products with one picture are the solution of one sparse system, and the pictures' norms are
estimated from a few dozen ones (as traces are by Meyer, Musco, Musco and Woodruff, "Hutch++", SOSA 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import sger
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu

from vcmbench.codecs.edge.diffusion import Links

Floats: TypeAlias = npt.NDArray[np.float32]

_OPEN = 0.3
"""Conductance above which two cells of a block are one place."""
_MODES, _PROBES = 24, 24
"""How many smooth and how many random pictures the norms are estimated from."""
_LEAST = 1e-3
"""Part of its first norm below which that of a place counts no further down."""
_GROUND, _FIRST = 1e-3, 4.0
"""What holds every cell while the very first point is looked for, and what that point is held by then."""


@dataclass(frozen=True)
class Places:
    """Cells joined in blocks of 2×2 where no stroke parts them."""

    of_cell: npt.NDArray[np.intp]
    """rows×columns: the place that each cell belongs to."""
    sizes: Floats
    """How many cells each of P places has."""
    laplacian: csc_array
    """P×P conductances."""

    @classmethod
    def of(cls, links: Links) -> Places:
        """Join the cells."""
        of_cell, sizes = _joined(links)
        one = np.concatenate([of_cell[:, :-1].ravel(), of_cell[:-1].ravel()])
        other = np.concatenate([of_cell[:, 1:].ravel(), of_cell[1:].ravel()])
        conductance = np.concatenate([links.across.ravel(), links.down.ravel()])
        apart = one != other
        one, other, conductance = one[apart], other[apart], conductance[apart] / 2
        count = len(sizes)
        total = np.bincount(one, conductance, count) + np.bincount(other, conductance, count)
        diagonal = np.arange(count)
        laplacian = coo_array(
            (
                np.concatenate([-conductance, -conductance, total]).astype(np.float32),
                (np.concatenate([one, other, diagonal]), np.concatenate([other, one, diagonal])),
            ),
            shape=(count, count),
        )
        return cls(of_cell, sizes, laplacian.tocsc())

    def summed(self, planes: Floats) -> Floats:
        """Return P×C: the sums of C×rows×columns over the cells of each place."""
        flat = self.of_cell.ravel()
        sums = [np.bincount(flat, plane.ravel(), len(self.sizes)) for plane in planes]
        return np.stack(sums, axis=1).astype(np.float32)

    def solver(self, hold: Floats) -> Callable[[Floats], Floats]:
        """Return what finds the potentials (P×K) to sources, where places are held (P)."""
        matrix = csc_array(self.laplacian + diags_array(hold))
        solve: Callable[[Floats], Floats] = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
        return solve


def _joined(links: Links) -> tuple[npt.NDArray[np.intp], Floats]:
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
    _, of_cell, sizes = np.unique(first, return_inverse=True, return_counts=True)
    return of_cell.reshape(rows, columns), sizes.astype(np.float32)


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
    solve = places.solver(hold)
    left = np.concatenate([root * error, _probes(root, solve)], axis=1)
    left -= basis[:, :used] @ (basis[:, :used].T @ left)
    products = np.asfortranarray(solve(root * left))
    norms = (products[:, channels:] ** 2).sum(1)
    least = _LEAST * norms
    while len(chosen) < count:
        scores = (products[:, :channels] ** 2).sum(1) / np.maximum(norms, least)
        best = int(np.argmax(np.where(free, scores, -1)))
        free[best] = False
        chosen.append(best)
        unit = np.zeros(len(root), np.float32)
        unit[best] = 1
        picture = root[:, 0] * solve(unit)
        for _ in range(2):
            picture = picture - basis[:, :used] @ (basis[:, :used].T @ picture)
        basis[:, used] = picture = picture / max(float(np.linalg.norm(picture)), 1e-9)
        used += 1
        part = picture @ left
        product = solve(root[:, 0] * picture)
        probe = part[channels:]
        norms += product * (product * (probe @ probe) - 2 * (products[:, channels:] @ probe))
        left -= np.outer(picture, part)
        products = sger(-1, product, part, a=products, overwrite_a=1)
    return np.array(chosen, np.intp), np.asarray(left[:, :channels] / root, np.float32)


def _probes(root: Floats, solve: Callable[[Floats], Floats]) -> Floats:
    """Return P×K pictures so that the sum of their squared products with a picture is its squared norm, nearly."""
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (len(root), _MODES + _PROBES))
    modes, _ = np.linalg.qr(root * solve(root * signs[:, :_MODES]))
    rest = signs[:, _MODES:] - modes @ (modes.T @ signs[:, _MODES:])
    return np.concatenate([modes, rest / np.sqrt(np.float32(_PROBES))], axis=1)
