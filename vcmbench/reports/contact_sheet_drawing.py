"""A contact sheet drawn with Pillow, its pictures pixel for pixel."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import PIL.Image
from PIL import ImageDraw, ImageFont

from vcmbench.interfaces import Image
from vcmbench.reports.contact_sheet import Sheet, Tile
from vcmbench.reports.image_rows import Points
from vcmbench.reports.tables import printable

SMALLEST_TILE = 160
"""Pixels; smaller pictures are enlarged, each pixel to a square."""
LARGEST_SHEET = 60_000_000
"""Pixels; pictures of larger sheets are scaled down by a whole factor."""

TITLE_LINES, NOTE_LINES = 6, 4
"""The rest of a longer title or note is cut off."""

Font: TypeAlias = ImageFont.FreeTypeFont
Box: TypeAlias = tuple[int, int]

WHITE, BLACK, SOFT, EMPTY, AMBER = "#ffffff", "#000000", "#555b63", "#e4e7eb", "#ffc83d"


@dataclass(frozen=True)
class Layout:
    """Where everything is, in pixels: tiles of side `tile`, which show pictures enlarged `up` times or 1/`down` as large."""

    columns: int
    rows: int
    up: int
    down: int
    tile: int

    @property
    def gap(self) -> int:
        """Between tiles, and around all."""
        return max(2, self.tile // 48)

    @property
    def text(self) -> int:
        """Height of letters."""
        return max(9, self.tile // 18)

    @cached_property
    def font(self) -> Font:
        """DejaVu Sans, which has the letters of many scripts, from matplotlib's files."""
        spec = importlib.util.find_spec("matplotlib")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("matplotlib is not installed")
        return ImageFont.truetype(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", self.text)

    @property
    def line(self) -> int:
        """From one line of text to the next."""
        return round(1.3 * self.text)

    @property
    def width(self) -> int:
        """Of the sheet."""
        return self.columns * (self.tile + self.gap) + self.gap

    def left(self, column: int) -> int:
        """Where a column begins."""
        return self.gap + column * (self.tile + self.gap)


def layout(sheet: Sheet, scale: int = 1) -> Layout:
    """Return the sheet's layout; `scale` enlarges everything by so many times, as far as the sheet is not too large."""
    columns, rows = len(sheet.titles), max(1, len(sheet.rows))
    pixels = columns * rows * sheet.size**2
    down = max(1, math.ceil(math.sqrt(pixels / LARGEST_SHEET)))
    up = math.ceil(SMALLEST_TILE / sheet.size) if down == 1 else 1
    while scale > 1 and pixels * (up * scale) ** 2 > LARGEST_SHEET:
        scale -= 1
    up *= scale if down == 1 else 1
    return Layout(columns, rows, up, down, sheet.size * up // down)


def draw(sheet: Sheet, scale: int = 1) -> PIL.Image.Image:
    """Draw titles, rows and notes on white; a picture that is not there is a grey tile with the reason."""
    plan = layout(sheet, scale)
    titles = [wrap(title, plan.tile, plan.font)[:TITLE_LINES] for title in sheet.titles]
    inside = plan.width - 2 * plan.gap
    notes = [line for note in _notes(sheet, plan) for line in wrap(note, inside, plan.font)[:NOTE_LINES]]
    head = plan.gap + plan.line * max(map(len, titles))
    step = plan.tile + plan.gap + plan.line
    height = head + step * len(sheet.rows) + (plan.gap + plan.line * len(notes) if notes else 0) + plan.gap
    canvas = PIL.Image.new("RGB", (plan.width, height), WHITE)
    pen = ImageDraw.Draw(canvas)
    for column, lines in enumerate(titles):
        top = head - plan.line * len(lines)
        _write(pen, plan, lines, (plan.left(column), top), BLACK)
    for row, (name, tiles) in enumerate(sheet.rows):
        top = head + row * step
        _write(pen, plan, [shorten(name, inside, plan.font)], (plan.gap, top), SOFT)
        for column, tile in enumerate(tiles):
            canvas.paste(_drawn(tile, plan), (plan.left(column), top + plan.line))
    _write(pen, plan, notes, (plan.gap, head + step * len(sheet.rows) + plan.gap), SOFT)
    return canvas


def _notes(sheet: Sheet, plan: Layout) -> Iterator[str]:
    yield from sheet.notes
    if plan.down > 1:
        yield f"pictures are drawn at 1/{plan.down} of their size"


# ------------------------------------------------------------------------------------------------------------ tiles


def _drawn(tile: Tile, plan: Layout) -> PIL.Image.Image:
    canvas = PIL.Image.new("RGB", (plan.tile, plan.tile), EMPTY)
    pen = ImageDraw.Draw(canvas)
    if tile.picture.image is None:
        lines = wrap(tile.picture.problem, plan.tile - 2 * plan.gap, plan.font)
        room = (plan.tile - 2 * plan.gap) // plan.line
        _write(pen, plan, lines[:room], (plan.gap, plan.gap), BLACK)
        return canvas
    canvas.paste(_scaled(tile.picture.image, plan), (0, 0))
    if tile.landmarks is not None:
        _dot(pen, tile.landmarks, plan)
    if tile.bpp is not None:
        _label(pen, plan, f"{tile.bpp:.3f} bpp")
    if tile.gender:
        _label(pen, plan, tile.gender, right=True)
    if tile.picture.problem:
        _label(pen, plan, "not as stored", right=True, top=True, paper=AMBER, ink=BLACK)
    return canvas


def _scaled(image: Image, plan: Layout) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(image)
    if plan.down > 1:
        return picture.reduce(plan.down).crop((0, 0, plan.tile, plan.tile))
    return picture.resize((plan.tile, plan.tile), PIL.Image.Resampling.NEAREST)


def _dot(pen: ImageDraw.ImageDraw, points: Points, plan: Layout) -> None:
    """White circles, with a dark rim so that they are seen on bright skin, too."""
    radius, rim = plan.tile / 150, max(1, round(plan.tile / 400))
    for x, y in points * (plan.up / plan.down):
        pen.ellipse((x - radius - rim, y - radius - rim, x + radius + rim, y + radius + rim), BLACK)
    for x, y in points * (plan.up / plan.down):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), WHITE)


def _label(
    pen: ImageDraw.ImageDraw,
    plan: Layout,
    words: str,
    *,
    right: bool = False,
    top: bool = False,
    paper: str = BLACK,
    ink: str = WHITE,
) -> None:
    """Write words in a box in a corner of the tile, by default the lower left one."""
    margin = plan.text // 3
    shown = shorten(words, plan.tile - 2 * margin, plan.font)
    width, height = math.ceil(plan.font.getlength(shown)) + 2 * margin, plan.line + margin // 2
    x, y = plan.tile - width if right else 0, 0 if top else plan.tile - height
    pen.rectangle((x, y, x + width - 1, y + height - 1), paper)
    pen.text((x + margin, y + height / 2), shown, ink, plan.font, anchor="lm")


# ------------------------------------------------------------------------------------------------------------- text


def _write(pen: ImageDraw.ImageDraw, plan: Layout, lines: Sequence[str], corner: Box, ink: str) -> None:
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + number * plan.line), line, ink, plan.font)


def wrap(text: str, width: int, font: Font) -> list[str]:
    """Break a text at its spaces, and words that are wider than a line anywhere."""
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def shorten(text: str, width: int, font: Font) -> str:
    """Cut a text at its end so that it fits, with an ellipsis."""
    shown = text = printable(text)
    while len(text) > 1 and font.getlength(shown) > width:
        text = text[: -max(1, len(text) // 20)]
        shown = f"{text}…"
    return shown
