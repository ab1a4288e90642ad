"""What the golden run's page should say of single images: on which a curve is best and worst against the anchor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
from golden import Golden
from golden_page import full, row

LISTED, FAR_APART = 50, 1.1


@dataclass(frozen=True)
class Meeting:
    """A curve and the anchor, each by the setting at which their mean rates are nearest."""

    golden: Golden
    curve: str
    anchor_curve: str

    @cached_property
    def pair(self) -> tuple[str, str]:
        """The anchor's variant and the curve's."""
        rates = np.log(self.golden.means("bpp"))
        pairs = product(self.golden.curves[self.anchor_curve], self.golden.curves[self.curve])
        return min(pairs, key=lambda pair: abs(float(rates[pair[1]] - rates[pair[0]])))

    @property
    def rates(self) -> tuple[float, float]:
        """The mean rates of both."""
        anchor, variant = self.golden.means("bpp")[list(self.pair)]
        return anchor, variant

    def compared(self, column: str) -> pd.DataFrame:
        """Image → values and rates of both, in the order of the manifest; images without a finite value are left out."""
        both = [
            f"max({name}::DOUBLE) FILTER (variant = '{variant}' AND isfinite({column}::DOUBLE))"
            for name in (column, "bpp")
            for variant in self.pair
        ]
        found: pd.DataFrame = self.golden.table("rows").aggregate(", ".join(["image", *both]), "image").df()
        found = found.set_index("image").sort_index()
        return found.set_axis(["anchor", "curve", "anchor bpp", "curve bpp"], axis="columns").dropna()

    def ranked(self, column: str, end: str) -> pd.DataFrame:
        """The images at one end, the most extreme first: half of them at most, or of a flag those on which it changes."""
        found, about = self.compared(column), self.golden.columns[column]
        gains = about.sign * (found["curve"] - found["anchor"])
        gains = gains[gains != 0]
        worse = int((gains < 0).sum()) if about.is_flag else (len(gains) + bool(gains.median() < 0)) // 2
        best_first = gains.sort_values(ascending=False, kind="stable").index
        worst_first = gains[::-1].sort_values(kind="stable").index
        chosen = best_first[: len(gains) - worse] if end == "best" else worst_first[:worse]
        return found.loc[chosen[:LISTED]]


def meetings(golden: Golden, anchor: str) -> list[Meeting]:
    """Every other curve's, single points' too."""
    return [Meeting(golden, curve, anchor) for curve in golden.curves if curve != anchor]


@dataclass(frozen=True)
class Choice:
    """What the reader has chosen of the lists."""

    meeting: Meeting
    column: str
    end: str

    def told(self) -> Iterator[str]:
        """Which settings are compared, and how many images are listed."""
        (anchor, variant), (anchor_rate, rate) = self.meeting.pair, self.meeting.rates
        listed, all_of_them = (len(self.meeting.ranked(self.column, self.end)), len(self.meeting.compared(self.column)))
        settings = f"Curve: {variant}, {full(rate)} bpp. Anchor: {anchor}, {full(anchor_rate)} bpp."
        yield f"{settings} The {self.end} {listed} of {all_of_them} images by {self.meeting.golden.head(self.column)}:"

    def listed(self) -> Iterator[str]:
        """Each image with its values and rates."""
        yield row("Image", "Anchor", "Curve", "Difference", "Anchor, bpp", "Curve, bpp")
        is_flag = self.meeting.golden.columns[self.column].is_flag
        for image, anchor, curve, *rates in self.meeting.ranked(self.column, self.end).itertuples(name=None):
            difference = f"{curve - anchor:+}"
            values = [("no", "yes")[int(value)] if is_flag else full(value) for value in (anchor, curve)]
            yield row(str(image), *values, difference, *map(full, rates))


def notes(golden: Golden, anchor: str) -> Iterator[str]:
    """What stands under the lists."""
    yield (
        f"A curve meets the anchor, {anchor}, with the pair of their settings whose mean rates are nearest to each other, "
        "and an image's values are those of these two settings, not interpolated. Best and worst go by the difference, "
        "curve less anchor; no image is in both lists, and none on which both are equal."
    )
    for meeting in meetings(golden, anchor):
        anchor_rate, rate = meeting.rates
        if max(rate / anchor_rate, anchor_rate / rate) > FAR_APART:
            yield (
                f"{meeting.curve} meets the anchor at {full(rate)} against {full(anchor_rate)} bpp on average: "
                "no two of their settings are nearer, so that part of a difference is the rate's."
            )
    yield "No picture is shown, because the job does not say report: {images: true}."
