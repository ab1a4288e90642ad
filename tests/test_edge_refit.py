"""Refitted polylines cost less and stay near their chains."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from vcmbench.codecs.edge import polyline
from vcmbench.codecs.edge.estimate import START_BITS, stroke_bits
from vcmbench.codecs.edge.geometry import Stroke
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.refit import Piece, refit

SIDE = 128


def wave(seed: int) -> Stroke:
    """Pixels along a smooth random line."""
    random = np.random.default_rng(seed)
    columns = np.arange(4, 124)
    rows = 64 + sum(random.normal(0, 8) * np.sin(columns / random.uniform(6, 30) + random.uniform(0, 6)) for _ in range(3))
    points = np.stack((np.clip(np.rint(rows), 0, SIDE - 1), columns), axis=1)
    parts = [np.linspace(one, other, 1 + int(np.abs(other - one).max()))[:-1] for one, other in pairwise(points)]
    pixels: Stroke = np.rint(np.concatenate(parts)).astype(np.int32)
    return pixels


def pieces_of(chains: list[Stroke]) -> list[Piece]:
    """Fitted polylines, all pixels being worth the same."""
    paths = polyline.fit(chains)
    return [
        Piece(chain, np.ones(len(chain), np.float32), path, chain[path]) for chain, path in zip(chains, paths, strict=True)
    ]


def bits(pieces: list[Piece]) -> float:
    strokes = [piece.vertices for piece in pieces]
    return START_BITS * len(strokes) + sum(map(sum, stroke_bits(strokes)))


def distances(piece: Piece) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """How far each pixel of a chain is from the polyline as it is drawn."""
    blank = (~rasterise([piece.vertices], SIDE, SIDE)).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(blank, cv2.DIST_L2, 5)[tuple(piece.chain.T)], np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_fewer_bits_at_nearly_the_same_place(seed: int) -> None:
    """Bits fall by a twentieth or more, and pixels stay within a pixel and a half, on average within a half."""
    before = pieces_of([wave(4 * seed + number) for number in range(4)])
    after = refit(before, SIDE, SIDE)
    assert bits(after) < 0.95 * bits(before)
    for piece in after:
        assert distances(piece).max() <= 3
        assert distances(piece).mean() < 0.6


def test_what_is_worth_more_is_followed_more_closely() -> None:
    """Where pixels are worth more than elsewhere the polyline is nearer to them than where they are worth less."""
    near: list[float] = []
    far: list[float] = []
    for seed in range(8):
        chain = wave(seed)
        worth = np.where(np.arange(len(chain)) < len(chain) // 2, 10, 1).astype(np.float32)
        (path,) = polyline.fit([chain])
        for weights, found in ((worth, near), (worth[::-1].copy(), far)):
            (piece,) = refit([Piece(chain, weights, path, chain[path])], SIDE, SIDE)
            found.append(float(distances(piece)[: len(chain) // 2].mean()))
    assert np.mean(near) < np.mean(far)


def test_polylines_keep_their_contract() -> None:
    """Vertices stay inside the image, none equals the one before, and places rise from the chain's first to its last."""
    border = np.array([(0, column) for column in range(SIDE)], np.int32)
    corner = np.array([*((row, 0) for row in range(20, 0, -1)), *((0, column) for column in range(20))], np.int32)
    chains = [border, corner, border[:2], *map(wave, range(3))]
    for chain, piece in zip(chains, refit(pieces_of(chains), SIDE, SIDE), strict=True):
        assert piece.vertices.dtype == np.int32
        assert ((piece.vertices >= 0) & (piece.vertices < SIDE)).all()
        assert np.diff(piece.vertices, axis=0).any(axis=1).all()
        assert len(piece.vertices) == len(piece.places) >= 2
        assert piece.places.tolist() == sorted(set(piece.places.tolist()))
        assert (piece.places[0], piece.places[-1]) == (0, len(chain) - 1)


def test_a_hairpin_keeps_its_far_end() -> None:
    """A sharp vertex is not left out, though the line without it passes near all pixels."""
    there, back = ([(row, column) for column in range(30)] for row in (10, 11))
    (piece,) = refit(pieces_of([np.array([*there, *back[::-1]], np.int32)]), SIDE, SIDE)
    assert piece.vertices[:, 1].max() >= 28


def test_a_part_is_what_is_between_two_vertices() -> None:
    """The part's chain ends at the pixels of its vertices."""
    (piece,) = pieces_of([wave(0)])
    part = piece.part(1, 3)
    assert part.vertices.tolist() == piece.vertices[1:4].tolist()
    assert part.chain[part.places].tolist() == piece.chain[piece.places[1:4]].tolist()
    assert len(part.chain) == len(part.worth) == part.places[-1] + 1


def test_nothing_to_refit() -> None:
    """Without polylines there are none."""
    assert refit([], SIDE, SIDE) == []
