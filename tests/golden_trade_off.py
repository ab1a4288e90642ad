"""What the golden run's page should say of every curve at one rate: two metrics, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from golden import Golden, pchip
from golden_compared import FEWEST
from golden_curves import value_at
from golden_page import full, row
from golden_tables import SLICES


@dataclass(frozen=True)
class TradeOff:
    """A human and a machine metric over the images of a slice, "" for all, at the rate that was asked for; None for none."""

    golden: Golden
    human: str
    machine: str
    asked: float | None
    images: str

    @property
    def pair(self) -> tuple[str, str]:
        """Both metrics."""
        return self.human, self.machine

    @cached_property
    def rate(self) -> float:
        """The rate asked for, up to the highest that two curves have; at first in the middle of where most have values."""
        means = self.golden.means("bpp")
        ranges = [means[variants].agg(["min", "max"]) for variants in self.golden.curves.values() if len(variants) >= FEWEST]
        highest = sorted(float(high) for _, high in ranges)[-2]
        if self.asked is not None:
            return self.asked if self.asked <= highest else math.floor(highest * 1e4) / 1e4
        ends = sorted(float(end) for both in ranges for end in both)
        middles = [math.sqrt(low * high) for low, high in pairwise(ends)]
        return float(f"{max(middles, key=lambda middle: sum(low <= middle <= high for low, high in ranges)):.3g}")

    def read(self, curve: str, column: str) -> tuple[float, str]:
        """A curve's value, or NaN and why it has none."""
        condition = SLICES.get(self.images, "true")
        means = self.golden.means(column, condition)[self.golden.curves[curve]].dropna()
        rates = self.golden.means("bpp", condition)[means.index].sort_values()
        title = self.golden.columns[column].title
        if len(means) < FEWEST:
            return math.nan, f"{title}: {len(means)} usable point{'s' if len(means) != 1 else ''}; {FEWEST} are needed"
        points = np.array([rates, means[rates.index]])
        value = value_at(pchip(np.log(points[0]), points[1]), self.rate)
        outside = f"{title}: outside its rates, {rates.min():.3g} to {rates.max():.3g} bpp"
        return value, "" if math.isfinite(value) else outside

    @cached_property
    def values(self) -> dict[str, list[float]]:
        """Of the curves that have both."""
        read = {curve: [self.read(curve, column)[0] for column in self.pair] for curve in self.golden.curves}
        return {curve: values for curve, values in read.items() if np.isfinite(values).all()}

    def rivals(self, curve: str) -> list[str]:
        """The curves that are as good in both metrics and better in one."""
        signs = np.array([self.golden.columns[column].sign for column in self.pair])
        leads = {other: signs * (np.array(values) - self.values[curve]) for other, values in self.values.items()}
        return [other for other, lead in leads.items() if (lead >= 0).all() and lead.any()]

    # ----------------------------------------------------------------------------------------------------------- words

    def front(self) -> Iterator[str]:
        """The sentence that names the front."""
        names = ", ".join(curve for curve in self.values if not self.rivals(curve))
        images = f" Images: {self.images}." if self.images else ""
        found = f"Pareto front at {self.rate} bpp, of {len(self.values)} curves: {names}."
        yield (found if names else f"No front at {self.rate} bpp.") + images

    def table(self) -> Iterator[str]:
        """Every curve, those with the fewest rivals first, and those without a value last."""
        yield row("Curve", *map(self.golden.head, self.pair), "Pareto front")
        for curve in sorted(self.values, key=lambda each: len(self.rivals(each))):
            rivals = self.rivals(curve)
            standing = f"behind {', '.join(rivals)}" if rivals else "on the front"
            yield row(curve, *map(full, self.values[curve]), standing)
        for curve in self.golden.curves:
            if curve not in self.values:
                yield row(curve, "–", "–", next(filter(None, (self.read(curve, column)[1] for column in self.pair))))

    def points(self) -> Iterator[str]:
        """What each point says."""
        for curve, values in self.values.items():
            abouts = [self.golden.columns[column] for column in self.pair]
            read = [f"{about.title} {full(value)} {about.unit}".strip() for about, value in zip(abouts, values, strict=True)]
            standing = "not on the Pareto front" if self.rivals(curve) else "on the Pareto front"
            yield ", ".join([curve, f"{self.rate} bpp", "interpolated", *read, standing])

    def label(self) -> Iterator[str]:
        """What a screen reader says of the chart."""
        human, machine = map(self.golden.head, self.pair)
        yield f"{machine} over {human} at {self.rate} bits per pixel"

    def vertical(self) -> Iterator[str]:
        """The title of the vertical axis."""
        yield self.golden.head(self.machine)

    def slider(self) -> Iterator[str]:
        """What a screen reader says of the slider."""
        yield f"{self.rate} bits per pixel"

    def field(self) -> Iterator[str]:
        """The rate's own field."""
        yield str(self.rate)
