"""The images on which a curve is best and worst against the anchor, at the same rate.

Values of one image are not interpolated: a picture stands for a setting. So each curve meets the anchor with the pair of
their settings whose mean rates are nearest to each other, and an image's two values are those of these settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcmbench.reports.grid import Matrix
from vcmbench.reports.statistics import Floats
from vcmbench.run_index import ColumnRecord, Index

CURVES = 12
"""So many curves are ranked against the anchor."""
LISTED = 50
"""Images at either end."""


@dataclass(frozen=True)
class Meeting:
    """A curve's setting and the anchor's whose mean rates are nearest; places in the index, rates in bits per pixel."""

    curve: str
    setting: int
    anchor: int
    rate: float
    anchor_rate: float


@dataclass(frozen=True)
class Ranked:
    """One image: its place in the grid, and its value and rate with both settings."""

    image: int
    value: float
    anchor_value: float
    bpp: float
    anchor_bpp: float


@dataclass(frozen=True)
class Ranking:
    """The images on which a metric column gains most, and least, beginning with the extreme, of so many compared `images`.

    No image is in both, and none on which both settings have the same value.
    """

    column: str
    images: int
    best: tuple[Ranked, ...]
    worst: tuple[Ranked, ...]


def meetings(index: Index, mean_rates: Floats, anchor: str) -> list[Meeting]:
    """Return one for each other curve that shares a rate axis with the anchor, in the index's order, given S bpp or NaN."""
    rates = mean_rates.tolist()
    places: dict[str, list[int]] = {}
    for place, setting in enumerate(index.settings):
        if rates[place] > 0:
            places.setdefault(setting.curve, []).append(place)
    anchors = places.pop(anchor, [])
    found = []
    for curve, settings in places.items():
        pairs = [(abs(math.log(rates[mine] / rates[its])), mine, its) for mine in settings for its in anchors]
        if pairs:
            _, mine, its = min(pairs)
            found.append(Meeting(curve, mine, its, rates[mine], rates[its]))
    return found


def rates_of(bpp: Matrix, met: Sequence[Meeting]) -> dict[int, Floats]:
    """Return every image's rate with the settings that meet, by the setting's place."""
    places = {place for meeting in met for place in (meeting.setting, meeting.anchor)}
    return {place: bpp[place].copy() for place in places}


def rank(
    name: str, column: ColumnRecord, values: Matrix, met: Sequence[Meeting], bpp: Mapping[int, Floats]
) -> dict[str, Ranking]:
    """Rank the images for each curve; no curve where the column has no better direction, or no image with both values."""
    ranked: dict[str, Ranking] = {}
    for meeting in met if column.better else ():
        mine, its = values[meeting.setting], values[meeting.anchor]
        gains = (mine - its) * (1 if column.better == "higher" else -1)
        found = _ranking(name, meeting, mine, its, bpp, gains, is_flag=column.dtype == "bool")
        if found:
            ranked[meeting.curve] = found
    return ranked


def _ranking(
    column: str, meeting: Meeting, mine: Floats, its: Floats, bpp: Mapping[int, Floats], gains: Floats, *, is_flag: bool
) -> Ranking | None:
    compared = int(np.isfinite(gains).sum())
    if not compared:
        return None
    images = np.flatnonzero(np.isfinite(gains) & (gains != 0))
    better, worse = _numbers(gains[images], is_flag=is_flag)

    def ranked(image: int) -> Ranked:
        rates = bpp[meeting.setting][image], bpp[meeting.anchor][image]
        return Ranked(image, *map(float, (mine[image], its[image], *rates)))

    best = images[_highest(gains[images], min(LISTED, better))]
    backwards = images[::-1]  # so that of equal gains other images are the worst than are the best
    worst = backwards[_highest(-gains[backwards], min(LISTED, worse))]
    return Ranking(column, compared, tuple(map(ranked, best.tolist())), tuple(map(ranked, worst.tolist())))


def _numbers(gains: Floats, *, is_flag: bool) -> tuple[int, int]:
    """How many images may be listed as best and as worst: a flag's by their sign, else half of them each.

    A curve that is better on every image has images on which it is better by least.
    """
    if is_flag:
        return int((gains > 0).sum()), int((gains < 0).sum())
    worse = (len(gains) + bool(len(gains) and np.median(gains) < 0)) // 2
    return len(gains) - worse, worse


def _highest(values: Floats, number: int) -> npt.NDArray[np.int64]:
    """The places of so many highest values, the highest first, of equal ones the first; of a million, sorting only these."""
    if not number:
        return np.zeros(0, np.int64)
    least = np.partition(values, -number)[-number]
    above = np.flatnonzero(values > least)
    chosen = np.concatenate([above, np.flatnonzero(values == least)[: number - len(above)]])
    return chosen[np.argsort(-values[chosen], kind="stable")]
