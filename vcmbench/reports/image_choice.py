"""Which images and settings the figures show, where the job does not say.

Images are picked without a look at any value, so that no codec is favoured: evenly spaced over the manifest, each of another
person as far as there are enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcmbench.interfaces import UsageError
from vcmbench.reports.summary import Summary
from vcmbench.reports.tables import by_curve
from vcmbench.run_index import Index, SettingRecord

IMAGES, SETTINGS = 6, 10
"""How many a figure shows."""
NAMED = 5
"""Curves without a setting in the figure that are named."""


@dataclass(frozen=True)
class ShownSettings:
    """The settings of a figure from left to right, and in words what is left out."""

    settings: tuple[SettingRecord, ...]
    notes: tuple[str, ...]


def choose_settings(index: Index, summary: Summary, wanted: Sequence[str]) -> ShownSettings:
    """Return the wanted variants in their order; if none are wanted, at most 10, spread over each curve's rates.

    Every curve has its lowest and its highest rate before any has more; of more than 10 curves the last are left out. A
    variant that the run does not have raises `UsageError`.
    """
    known = {setting.variant: setting for setting in index.settings}
    for variant in wanted:
        if variant not in known:
            raise UsageError(f"report.settings: {variant!r} is no setting of this run; its settings are: {', '.join(known)}")
    if wanted:
        return ShownSettings(tuple(known[variant] for variant in dict.fromkeys(wanted)), ())
    rows = by_curve(summary)
    curves: dict[str, list[SettingRecord]] = {}
    for row in [row for row in rows if row["bpp_mean"] is not None] or rows:  # what coded no image has nothing to show
        curves.setdefault(row["curve"], []).append(known[row["variant"]])
    numbers = _shares([len(settings) for settings in curves.values()], SETTINGS)
    shown = {name: _evenly(settings, number) for (name, settings), number in zip(curves.items(), numbers, strict=True)}
    return ShownSettings(tuple(setting for each in shown.values() for setting in each), tuple(_left_out(index, shown)))


def _shares(lengths: Sequence[int], places: int) -> list[int]:
    """Give out places in turn, none to a curve beyond its length."""
    shares = [0] * len(lengths)
    while places > 0 and shares != list(lengths):
        for curve, length in enumerate(lengths):
            if places > 0 and shares[curve] < length:
                shares[curve] += 1
                places -= 1
    return shares


def _left_out(index: Index, shown: Mapping[str, Sequence[SettingRecord]]) -> Iterator[str]:
    numbers = Counter(setting.curve for setting in index.settings)
    for name, settings in shown.items():
        if 0 < len(settings) < numbers[name]:
            yield f"{name}: {len(settings)} of {numbers[name]} settings shown"
    absent = [name for name in numbers if not shown.get(name)]
    if absent:
        more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
        yield f"not shown: {', '.join(absent[:NAMED])}{more}"


def _evenly(items: Sequence[SettingRecord], number: int) -> list[SettingRecord]:
    """So many of the items, the first and the last among them; of one alone, the middle one."""
    if number == 1:
        return [items[(len(items) - 1) // 2]]
    return [items[place] for place in _spaced(len(items), number)]


def choose_images(coded: npt.NDArray[np.bool_], people: npt.NDArray[np.int64], feature_images: int) -> list[int]:
    """Return the places of at most 6 of I images, given which of them every shown setting coded, and who they are of.

    They are of the first `feature_images`, whose landmarks are stored, and were coded with every setting, as far as there
    are such.
    """
    everything = np.arange(len(coded))
    candidates = everything[coded & (everything < feature_images)]
    if not len(candidates):
        candidates = everything[coded] if coded.any() else everything
    firsts = np.sort(np.unique(people[candidates], return_index=True)[1])
    pool = candidates[firsts] if len(firsts) >= IMAGES else candidates
    return [int(pool[place]) for place in _spaced(len(pool), min(IMAGES, len(pool)))]


def _spaced(length: int, number: int) -> list[int]:
    return [int(place) for place in np.rint(np.linspace(0, length - 1, number))]
