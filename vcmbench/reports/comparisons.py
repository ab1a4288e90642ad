"""A run's curves against one of them: BD values, values at its rates, and the rates that tasks ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vcmbench.interfaces import UsageError
from vcmbench.reports.bd import FEWEST_POINTS, Delta, bd_quality, bd_rate
from vcmbench.reports.curves import Better, Curve, measured_curve
from vcmbench.reports.matched_rate import MatchedValue, TaskRate, at_points_of, rate_for
from vcmbench.reports.summary import Summary, reported_columns
from vcmbench.reports.task_thresholds import Threshold, thresholds_of
from vcmbench.run_index import Index


@dataclass(frozen=True)
class Against:
    """One curve against the anchor, for one metric column."""

    bd_rate: Delta
    bd_quality: Delta
    at_its_rates: Sequence[MatchedValue]
    """The curve's values at the rates of the anchor's points, in rising rate."""


@dataclass(frozen=True)
class Comparisons:
    """Everything by metric column, then by curve."""

    anchor: str
    anchors: Mapping[str, Curve]
    """The anchor's own curve for each column."""
    against: Mapping[str, Mapping[str, Against]]
    """Of every other curve that has a rate parameter."""
    tasks: Mapping[str, Mapping[Threshold, Mapping[str, TaskRate]]]
    """Column → level → the rate that each curve needs, the anchor's too; columns without levels are absent."""


def choose_anchor(index: Index, wanted: str | None) -> str | None:
    """Return the wanted curve, by default the first with enough points; None where no setting is on a curve.

    Raises `UsageError` for a curve that the run does not have.
    """
    settings = _settings_of_curves(index)
    if wanted is not None and wanted not in settings:
        known = ", ".join(settings) or "none"
        raise UsageError(f"report.anchor: {wanted!r} is not a curve of this run; its curves are: {known}")
    enough = (name for name, each in settings.items() if len(each) >= FEWEST_POINTS)
    return wanted or next(enough, next(iter(settings), None))


def compare_curves(index: Index, summary: Summary, anchor: str | None = None) -> Comparisons | None:
    """Compare with the anchor that `choose_anchor` returns; None where there is none."""
    chosen = choose_anchor(index, anchor)
    if chosen is None:
        return None
    settings = _settings_of_curves(index)
    people = summary.clusters
    anchors: dict[str, Curve] = {}
    against: dict[str, dict[str, Against]] = {}
    tasks: dict[str, dict[Threshold, dict[str, TaskRate]]] = {}
    for column, record in reported_columns(index).items():
        curves = {name: _curve(index, summary, name, places, column, record.better) for name, places in settings.items()}
        anchors[column] = curves[chosen]
        against[column] = {
            name: Against(
                bd_rate(curves[chosen], curve, people),
                bd_quality(curves[chosen], curve, people),
                at_points_of(curves[chosen], curve, people),
            )
            for name, curve in curves.items()
            if name != chosen
        }
        if levels := thresholds_of(column):
            tasks[column] = {
                level: {name: rate_for(curve, level.level, people) for name, curve in curves.items()} for level in levels
            }
    return Comparisons(chosen, anchors, against, tasks)


def _settings_of_curves(index: Index) -> dict[str, list[int]]:
    """Curve → the places of its settings in the index; single points are on none."""
    settings: dict[str, list[int]] = {}
    for place, setting in enumerate(index.settings):
        if setting.rate_parameter:
            settings.setdefault(setting.curve, []).append(place)
    return settings


def _curve(index: Index, summary: Summary, name: str, places: list[int], column: str, better: Better) -> Curve:
    rates, values = (summary.table[f"{each}_mean"].to_pylist() for each in ("bpp", column))
    have_replicates = {"bpp", column} <= summary.replicates.keys()
    rate_rows, value_rows = (summary.replicates[each][:, places] if have_replicates else None for each in ("bpp", column))
    return measured_curve(
        name,
        [index.settings[place].variant for place in places],
        [rates[place] for place in places],
        [values[place] for place in places],
        better,
        rate_rows,
        value_rows,
    )
