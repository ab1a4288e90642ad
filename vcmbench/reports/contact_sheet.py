"""Contact sheets, as Figures 3 and 4 of Yang et al. (2021): an image a row, the original first, then each setting.

The first sheet has the rates in black boxes, the second also the landmarks and the predicted gender, where the run has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vcmbench.feature_tables import ORIGINAL
from vcmbench.reports.image_rows import LANDMARKS, Points, StoredImages
from vcmbench.reports.pictures import Picture, Showing, decoded, original, told
from vcmbench.run_index import Index, SettingRecord

GENDER, AGREES = "gender", "gender_agrees"
"""The columns that a gender metric gives."""

OPPOSITE = {"Woman": "Man", "Man": "Woman"}
"""What the original's label is where the decoded image's is another one."""

OTHERS = "What is written on a picture that is not as stored are the stored one's values."


@dataclass(frozen=True)
class Tile:
    """One picture and what is written on it: its rate in bits per pixel, its landmarks, and the predicted gender."""

    picture: Picture
    bpp: float | None
    landmarks: Points | None = None
    gender: str = ""


@dataclass(frozen=True)
class Sheet:
    """C titles, rows of an image's name and C tiles, and what a reader must know; `size` is the pictures' side in pixels."""

    size: int
    titles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    notes: tuple[str, ...]


def human_sheet(
    stored: StoredImages, showing: Showing, names: Sequence[str], settings: Sequence[SettingRecord], notes: Sequence[str]
) -> Sheet:
    """Make every picture of these images and settings; whatever is not as stored is a note, and `showing.warn` is told."""
    rows = tuple((name, tuple(_tiles(stored, showing, name, settings))) for name in names)
    titles = ("original", *(setting.variant for setting in settings))
    problems = told(_problems(titles, rows))
    for problem in problems:
        showing.warn(f"figure: {problem}")
    differ = any(tile.picture.image is not None and tile.picture.problem for _, tiles in rows for tile in tiles)
    all_notes = (*notes, *problems, *((OTHERS,) if differ else ()))
    return Sheet(showing.preparation.size, titles, rows, all_notes)


def _tiles(stored: StoredImages, showing: Showing, name: str, settings: Sequence[SettingRecord]) -> Iterator[Tile]:
    first = original(stored, showing, name)
    yield Tile(first, None)
    pictures = decoded(stored, name, first.image, settings)
    for setting in settings:
        yield Tile(pictures[setting.key], stored.rows.get((name, setting.key), {}).get("bpp"))


def _problems(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Tile]]]) -> Iterator[tuple[str, str]]:
    for _, tiles in rows:
        for title, tile in zip(titles, tiles, strict=True):
            if tile.picture.problem:
                yield title, tile.picture.problem


def machine_sheet(sheet: Sheet, index: Index, stored: StoredImages, settings: Sequence[SettingRecord]) -> Sheet | None:
    """Add what machines see to a sheet; None for a run without landmarks and gender."""
    has_landmarks, has_gender = LANDMARKS in index.features, GENDER in index.columns
    if not (has_landmarks or has_gender):
        return None
    keys = (ORIGINAL, *(setting.key for setting in settings))
    rows = tuple(
        (
            name,
            tuple(
                replace(tile, landmarks=stored.landmarks.get((name, key)), gender=_gender(stored, name, key))
                for key, tile in zip(keys, tiles, strict=True)
            ),
        )
        for name, tiles in sheet.rows
    )
    return replace(sheet, rows=rows, notes=(*sheet.notes, *(_without_landmarks(rows) if has_landmarks else ())))


def _gender(stored: StoredImages, name: str, key: str) -> str:
    """The predicted label; the original's follows from a decoded image's label and whether it agrees."""
    if key != ORIGINAL:
        return _label(stored.rows.get((name, key), {}))
    for (image, _), row in stored.rows.items():
        if image == name and _label(row) and row.get(AGREES) is not None:
            return _label(row) if row[AGREES] else OPPOSITE.get(_label(row), "")
    return ""


def _label(row: Any) -> str:
    return str(row.get(GENDER) or "")


def _without_landmarks(rows: Sequence[tuple[str, Sequence[Tile]]]) -> Iterator[str]:
    lacking = sum(tile.landmarks is None and tile.picture.image is not None for _, tiles in rows for tile in tiles)
    if lacking:
        yield f"{lacking} pictures without landmarks: the run stores none of them (no face, or beyond feature_images)"
