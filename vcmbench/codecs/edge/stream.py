"""The scalable stream: a header, the strokes, then layers of points; each layer carries its own check.

    4 bytes             magic (8 bits), version (4), height (10), width (10)
    edge layer          range-coded strokes, CRC-16
    ≤ 6 point layers    range-coded points, CRC-16

A layer's check (CRC-16/CCITT, 2 bytes, big-endian) covers every byte before it. What ends behind a check is a stream.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vcmbench.codecs.edge.geometry import COUNTS, LARGEST, SMALLEST, Points, Raster, Stroke
from vcmbench.codecs.edge.point_coding import read_points, write_points
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.stroke_coding import read_strokes, write_strokes
from vcmbench.interfaces import BitstreamError

MAGIC = 0xEC
VERSION = 1
HEADER_BYTES = 4
CHECK_BYTES = 2
_SIDE_BITS = 10


@dataclass(frozen=True)
class Stream:
    """What a stream holds."""

    height: int
    width: int
    strokes: list[Stroke]
    """In the order and direction in which they are coded, which need not be those in which they were written."""
    raster: Raster
    """The pixels on them, by which points are coded."""
    points: Points
    """Of all layers; as many as one of `COUNTS`, or none."""
    ends: tuple[int, ...]
    """Where the header, the edge layer and each point layer end, in bytes."""

    @property
    def layer_bytes(self) -> dict[str, int]:
        """Bytes of the header, the strokes and the points up to each count, in the order of the stream."""
        names = ("header", "edges", *(f"points to {count}" for count in COUNTS))
        return dict(zip(names, np.diff(self.ends, prepend=0).tolist(), strict=False))


def write(height: int, width: int, strokes: list[Stroke], points: Points) -> bytes:
    """Code strokes and points, of which there are as many as one of `COUNTS` or none.

    Raises `ValueError` for sides outside `SMALLEST` to `LARGEST` and for another number of points.
    """
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise ValueError(f"edge: sides must be {SMALLEST} to {LARGEST} pixels, not {height}×{width}")
    if len(points) not in (0, *COUNTS):
        raise ValueError(f"edge: the number of points must be 0 or one of {COUNTS}, not {len(points)}")
    fields = ((MAGIC << 4 | VERSION) << _SIDE_BITS | height - 1) << _SIDE_BITS | width - 1
    stream = bytearray(fields.to_bytes(HEADER_BYTES, "big"))
    _append(stream, write_strokes(strokes, height, width))
    raster = rasterise(strokes, height, width)
    points = _in_reading_order(points)
    for start, stop in _layers():
        if stop > len(points):
            break
        layer = Points(points.cells[start:stop], points.levels[start:stop])
        _append(stream, write_points(layer, points.first(start), raster))
    return bytes(stream)


def _in_reading_order(points: Points) -> Points:
    """Sort each layer as it will be read: of two earlier points that are equally near, the first one counts."""
    layer = np.searchsorted(COUNTS, np.arange(len(points)), side="right")
    order = np.lexsort((points.cells[:, 1], points.cells[:, 0], layer))
    return Points(points.cells[order], points.levels[order])


def _append(stream: bytearray, layer: bytes) -> None:
    stream += layer
    stream += binascii.crc_hqx(stream, _CHECK_START).to_bytes(CHECK_BYTES, "big")


_CHECK_START = 0xFFFF


def _layers() -> Iterator[tuple[int, int]]:
    """Yield the number of points before and after each point layer."""
    return zip((0, *COUNTS), COUNTS)  # noqa: B905  # the last count begins no layer


def read(stream: bytes) -> Stream:
    """Return what a stream holds; raise `BitstreamError` for one that is malformed or does not end behind a layer."""
    height, width = _read_header(stream)
    strokes, end = read_strokes(stream, HEADER_BYTES, height, width)
    ends = [HEADER_BYTES, behind_check(stream, end)]
    raster = rasterise(strokes, height, width)
    points = Points(np.zeros((0, 2), np.int32), np.zeros((0, 3), np.int32))
    for start, stop in _layers():
        if ends[-1] == len(stream):
            break
        layer, end = read_points(stream, ends[-1], stop - start, points, raster)
        ends.append(behind_check(stream, end))
        points = Points(np.concatenate([points.cells, layer.cells]), np.concatenate([points.levels, layer.levels]))
    if ends[-1] != len(stream):
        raise BitstreamError(f"edge: {len(stream) - ends[-1]} bytes follow the last layer")
    return Stream(height, width, strokes, raster, points, tuple(ends))


def _read_header(stream: bytes) -> tuple[int, int]:
    if len(stream) < HEADER_BYTES:
        raise BitstreamError("edge: the stream ends inside the header")
    fields = int.from_bytes(stream[:HEADER_BYTES], "big")
    if fields >> 2 * _SIDE_BITS != MAGIC << 4 | VERSION:
        raise BitstreamError("edge: not a stream of this codec and version")
    height, width = ((fields >> shift) % (1 << _SIDE_BITS) + 1 for shift in (_SIDE_BITS, 0))
    if min(height, width) < SMALLEST:
        raise BitstreamError(f"edge: sides must be at least {SMALLEST} pixels, not {height}×{width}")
    return height, width


def behind_check(stream: bytes, end: int) -> int:
    """Return where the check behind a layer that ends here ends; raise `BitstreamError` for a wrong one."""
    behind = end + CHECK_BYTES
    if behind > len(stream):
        raise BitstreamError("edge: the stream ends inside a layer")
    if int.from_bytes(stream[end:behind], "big") != binascii.crc_hqx(stream[:end], _CHECK_START):
        raise BitstreamError("edge: a layer's check is wrong")
    return behind
