"""Edges of faces are found where faces are looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

from vcmbench.codecs.edge.detection import detect, scale_of
from vcmbench.codecs.edge.face_layout import FaceLayout, find_layout
from vcmbench.codecs.edge.salience import BACKGROUND, salience
from vcmbench.interfaces import Image

FACE: Image = np.ascontiguousarray(astronaut()[52:208, 142:298])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
EYES, MOUTH = ((47, 60), (50, 105)), (93, 81)
"""Rows and columns, by eye."""


def near(raster: npt.NDArray[np.bool_], place: tuple[int, int], radius: int) -> int:
    """Edge pixels in the square around a place."""
    row, column = place
    return int(raster[row - radius : row + radius + 1, column - radius : column + radius + 1].sum())


def test_a_step_is_one_line_where_it_is() -> None:
    """A step between two greys is found within a pixel, once in every row but at the ends."""
    image = np.full((100, 120, 3), 60, np.uint8)
    image[:, 61:] = 140
    edges, worth = detect(image)
    rows, columns = np.nonzero(edges)
    assert set(columns) <= {60, 61}
    assert sorted(set(rows))[2:-2] == list(range(min(rows) + 2, max(rows) - 1))
    assert len(set(rows)) > 95
    assert worth[50, 60] > 10 * worth[50, 20]


def test_a_change_of_hue_alone_is_an_edge() -> None:
    """Red on grey of the same lightness, as lips are on skin, is found."""
    image = np.full((96, 96, 3), (128, 128, 128), np.uint8)
    image[30:60, 30:60] = (172, 108, 112)
    assert detect(image)[0][25:65, 25:65].sum() > 80


def test_edges_are_one_pixel_wide() -> None:
    """No 2×2 block of a face's edges is full."""
    edges, _ = detect(FACE)
    assert not (edges[:-1, :-1] & edges[1:, :-1] & edges[:-1, 1:] & edges[1:, 1:]).any()


def test_equal_pixels_have_equal_edges_wherever_memory_lies() -> None:
    """To the last bit, for that decides about strokes; some of OpenCV's functions depend on where their arrays begin."""
    random = np.random.default_rng(0)
    between: list[npt.NDArray[np.uint8]] = []
    found: set[bytes] = set()
    for _ in range(40):
        between = [*between[-9:], np.empty(random.integers(1, 100_000), np.uint8)]
        found.add(b"".join(plane.tobytes() for plane in detect(FACE)))
    assert len(found) == 1


@pytest.mark.parametrize("contrast", [1.0, 0.35])
@pytest.mark.parametrize("brightness", [0, -60])
def test_eyes_and_mouth_are_found_in_faint_faces(contrast: float, brightness: int) -> None:
    """Also in a third of the contrast, and darker, there are edges at both eyes and at the mouth."""
    faint = np.clip((FACE.astype(float) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    edges, _ = detect(faint)
    assert all(near(edges, place, 12) > 20 for place in (*EYES, MOUTH))


def test_an_even_image_has_no_edge() -> None:
    """One colour, of any lightness, has none."""
    for level in (0, 128, 255):
        assert not detect(np.full((64, 64, 3), level, np.uint8))[0].any()


def test_lengths_grow_with_the_root_of_the_side() -> None:
    """Blur and shortest strokes are for 256×256; a picture of four times the side has twice the blur."""
    assert [scale_of(side, side) for side in (64, 256, 1024)] == [0.5, 1, 2]


# -------------------------------------------------------------------------------------------------- where faces are


def test_marks_are_near_eyes_and_mouth() -> None:
    """The marks of a public portrait are within a twelfth of the image of where one sees them."""
    marks = find_layout(FACE).marks
    seen = np.array([(column, row) for row, column in EYES])
    assert np.linalg.norm(marks[:2] - seen, axis=1).max() < 156 / 12
    assert np.linalg.norm(marks[3:].mean(axis=0) - MOUTH[::-1]) < 156 / 12


def test_marks_follow_the_image() -> None:
    """A larger picture, and one with margins at the sides, have their marks in the same places of the face."""
    marks = find_layout(FACE).marks
    twice = FACE.repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(find_layout(twice).marks - 2 * marks).max() < 4
    margins = np.pad(FACE, ((0, 0), (40, 40), (0, 0)), mode="edge")
    assert np.abs(find_layout(margins).marks - marks - (40, 0)).max() < 1


def test_marks_of_anything_are_places() -> None:
    """Noise, one colour and a strip have finite marks."""
    random = np.random.default_rng(0)
    for image in (random.integers(0, 256, (64, 80, 3), np.uint8), np.zeros((32, 1024, 3), np.uint8)):
        assert np.isfinite(find_layout(image).marks).all()


def test_a_face_of_which_half_is_hidden_is_trusted_less() -> None:
    """The public portrait's marks are trusted wholly; those of noise, or with half of it painted over, less."""
    assert find_layout(FACE).trust == 1
    hidden = FACE.copy()
    hidden[:, :90] = 128
    noise = np.random.default_rng(0).integers(0, 256, FACE.shape, np.uint8)
    assert find_layout(hidden).trust < 1
    assert find_layout(noise).trust < 1


def test_without_trust_the_middle_matters() -> None:
    """Where marks are not trusted, the salience is that of the image's middle, wherever they are; by half, half of it."""
    marks = np.array(((20.0, 30.0), (60.0, 30.0), (40.0, 55.0), (25.0, 75.0), (55.0, 75.0)))
    trusted, doubted, half = (salience(FaceLayout(marks, trust), 128, 96) for trust in (1.0, 0.0, 0.5))
    assert doubted[64, 48] == pytest.approx(doubted.max(), rel=1e-3)
    assert doubted.min() >= BACKGROUND
    np.testing.assert_allclose(half, (trusted + doubted) / 2, rtol=1e-5)


def test_salience_is_highest_at_the_features() -> None:
    """Eyes and mouth matter most, then the face, then what is around it."""
    marks = np.array(((100.0, 120.0), (160.0, 120.0), (130.0, 155.0), (105.0, 190.0), (155.0, 190.0)))
    weights = salience(FaceLayout(marks), 256, 300)
    assert weights.shape == (256, 300)
    assert min(weights[120, 100], weights[120, 160], weights[190, 130]) > 2 * weights[80, 130] > 2 * BACKGROUND
    assert weights[5, 5] == pytest.approx(BACKGROUND)


def test_salience_of_marks_that_coincide_is_finite() -> None:
    """Marks in one place, or on a line, give no infinities."""
    for marks in (np.full((5, 2), 20.0), np.column_stack((np.arange(5.0), np.full(5, 9.0)))):
        assert np.isfinite(salience(FaceLayout(marks), 40, 50)).all()
