"""Strokes as bits: the cells in which strokes begin, then each segment's length and its turn from the one before.

What is free about a set of strokes costs nothing: each is coded from the end that comes first in reading order of cells,
and strokes in that order. Contexts know what is already drawn. All of it is in whole numbers, so that any machine reads
the same strokes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from vcmbench.codecs.edge import priors
from vcmbench.codecs.edge.geometry import LARGEST, Stroke, cell_size
from vcmbench.codecs.edge.range_coder import Coder, Decoder, Encoder
from vcmbench.codecs.edge.ring import cartesian, polar
from vcmbench.interfaces import BitstreamError

GROUPS = {
    "begin": (4, 6),
    "again": (1,),
    "corner": (2, 8),
    "direction": (16,),
    "length": (6, 32),
    "turn": (3, 15, 3, 32),
    "end": (4, 4),
    "beyond": (2, 16),
}
"""The shape of each group of contexts; on the last axis they are least alike. Beginnings are numbered from 0."""

ZONES = 16
"""Rows and columns of the zones by which strokes are more likely to begin in some places than in others."""

_Vertices: TypeAlias = list[tuple[int, int]]
_Begun: TypeAlias = dict[tuple[int, int], list[_Vertices]]
"""Strokes by the row and column of the cell in which they begin."""


def most_vertices(height: int, width: int) -> int:
    """Return how many vertices the strokes of an image may have together; this bounds the time for a malformed stream."""
    return min(height * width // 8, 1 << 14)


def most_steps(height: int, width: int) -> int:
    """Return how long the strokes of an image may be together, in pixels; this, too, bounds the time."""
    return height * width


def write_strokes(strokes: Sequence[Stroke], height: int, width: int) -> bytes:
    """Return the strokes of a height×width image as a layer; raise `ValueError` for too many or too long ones.

    They come back in an order and in directions of the layer's own.
    """
    encoder = Encoder(priors.of_contexts("stroke", GROUPS))
    code_strokes(encoder, strokes, height, width)
    return encoder.finish()


def read_strokes(stream: bytes, start: int, height: int, width: int) -> tuple[list[Stroke], int]:
    """Return the strokes of a layer that begins at a place in a stream, and where it ends.

    Raises `BitstreamError` for what cannot be.
    """
    decoder = Decoder(priors.of_contexts("stroke", GROUPS), stream, start)
    return code_strokes(decoder, (), height, width), decoder.end


def code_strokes(coder: Coder, strokes: Sequence[Stroke], height: int, width: int) -> list[Stroke]:
    """Return the strokes in the order and direction in which they are coded; those given count only when encoding."""
    if sum(map(len, strokes)) > most_vertices(height, width):
        raise ValueError(f"edge: more than {most_vertices(height, width)} vertices")
    if _total_length(strokes) > most_steps(height, width):
        raise ValueError(f"edge: strokes are longer than {most_steps(height, width)} pixels")
    cell = cell_side(height, width)
    begun: _Begun = {}
    for stroke in strokes:
        vertices = [(row, column) for row, column in stroke.tolist()]
        ends = [((row // cell, column // cell), row, column) for row, column in (vertices[0], vertices[-1])]
        begun.setdefault(min(ends)[0], []).append(vertices if ends[0] <= ends[1] else vertices[::-1])
    for beginning in begun.values():
        beginning.sort()
    return [np.array(stroke, np.int32) for stroke in _Canvas(coder, height, width).code_strokes(begun)]


def _total_length(strokes: Sequence[Stroke]) -> int:
    """Return the pixels' steps along all strokes."""
    if not strokes:
        return 0
    steps = np.abs(np.diff(np.concatenate(strokes), axis=0)).max(axis=1)
    steps[np.cumsum([len(stroke) for stroke in strokes])[:-1] - 1] = 0
    return int(steps.sum())


def cell_side(height: int, width: int) -> int:
    """Return the side in pixels of the cells in which strokes begin: 8 at 256×256."""
    return 2 * cell_size(height, width)


class _Canvas:
    """Codes strokes one after the other, and knows where those before have been drawn."""

    def __init__(self, coder: Coder, height: int, width: int) -> None:
        self._coder = coder
        self._height, self._width = height, width
        self._cell = cell_side(height, width)
        self._rows, self._columns = -(-height // self._cell), -(-width // self._cell)
        self._stride = width + 2 * _MARGIN
        self._drawn = bytearray(self._stride * (height + 2 * _MARGIN))
        self._row_of_cells = self._columns + 2
        self._cell_of = self._cells_of_pixels()
        self._crossed: set[int] = set()
        self._begin_contexts = self._first_contexts()
        self._vertices_left = most_vertices(height, width)
        self._steps_left = most_steps(height, width)

    def _cells_of_pixels(self) -> memoryview:
        """Return, for each place in `_drawn`, that of its cell in `_begin_contexts`."""
        row, column = (np.arange(-_MARGIN, side + _MARGIN) // self._cell + 1 for side in (self._height, self._width))
        return memoryview((row[:, None] * self._row_of_cells + column).astype(np.intc).tobytes()).cast("i")

    def _first_contexts(self) -> list[int]:
        """Return the contexts of beginnings, in a frame of cells, as long as nothing is drawn."""
        zones = np.reshape(priors.load("stroke")["zones"], (ZONES, ZONES))
        row, column = (np.arange(count) * ZONES // count for count in (self._rows, self._columns))
        contexts: list[int] = np.pad(zones[np.ix_(row, column)] * GROUPS["begin"][1], 1).ravel().tolist()
        return contexts

    def code_strokes(self, begun: _Begun) -> list[_Vertices]:
        """Return the strokes in the order in which they are coded; those given count only when encoding."""
        strokes: list[_Vertices] = []
        for row in range(self._rows):
            first = (row + 1) * self._row_of_cells + 1
            waiting = [*sorted(column for row_begun, column in begun if row_begun == row), self._columns]
            column = 0
            while True:
                contexts = self._begin_contexts[first + column : first + self._columns]
                column += self._coder.run(waiting[bisect_left(waiting, column)] - column, contexts)
                if column == self._columns:
                    break
                strokes += self._code_cell(begun.get((row, column), []), row, column)
                column += 1
        return strokes

    def _code_cell(self, given: list[_Vertices], row: int, column: int) -> list[_Vertices]:
        """Code the strokes that begin in a cell, of which there are some."""
        strokes: list[_Vertices] = []
        more = 1
        while more:
            strokes.append(self._code_stroke(given[len(strokes)] if given else [], row, column))
            self._draw(strokes[-1])
            more = self._coder.bit(len(strokes) < len(given), _AGAIN)
        return strokes

    def _code_stroke(self, given: _Vertices, cell_row: int, cell_column: int) -> _Vertices:
        """Code a stroke that begins in a cell; `given` is empty when decoding."""
        top, left = cell_row * self._cell, cell_column * self._cell
        row = top + self._code_corner(given[0][0] - top if given else 0, 0)
        column = left + self._code_corner(given[0][1] - left if given else 0, 1)
        self._vertices_left -= 1
        self._check(row, column)
        stroke = [(row, column)]
        bit = self._coder.bit
        length, place, turn = 0, 0, 0
        more = 1
        while more:
            length_before, place_before = length, place
            if given:
                length, place = polar(given[len(stroke)][0] - row, given[len(stroke)][1] - column)
            length = self._code_length(length, _LENGTH_CLASS[length_before])
            if length > LARGEST:
                raise BitstreamError("edge: a segment is too long")
            self._steps_left -= length
            around = 8 * length
            if length_before:
                foretold = (2 * place_before * length + length_before) // (2 * length_before)
                wanted = (place - foretold + 4 * length) % around - 4 * length
                turn = self._code_turn(wanted, length, length_before, turn)
                place = (foretold + turn) % around
            else:
                place = self._code_direction(place, length)
            down, right = cartesian(length, place)
            row, column = row + down, column + right
            self._vertices_left -= 1
            self._check(row, column)
            stroke.append((row, column))
            context = _END + self._nearness(row, column) * _END_CONTEXTS + min(len(stroke) - 2, _END_CONTEXTS - 1)
            more = not bit(len(stroke) == len(given), context)
        return stroke

    def _check(self, row: int, column: int) -> None:
        if not (0 <= row < self._height and 0 <= column < self._width):
            raise BitstreamError("edge: a stroke leaves the image")
        if self._vertices_left < 0 or self._steps_left < 0:
            raise BitstreamError("edge: too many or too long strokes")

    def _code_corner(self, value: int, axis: int) -> int:
        """Code a row or column inside a cell: its lowest three bits by what is likely, those above as they are."""
        bits = self._cell.bit_length() - 1
        known = min(bits, _CORNER_BITS)
        high = self._coder.uniform(value >> known, 1 << bits - known) if bits > known else 0
        return high << known | self._coder.tree(value % (1 << known), known, _CORNER + (axis << known))

    def _code_length(self, length: int, context: int) -> int:
        leaf = self._coder.tree(_LENGTH_LEAF[length], _LEAF_BITS, _LENGTH + (context << _LEAF_BITS))
        first = LENGTHS[leaf]
        if leaf == LEAVES - 1:
            return first + self._code_beyond(length - first, 0)
        count = LENGTHS[leaf + 1] - first
        return first + (self._coder.uniform(length - first, count) if count > 1 else 0)

    def _code_direction(self, place: int, length: int) -> int:
        """Code where a stroke's first step goes: one of 16 sectors by what is likely, then the place inside it."""
        sector = self._coder.tree(2 * place // length, _SECTOR_BITS, _DIRECTION)
        first, end = ((length * edge + 1) // 2 for edge in (sector, sector + 1))
        if first == end:
            raise BitstreamError("edge: a step that cannot be")
        return first + (self._coder.uniform(place - first, end - first) if end - first > 1 else 0)

    def _code_turn(self, turn: int, length: int, length_before: int, turn_before: int) -> int:
        """Code how many places a step is beside that straight on; what is likely depends on the side of the turn before."""
        side = -1 if turn_before < 0 else 1
        context = _TURN_BEFORE[length_before] + _TURN_NOW[length] + sharpness(turn_before, length_before)
        width = _TURN_WIDTH[length]
        coarse, rest = divmod(side * turn + width // 2, width)
        leaf = coarse + STRAIGHT if abs(coarse) <= STRAIGHT else LEAVES - 1
        leaf = self._coder.tree(leaf, _LEAF_BITS, _TURN + (context << _LEAF_BITS))
        if leaf < LEAVES - 1:
            coarse = leaf - STRAIGHT
        else:
            is_back = self._coder.uniform(int(coarse < 0), 2)
            far = STRAIGHT + 1 + self._code_beyond(abs(coarse) - STRAIGHT - 1, 1)
            coarse = -far if is_back else far
        rest = self._coder.uniform(rest, width) if width > 1 else 0
        turn = coarse * width + rest - width // 2
        if abs(turn) > 4 * length:
            raise BitstreamError("edge: a turn that cannot be")
        return side * turn

    def _code_beyond(self, value: int, context: int) -> int:
        """Code a number that is rarely needed by an exponential Golomb code."""
        exponent = 0
        first = _BEYOND + context * GROUPS["beyond"][1]
        while self._coder.bit(value + 1 >> exponent + 1 > 0, first + exponent):
            exponent += 1
            if exponent == GROUPS["beyond"][1]:
                raise BitstreamError("edge: a segment is too long")
        return (1 << exponent) - 1 + (self._coder.uniform(value + 1 - (1 << exponent), 1 << exponent) if exponent else 0)

    def _nearness(self, row: int, column: int) -> int:
        """Return 3 at the image's border, 2 beside or on a drawn stroke, 1 a pixel farther from it, else 0."""
        if not (0 < row < self._height - 1 and 0 < column < self._width - 1):
            return 3
        find, stride = self._drawn.find, self._stride
        corner = row * stride + column
        for line in range(corner, corner + 5 * stride, stride):
            if find(1, line, line + 5) >= 0:
                break
        else:
            return 0
        nearer = range(corner + stride + 1, corner + 4 * stride + 1, stride)
        return 2 if any(find(1, line, line + 3) >= 0 for line in nearer) else 1

    def _draw(self, stroke: _Vertices) -> None:
        drawn, stride = self._drawn, self._stride
        pixels: list[int] = []
        for (row, column), (row_after, column_after) in pairwise(stroke):
            start = (row + _MARGIN) * stride + column + _MARGIN
            pixels += [start + offset for offset in _line(row_after - row, column_after - column, stride)]
        for pixel in pixels:
            drawn[pixel] = 1
        for cell in set(map(self._cell_of.__getitem__, pixels)) - self._crossed:
            self._cross(cell)

    def _cross(self, cell: int) -> None:
        """Count a cell on a stroke for itself and those around it."""
        self._crossed.add(cell)
        contexts = self._begin_contexts
        for row in (cell - self._row_of_cells, cell, cell + self._row_of_cells):
            for near in (row - 1, row, row + 1):
                contexts[near] = _CROSSED_ONCE_MORE[contexts[near]]


@lru_cache(maxsize=512)
def _line(down: int, right: int, stride: int) -> list[int]:
    """Return how far from a line's first pixel each one is in memory; they are the pixels that `rasterise` finds."""
    length = max(abs(down), abs(right))
    twice = 2 * length
    steps = range(length + 1)
    return [(2 * step * down + length) // twice * stride + (2 * step * right + length) // twice for step in steps]


_AGAIN, _CORNER, _DIRECTION, _LENGTH, _TURN, _END, _BEYOND = (
    priors.first_contexts(GROUPS)[group] for group in ("again", "corner", "direction", "length", "turn", "end", "beyond")
)
_MARGIN = 2
_CORNER_BITS = 3
_SECTOR_BITS = 4
_LEAF_BITS = 5
LEAVES = 1 << _LEAF_BITS
LENGTHS: tuple[int, ...] = (*range(1, 17), *range(17, 33, 2), *range(33, 62, 4))
"""The shortest length of each leaf."""
STRAIGHT = LEAVES // 2 - 1
"""The leaf of no turn at all; the last leaf is that of turns which have none."""
_FINE_TURNS = 12
"""Up to this length a place on the ring has its own leaf."""


def length_class(length: int) -> int:
    """Return 0 for no segment, then 1 to 5."""
    return bisect_left(_LENGTH_CLASSES, length)


_LENGTH_CLASSES = (0, 3, 5, 8, 14)


def sharpness(turn: int, length: int) -> int:
    """Return 0 for no turn, 1 for a slight one at the beginning of a step so long, 2 for a sharp one."""
    return 0 if not turn else 1 if 3 * abs(turn) <= length else 2


def turn_context(length_before: int, length: int, sharpness_before: int) -> int:
    """Return the context of a turn between steps so long, after another turn."""
    before = 0 if length_before <= 4 else 1 if length_before <= 8 else 2
    now = length - 1 if length <= 12 else 12 if length <= 16 else 13 if length <= 24 else 14
    return (before * GROUPS["turn"][1] + now) * GROUPS["turn"][2] + sharpness_before


def turn_width(length: int) -> int:
    """Return how many places on the ring of a step so long share a leaf."""
    return 1 << ((length - 1) // _FINE_TURNS).bit_length()


_LENGTH_CLASS = [length_class(length) for length in range(LARGEST + 1)]
_LENGTH_LEAF = [bisect_right(LENGTHS, length) - 1 for length in range(LARGEST + 1)]
_TURN_BEFORE = [turn_context(length, 1, 0) for length in range(LARGEST + 1)]
_TURN_NOW = [turn_context(1, length, 0) for length in range(LARGEST + 1)]
_TURN_WIDTH = [turn_width(max(length, 1)) for length in range(LARGEST + 1)]
_END_CONTEXTS = GROUPS["end"][1]
_CROSSED_ONCE_MORE = [
    context + (context % GROUPS["begin"][1] < GROUPS["begin"][1] - 1) for context in range(math.prod(GROUPS["begin"]))
]
"""The context of a beginning after another cell near it has been crossed."""
