"""Portraits beside what the edge codec and its opponents make of them at one rate, to look at.

The sheets show portraits: they stay out of the repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from edge_parts import edge_raster

from vcmbench import codecs
from vcmbench.interfaces import Codec, Image

SHOWN_POINTS = (0, 15, 122)
TITLE_ROWS = 20

Opponents: TypeAlias = Mapping[str, Sequence[Codec]]
"""Title → the settings of a curve."""


@dataclass(frozen=True)
class Tile:
    """One picture, and the bits per pixel that are written onto it."""

    image: Image
    bpp: float | None = None


def contact_sheet(images: Iterable[Image], decoder: str, opponents: Opponents) -> PIL.Image.Image:
    """Draw a row for each image: original, strokes, edge-only, N = 15 and 122, and each opponent at the rate of N = 122.

    The rate is the image's own: of each curve, the setting is shown whose bitstream is nearest in length.
    """
    edge = {points: codecs.create("edge", points=points, decoder=decoder) for points in SHOWN_POINTS}
    titles = ["original", "strokes", "edge-only", *(f"N = {points}" for points in SHOWN_POINTS[1:]), *opponents]
    rows = [_row(image, edge, opponents) for image in images]
    height, width, _ = rows[0][0].image.shape
    sheet = PIL.Image.new("RGB", (width * len(titles), TITLE_ROWS + height * len(rows)), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((width * column + 4, 2), title, "black", font)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            left, top = width * column, TITLE_ROWS + height * number
            sheet.paste(PIL.Image.fromarray(tile.image), (left, top))
            if tile.bpp is not None:
                place = (left + 4, top + height - 20)
                draw.text(place, f"{tile.bpp:.3f}", "white", font, stroke_width=2, stroke_fill="black")
    return sheet


def _row(image: Image, edge: Mapping[int, Codec], opponents: Opponents) -> list[Tile]:
    streams = {points: codec.encode(image) for points, codec in edge.items()}
    strokes = np.where(edge_raster(streams[0]), np.uint8(0), np.uint8(255))
    tiles = [Tile(image), Tile(np.repeat(strokes[..., None], 3, axis=2), _bpp(streams[0], image))]
    tiles += [_decoded(codec.decode, streams[points], image) for points, codec in edge.items()]
    for settings in opponents.values():
        coded = [(codec, codec.encode(image)) for codec in settings]
        codec, stream = min(coded, key=lambda pair: abs(len(pair[1]) - len(streams[122])))
        tiles.append(_decoded(codec.decode, stream, image))
    return tiles


def _decoded(decode: Callable[[bytes], Image], stream: bytes, image: Image) -> Tile:
    return Tile(decode(stream), _bpp(stream, image))


def _bpp(stream: bytes, image: Image) -> float:
    height, width = image.shape[:2]
    return 8 * len(stream) / int(height * width)
