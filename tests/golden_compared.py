"""What the golden run's page should say of curves against each other: values, intervals and every note, with all digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from golden import DRAWS, Golden
from golden_curves import (
    MOST_FAILED,
    Floats,
    Interval,
    Points,
    each,
    mean_gap,
    package_bd_quality,
    package_bd_rate,
    percentiles,
    rate_for,
    rate_gap,
    value_at,
)
from golden_page import full, row

LEVELS = {
    "psnr_rgb": (30, 33),
    "psnr_y": (30, 33),
    "nme_box": (0.03, 0.02),
    "face_detected": (0.95, 0.99),
    "tar_at_far_1e_2": (0.95,),
    "tar_at_far_1e_3": (0.95,),
}
FEWEST_FOR_BD, FEWEST = 4, 2


@dataclass(frozen=True)
class Cell:
    """A value, NaN for none, with its interval and its notes."""

    value: float
    interval: Interval
    notes: tuple[str, ...]


def comparisons(golden: Golden, anchor: str) -> Iterator[str]:
    """All tables in their order, each its title, its rows and its notes."""
    curves = [curve for curve, variants in golden.curves.items() if golden.job["rate_parameter"][variants].notna().all()]
    others = [curve for curve in curves if curve != anchor]
    heads = [golden.head(column) for column in golden.columns]
    titles = iter(titles_of_comparisons(golden, anchor))
    for cell in (bd_rate, bd_quality):
        rows = {curve: [cell(golden, column, anchor, curve) for column in golden.columns] for curve in others}
        yield from table(next(titles), heads, rows)
    levels = [(column, level) for column, several in LEVELS.items() for level in several]
    asked = [f"{golden.columns[column].head} {level}" for column, level in levels]
    tasks = {curve: [task(golden, column, level, curve) for column, level in levels] for curve in [anchor, *others]}
    yield from table(next(titles), asked, tasks)
    for column in golden.columns:
        rates = golden.points(anchor, column).rates
        rows = {curve: [at_rate(golden, column, rate, curve) for rate in rates.T] for curve in others}
        yield from table(next(titles), [f"{full(rate)} bpp" for rate in rates[0]], rows)


def titles_of_comparisons(golden: Golden, anchor: str) -> list[str]:
    """Of all tables in their order."""
    at_rates = [f"{golden.head(column)} at the rates of {anchor}, interpolated" for column in golden.columns]
    bd = f"BD-rate, %, against {anchor}", f"BD-quality, in the metric's unit, against {anchor}"
    return [*bd, "Rate for the task, bpp", *at_rates]


def table(title: str, heads: Sequence[str], rows: dict[str, list[Cell]]) -> Iterator[str]:
    """A note of every cell that has a value stands under the table, others have numbers in the order of the cells."""
    cells = [cell for several in rows.values() for cell in several]
    with_value = [cell.notes for cell in cells if np.isfinite(cell.value)]
    common = [note for note in (with_value[0] if with_value else ()) if all(note in notes for notes in with_value)]
    numbered = list(dict.fromkeys(note for cell in cells for note in cell.notes if note not in common))

    def spelled(cell: Cell) -> str:
        value, *interval = full(cell.value, cell.interval).split(" ", 1)
        numbers = "".join(f"[{numbered.index(note) + 1}]" for note in cell.notes if note in numbered)
        return " ".join([value, *([numbers] if numbers else []), *interval])

    yield title
    yield row("Curve", *heads)
    for curve, several in rows.items():
        yield row(curve, *map(spelled, several))
    yield from common
    yield from numbered


# --------------------------------------------------------------------------------------------------------------- cells


def bd_rate(golden: Golden, column: str, anchor: str, curve: str) -> Cell:
    """Where both curves are monotone: the package's value, and the interval over the same draws."""
    both, sign = [golden.points(name, column) for name in (anchor, curve)], golden.columns[column].sign
    flags = [note for points in both for note in about(points, sign)]
    few = [note for points in both for note in too_few(points, FEWEST_FOR_BD)]
    several = [
        f"{points.curve} does not get better from {steps[0][0]} to {steps[0][1]}, so that a quality has no single rate"
        for points in both
        if (steps := falls(points, sign))
    ]
    if not sign:
        return Cell(np.nan, None, ("the metric has no better direction, so that no rate is the one of a quality", *flags))
    if few or several:
        return Cell(np.nan, None, ((few or several)[0], *flags))
    found = each(rate_gap, *(golden.inverses(name, column) for name in (anchor, curve)))
    assert found[0] == pytest.approx(package_bd_rate(both[0], both[1], sign), abs=1e-6)
    return measured(found, flags)


def bd_quality(golden: Golden, column: str, anchor: str, curve: str) -> Cell:
    """The package's value, and the interval over the same draws."""
    both, sign = [golden.points(name, column) for name in (anchor, curve)], golden.columns[column].sign
    flags = [note for points in both for note in about(points, sign)]
    if few := [note for points in both for note in too_few(points, FEWEST_FOR_BD)]:
        return Cell(np.nan, None, (few[0], *flags))
    found = each(mean_gap, *(golden.interpolants(name, column) for name in (anchor, curve)))
    assert found[0] == pytest.approx(package_bd_quality(*both), abs=1e-6)
    return measured(found, flags)


def at_rate(golden: Golden, column: str, rates: Floats, curve: str) -> Cell:
    """A curve at a rate that varies with the draws (1+D); none outside its own."""
    points = golden.points(curve, column)
    flags = about(points, golden.columns[column].sign)
    if few := too_few(points, FEWEST):
        return Cell(np.nan, None, (few[0], *flags))
    first, last = points.rates[0, [0, -1]]
    if not first <= rates[0] <= last:
        return Cell(np.nan, None, (f"outside the rates of {curve}, {first:.3g} to {last:.3g} bpp", *flags))
    return measured(each(value_at, golden.interpolants(curve, column), rates), flags)


def task(golden: Golden, column: str, level: float, curve: str) -> Cell:
    """The rate at which a curve gets to a level and stays there; none where it does not, or is there already."""
    points, sign = golden.points(curve, column), golden.columns[column].sign
    reached = sign * (points.values[0] - level) >= 0
    lost = [points.variants[place + 1] for place in np.flatnonzero(reached[:-1] & ~reached[1:])]
    flags = [*about(points, sign), *([f"{curve} loses the level again at {', '.join(lost)}"] if lost else [])]
    if few := too_few(points, FEWEST):
        return Cell(np.nan, None, (few[0], *flags))
    if reached.all() or not reached[-1]:
        already, never = "reached already at the lowest rate", "not reached"
        reason = already if reached.all() else "reached, but not at the highest rate" if reached.any() else never
        return Cell(np.nan, None, (reason, *flags))
    found = each(lambda interpolant: rate_for(interpolant, level, sign), golden.interpolants(curve, column))
    beyond = {"reached already at the lowest rate": -np.inf, "not reached from any rate on": np.inf}
    counts = {told: int((found[1:] == end).sum()) for told, end in beyond.items()}
    told = [f"{told} in {count:,} of {DRAWS:,} bootstrap replicates" for told, count in counts.items() if count]
    cell = measured(found, flags)
    return Cell(cell.value, cell.interval, (*cell.notes, *told))


# --------------------------------------------------------------------------------------------------------------- notes


def measured(found: Floats, flags: Sequence[str]) -> Cell:
    """A value with the interval of its replicates (1+D), and what is to be known of it."""
    failed = int(np.isnan(found[1:]).sum())
    told = f"{failed:,} of {DRAWS:,} bootstrap replicates have no value"
    if len(found) == 1:
        notes = ["no interval: there are no common bootstrap replicates"]
    elif failed > MOST_FAILED * DRAWS:
        notes = [f"no interval: {told}, more than {100 * MOST_FAILED:.0f}%"]
    else:
        notes = [f"{told} and are left out of the interval"] if failed else []
    return Cell(float(found[0]), percentiles(found[1:]), (*flags, *notes))


def about(points: Points, sign: int) -> list[str]:
    """What is to be known of any value of a curve."""
    without = f"{points.curve} without {', '.join(points.without)}: no positive rate or no finite value"
    steps = ", ".join(f"{before} to {after}" for before, after in falls(points, sign)) if sign else ""
    return [*([without] if points.without else []), *([f"{points.curve} is not monotone: {steps}"] if steps else [])]


def falls(points: Points, sign: int) -> list[tuple[str, str]]:
    """From where to where a curve gets no better."""
    steps = zip(pairwise(points.variants), np.diff(sign * points.values[0]), strict=True)
    return [step for step, rise in steps if rise <= 0]


def too_few(points: Points, fewest: int) -> list[str]:
    """Why a curve cannot be interpolated, if it cannot."""
    if len(points.variants) >= fewest:
        return []
    count = f"{len(points.variants)} usable point{'s' if len(points.variants) != 1 else ''}"
    without = f", and {len(points.without)} without a rate or value" if points.without else ""
    return [f"{points.curve} has {count}{without}; {fewest} are needed"]
