"""The edge codec as a whole: one scalable stream, any picture, any size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from skimage.data import astronaut

from vcmbench.codecs.edge import Edge
from vcmbench.codecs.edge.codec import NUMBERS
from vcmbench.codecs.edge.stream import read
from vcmbench.interfaces import BitstreamError, Image, ImageError, ParameterError

FACE: Image = np.ascontiguousarray(astronaut()[:256, 100:356])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
HALVED: Image = np.ascontiguousarray(FACE[::2, ::2])


@pytest.fixture(scope="module")
def streams() -> dict[int, bytes]:
    """One picture's bytes for each number of points."""
    return dict(zip(NUMBERS, Edge.encode_many(FACE, [Edge(points=number) for number in NUMBERS]), strict=True))


def test_fewer_points_are_the_beginning_of_more(streams: dict[int, bytes]) -> None:
    """The bytes of each number of points are the first bytes of the next larger one."""
    for fewer, more in pairwise(NUMBERS):
        assert len(streams[fewer]) < len(streams[more])
        assert streams[more].startswith(streams[fewer])


@pytest.mark.parametrize("number", [0, 15, 122])
def test_coding_alone_gives_the_same_as_coding_many(streams: dict[int, bytes], number: int) -> None:
    """A setting's bytes do not depend on which others are coded beside it."""
    assert Edge(points=number).encode(FACE) == streams[number]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_number_of_points_follows_from_the_length(streams: dict[int, bytes], number: int) -> None:
    """A stream cut at the end of a layer is decoded with the points up to there, by any setting."""
    held = read(streams[1000][: len(streams[number])])
    assert len(held.points) == number
    assert np.array_equal(Edge(points=15).decode(streams[number]), Edge(points=number).decode(streams[number]))


def test_a_stream_cut_elsewhere_is_refused(streams: dict[int, bytes]) -> None:
    """Every prefix that does not end at a layer raises an error."""
    ends = {len(stream) for stream in streams.values()}
    whole = streams[122]
    for length in set(range(0, len(whole), 7)) - ends:
        with pytest.raises(BitstreamError):
            Edge().decode(whole[:length])


def test_the_header_is_small(streams: dict[int, bytes]) -> None:
    """Magic, version and size take no more than six bytes."""
    assert read(streams[0]).layer_bytes["header"] <= 6


@pytest.mark.parametrize("number", NUMBERS[1:])
def test_more_points_give_a_better_picture(streams: dict[int, bytes], number: int) -> None:
    """Each layer brings the decoded picture nearer to the original."""
    fewer = NUMBERS[NUMBERS.index(number) - 1]
    errors = [np.mean((Edge(decoder="diffusion").decode(streams[n]).astype(float) - FACE) ** 2) for n in (fewer, number)]
    assert errors[1] < errors[0]


def test_a_larger_budget_gives_more_edges() -> None:
    """The base layer grows with its budget, and a budget of 0 leaves next to nothing of it."""
    sizes = [len(Edge(points=0, edge_budget=budget).encode(FACE)) for budget in (0, 20, 60, 200)]
    assert all(np.diff(sizes) > 0)
    assert sizes[0] <= 16


@pytest.mark.parametrize("size", [(32, 32), (32, 1024), (1024, 32), (33, 47), (200, 313), (1024, 1024)])
def test_sizes_from_32_to_1024_come_back(size: tuple[int, int]) -> None:
    """Pictures of any allowed size are decoded in their size."""
    image = np.ascontiguousarray(np.resize(np.tile(FACE, (4, 4, 1)), (1024, 1024, 3))[: size[0], : size[1]])
    decoded = Edge(points=40).decode(Edge(points=40).encode(image))
    assert decoded.shape == image.shape


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (1025, 64)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    """A side outside of the allowed range raises an error that names both."""
    with pytest.raises(ImageError, match=f"32 to 1024 pixels; the image is {size[1]}×{size[0]}"):
        Edge().encode(np.zeros((*size, 3), np.uint8))


PICTURES = {
    "black": np.zeros((64, 64, 3), np.uint8),
    "white": np.full((64, 64, 3), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8),
    "ramp": np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None], (128, 128, 3)),
    "stripes": np.broadcast_to((np.arange(128) // 2 % 2 * 255).astype(np.uint8)[:, None], (128, 128, 3)),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("number", [0, 15, 1000])
def test_pictures_without_a_face_are_coded(name: str, number: int) -> None:
    """Pictures without edges, of noise or of one colour are coded and decoded, and diffusion keeps a plain one's colour."""
    image = PICTURES[name]
    bitstream = Edge(points=number).encode(image)
    for decoder in ("diffusion", "neural"):
        decoded = Edge(decoder=decoder).decode(bitstream)
        assert decoded.shape == image.shape
        if number and name in {"black", "white"} and decoder == "diffusion":
            assert np.abs(decoded.astype(int) - image).max() <= 8


def test_a_number_of_points_between_layers_is_refused() -> None:
    """Only the numbers at which a layer ends can be asked for."""
    with pytest.raises(ParameterError, match="points must be one of 0, 15, 40, 122, 260, 520, 1000, not 100"):
        Edge(points=100)
