"""A rate–performance curve of one metric: its points in rising rate, and what the bootstrap made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Better: TypeAlias = Literal["higher", "lower"] | None


@dataclass(frozen=True, eq=False)  # arrays have no single truth that a comparison could return
class Curve:
    """P points with a positive rate and a finite value, in rising rate; `measured_curve` makes it.

    `rates` (P, bits per pixel) and `values` (P, in the metric's unit) are means over the images; row d of
    `rate_replicates` and `value_replicates` (D×P, D may be 0) are the same means over the d-th bootstrap sample of
    identities, each row in rising rate. Row d of two curves is the same sample. A replicate may hold NaN.
    `left_out` names the points that had no such rate or value.
    """

    name: str
    points: tuple[str, ...]
    rates: Floats
    values: Floats
    better: Better
    rate_replicates: Floats
    value_replicates: Floats
    left_out: tuple[str, ...] = ()

    @property
    def rate_rows(self) -> Floats:
        """(1+D)×P: the rates, then their replicates."""
        return np.vstack([self.rates, self.rate_replicates])

    @property
    def value_rows(self) -> Floats:
        """(1+D)×P: the values, then their replicates."""
        return np.vstack([self.values, self.value_replicates])

    @property
    def quality(self) -> Floats:
        """The values, negated where lower is better (P)."""
        return self.direction * self.values

    @property
    def direction(self) -> int:
        """-1 where lower is better, else 1."""
        return -1 if self.better == "lower" else 1


def measured_curve(
    name: str,
    points: Sequence[str],
    rates: Sequence[float | None] | Floats,
    values: Sequence[float | None] | Floats,
    better: Better,
    rate_replicates: Floats | None = None,
    value_replicates: Floats | None = None,
) -> Curve:
    """Order the points of a curve by rate and leave out those without a positive rate and a finite value.

    Raises `ValueError` when the numbers of points do not agree.
    """
    rate, value = (np.asarray(given, dtype=np.float64) for given in (rates, values))
    rate_rows, value_rows = (
        np.empty((0, len(points))) if rows is None else np.asarray(rows, dtype=np.float64)
        for rows in (rate_replicates, value_replicates)
    )
    if not rate.shape == value.shape == (len(points),) or rate_rows.shape != value_rows.shape:
        raise ValueError(f"{name}: give P names, P rates, P values, and D×P replicates of both rates and values")
    if rate_rows.shape[1:] != rate.shape:
        raise ValueError(f"{name}: replicates are D×P, here of P = {len(points)} points, not {rate_rows.shape}")
    order = np.argsort(rate, kind="stable")
    usable = [place for place in order if np.isfinite(rate[place]) and rate[place] > 0 and np.isfinite(value[place])]
    rate_rows, value_rows = rate_rows[:, usable], value_rows[:, usable]
    rising = np.argsort(rate_rows, axis=1, kind="stable")
    return Curve(
        name=name,
        points=tuple(points[place] for place in usable),
        rates=rate[usable],
        values=value[usable],
        better=better,
        rate_replicates=np.take_along_axis(rate_rows, rising, axis=1),
        value_replicates=np.take_along_axis(value_rows, rising, axis=1),
        left_out=tuple(point for place, point in enumerate(points) if place not in usable),
    )


def unusable(curve: Curve, fewest: int) -> str:
    """Say why values cannot be read off the curve between its points, or nothing: too few points, or equal rates."""
    if len(curve.points) < fewest:
        without = f", and {len(curve.left_out)} without a rate or value" if curve.left_out else ""
        return f"{curve.name} has {_count(len(curve.points), 'usable point')}{without}; {fewest} are needed"
    for before, after in _not_rising(curve, curve.rates):
        return f"{curve.name}: the rate does not rise from {before} to {after}"
    return ""


def ambiguous(curve: Curve) -> str:
    """Say why a quality has not one rate on this curve, or nothing."""
    for before, after in _not_rising(curve, curve.quality):
        return f"{curve.name} does not get better from {before} to {after}, so that a quality has no single rate"
    return ""


def flags(curve: Curve) -> Iterator[str]:
    """Yield what a reader of any value of this curve must know."""
    if curve.left_out:
        yield f"{curve.name} without {', '.join(curve.left_out)}: no positive rate or no finite value"
    falls = list(_not_rising(curve, curve.quality)) if curve.better else []
    if falls:
        yield f"{curve.name} is not monotone: {', '.join(f'{before} to {after}' for before, after in falls)}"


def rises(rows: Floats) -> npt.NDArray[np.bool_]:
    """Whether each row (…×P) is finite and rises strictly."""
    return np.asarray((rows[..., 1:] > rows[..., :-1]).all(axis=-1) & np.isfinite(rows).all(axis=-1))


def pair(one: Curve, other: Curve) -> tuple[Curve, Curve]:
    """Return both curves, without replicates unless these are equally many and so may be of the same samples."""
    if len(one.rate_replicates) == len(other.rate_replicates):
        return one, other
    return without_replicates(one), without_replicates(other)


def without_replicates(curve: Curve) -> Curve:
    """Return the same curve with D = 0."""
    return replace(curve, rate_replicates=curve.rate_replicates[:0], value_replicates=curve.value_replicates[:0])


def _not_rising(curve: Curve, numbers: Floats) -> Iterator[tuple[str, str]]:
    for place in np.flatnonzero(~(numbers[1:] > numbers[:-1])):
        yield curve.points[place], curve.points[place + 1]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
