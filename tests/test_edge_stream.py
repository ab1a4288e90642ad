"""The edge codec's stream: layers come back, any prefix that ends at one is a stream, and all else is refused."""

from __future__ import annotations

import binascii
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcmbench.codecs.edge.colour import LIMITS
from vcmbench.codecs.edge.geometry import COUNTS, LARGEST, SMALLEST, Points, Stroke, grid_shape
from vcmbench.codecs.edge.stream import CHECK_BYTES, HEADER_BYTES, Stream, read, write
from vcmbench.interfaces import BitstreamError

HEIGHT, WIDTH = 64, 80


def scribble(height: int, width: int, count: int) -> list[Stroke]:
    """Walk at random, the same on every run."""
    random = np.random.default_rng(1)
    strokes = []
    for _ in range(count):
        path = np.cumsum([random.integers(0, (height, width)), *random.integers(-6, 7, (6, 2))], axis=0)
        path = np.clip(path, 0, (height - 1, width - 1))
        strokes.append(path[np.append(True, np.diff(path, axis=0).any(axis=1))].astype(np.int32))
    return [stroke for stroke in strokes if len(stroke) > 1]


def confetti(height: int, width: int, count: int) -> Points:
    """Scatter points of all colours, the same on every run."""
    random = np.random.default_rng(2)
    rows, columns = grid_shape(height, width)
    cells = np.stack(np.divmod(random.permutation(rows * columns)[:count], columns), axis=1)
    lowest, highest = np.transpose(LIMITS)
    return Points(cells.astype(np.int32), random.integers(lowest, highest + 1, (count, 3)).astype(np.int32))


STROKES = scribble(HEIGHT, WIDTH, 8)
POINTS = confetti(HEIGHT, WIDTH, COUNTS[-1])
WHOLE = write(HEIGHT, WIDTH, STROKES, POINTS)
ENDS = [len(write(HEIGHT, WIDTH, STROKES, POINTS.first(count))) for count in (0, *COUNTS)]

SMALL = write(SMALLEST, SMALLEST, scribble(SMALLEST, SMALLEST, 2), confetti(SMALLEST, SMALLEST, COUNTS[0]))
SMALL_END = len(write(SMALLEST, SMALLEST, scribble(SMALLEST, SMALLEST, 2), POINTS.first(0)))


def by_place(points: Points) -> list[list[int]]:
    """Forget the order of points."""
    return sorted(np.hstack((points.cells, points.levels)).tolist())


def drawn(stream: Stream) -> list[list[list[int]]]:
    """Forget the order and the directions of strokes."""
    return sorted(min(stroke.tolist(), stroke[::-1].tolist()) for stroke in stream.strokes)


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_what_is_written_is_read(count: int) -> None:
    """Size, strokes and the points of every layer come back."""
    stream = read(write(HEIGHT, WIDTH, STROKES, POINTS.first(count)))
    assert (stream.height, stream.width) == (HEIGHT, WIDTH)
    assert drawn(stream) == sorted(min(stroke.tolist(), stroke[::-1].tolist()) for stroke in STROKES)
    for first, last in pairwise((0, *COUNTS)):
        layer = [Points(each.cells[first:last], each.levels[first:last]) for each in (stream.points, POINTS.first(count))]
        assert by_place(layer[0]) == by_place(layer[1])


SIZES = ((SMALLEST, SMALLEST), (SMALLEST, LARGEST), (LARGEST, SMALLEST), (200, 313), (LARGEST, LARGEST))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back(size: tuple[int, int]) -> None:
    """The smallest, the largest and uneven images are coded."""
    points = confetti(*size, COUNTS[0])
    stream = read(write(*size, scribble(*size, 5), points))
    assert (stream.height, stream.width) == size
    assert len(stream.strokes) == 5
    assert by_place(stream.points) == by_place(points)


def test_fewer_layers_are_a_prefix() -> None:
    """The bytes of fewer points are the first bytes of more, and every such prefix holds its layers alone."""
    for count, end in zip((0, *COUNTS), ENDS, strict=True):
        assert write(HEIGHT, WIDTH, STROKES, POINTS.first(count)) == WHOLE[:end]
        assert len(read(WHOLE[:end]).points) == count


def test_a_prefix_that_ends_inside_a_layer_is_refused() -> None:
    """Of all prefixes only those that end at a layer are streams."""
    for length in set(range(len(SMALL))) - {SMALL_END}:
        with pytest.raises(BitstreamError, match="edge: "):
            read(SMALL[:length])
    assert len(read(SMALL[:SMALL_END]).points) == 0


def test_the_bytes_of_each_layer_are_told() -> None:
    """The breakdown names the header, the strokes and each layer of points, and adds up to the stream."""
    sizes = read(WHOLE).layer_bytes
    assert list(sizes) == ["header", "edges", *(f"points to {count}" for count in COUNTS)]
    assert np.cumsum(list(sizes.values())).tolist() == [HEADER_BYTES, *ENDS]
    assert list(read(WHOLE[: ENDS[1]]).layer_bytes) == ["header", "edges", "points to 15"]


def test_every_flipped_bit_is_noticed() -> None:
    """A stream with one wrong bit is refused, wherever it is."""
    for place in range(8 * len(SMALL)):
        flipped = bytearray(SMALL)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError, match="edge: "):
            read(bytes(flipped))


@pytest.mark.parametrize("behind", [b"\0", b"\xff" * 3, b"again"])
@pytest.mark.parametrize("layers", [0, 1, len(COUNTS)])
def test_bytes_behind_the_last_layer_are_refused(behind: bytes, layers: int) -> None:
    """Nothing may follow, be it a beginning of the next layer or behind the last one there can be."""
    with pytest.raises(BitstreamError, match="edge: "):
        read(WHOLE[: ENDS[layers]] + behind)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        pytest.param("", "ends inside the header", id="nothing"),
        pytest.param("ec1000", "ends inside the header", id="cut"),
        pytest.param("ed10fc4f", "not a stream of this codec", id="another magic"),
        pytest.param("ec20fc4f", "not a stream of this codec and version", id="another version"),
        pytest.param("ec107c4f", "at least 32 pixels, not 32×80|", id="smallest"),
        pytest.param("ec10784f", "at least 32 pixels, not 31×80", id="too low"),
        pytest.param("ec10fc1e", "at least 32 pixels, not 64×31", id="too narrow"),
    ],
)
def test_a_wrong_header_is_refused(header: str, message: str) -> None:
    """A header of another codec, version or of a size that cannot be is named."""
    with pytest.raises(BitstreamError, match=message):
        read(bytes.fromhex(header))


@pytest.mark.parametrize("size", [(SMALLEST - 1, 64), (64, SMALLEST - 1), (LARGEST + 1, 64), (64, LARGEST + 1)])
def test_a_size_that_cannot_be_coded_is_refused(size: tuple[int, int]) -> None:
    """Sides outside of the header's range are named."""
    with pytest.raises(ValueError, match=f"32 to 1024 pixels, not {size[0]}×{size[1]}"):
        write(*size, [], POINTS.first(0))


def test_a_number_of_points_between_layers_is_refused() -> None:
    """Points must fill their layers."""
    with pytest.raises(ValueError, match="not 16"):
        write(HEIGHT, WIDTH, STROKES, POINTS.first(16))


def checked(body: bytes) -> bytes:
    """Append the check that the bytes before it ask for."""
    return body + binascii.crc_hqx(body, 0xFFFF).to_bytes(CHECK_BYTES, "big")


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 1))
def test_any_bytes_with_a_right_check_are_refused_or_read(body: bytes, layers: int) -> None:
    """Behind a valid beginning any bytes are refused, or hold strokes and points inside the image."""
    beginning = WHOLE[:HEADER_BYTES] if not layers else WHOLE[: ENDS[0]]
    try:
        stream = read(checked(beginning + body))
    except BitstreamError:
        return
    assert all((stroke >= 0).all() and (stroke < (HEIGHT, WIDTH)).all() for stroke in stream.strokes)
    assert (stream.points.cells < grid_shape(HEIGHT, WIDTH)).all()
    assert len(stream.points) in (0, COUNTS[0])
