"""One row per codec setting: what the images of a run's complete shards come to."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import SetValue
from vcmbench.reports.grid import Grid, open_grid
from vcmbench.reports.statistics import Floats, Resampling, Statistics, statistics
from vcmbench.reports.stored_features import SetValues, set_values
from vcmbench.results import SUMMARY, RunDirectory
from vcmbench.run_index import ColumnRecord, Index, SettingRecord, complete_shards

CODING = ("bpp", "bytes", "encode_ms", "decode_ms")
_FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Failure:
    """A reason for missing values: of a whole row (`column` is None), or of one metric column of a coded image."""

    column: str | None
    reason: str
    rows: int


@dataclass(frozen=True)
class Summary:
    """What a run's complete shards hold.

    `table` has one row per setting of the index, in its order: setting, family, curve, variant, rate_parameter, rate;
    images (rows), errors (rows with status "error"), common (images in the common support of the coding);
    bpp, bytes, encode_ms and decode_ms, each with _mean, _median, _low and _high; and for every metric column X that is not
    a string X_mean (a flag's share of true), X_low and X_high (its 95 % bootstrap interval over identities, null for fewer
    than 20), X_std (sample standard deviation), X_p5, X_median and X_p95, X_n (images in its common support) and X_coverage
    (rows with a value / images). A value that is not finite counts as missing. For a column X of a set metric, X_mean is
    its value, X_std its error where one is known, X_n the number of images, and the others are null.
    `failures` lists the most frequent reasons, and `notes` what a reader of the means must know, as sentences.
    """

    table: pa.Table
    replicates: Mapping[str, Floats]
    """Of bpp and metric columns: D×S means of the bootstrap's draws, which are the same images for all columns; absent
    where there is no interval."""
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    images: int
    identities: int
    clusters: int
    """What the bootstrap draws: identities, and images that have none."""
    complete_shards: int
    total_shards: int

    @property
    def common(self) -> int:
        """The number of images that every compared setting coded."""
        return pc.max(self.table["common"]).as_py() or 0


def summarise(run: RunDirectory, index: Index) -> Summary:
    """Summarise the complete shards of a run; result files that cannot be read raise `UsageError`.

    A setting without any value of a column would empty the column's common support, so it is left out of it, and `notes`
    says so.
    """
    with open_grid(run, index) as grid:
        resampling = Resampling.of(grid.clusters)
        by_column = grid.each([*CODING, *numeric_columns(index)], lambda _, values: statistics(values, resampling))
        return summary_of(run, index, grid, by_column)


def summary_of(run: RunDirectory, index: Index, grid: Grid, by_column: Mapping[str, Statistics]) -> Summary:
    """Put the summary together from the statistics of every column, as `summarise` does."""
    sets = set_values(run, index, complete_shards(index))
    return Summary(
        table=_table(index, grid, by_column, sets),
        replicates={name: each.replicates for name, each in by_column.items() if each.replicates is not None},
        failures=_failures(grid, [*index.columns, *(feature_keys(name)[0] for name in index.features)]),
        notes=(*_notes(index, grid, by_column, sets), *_notes_of_sets(index, sets)),
        images=int(grid.rows.max(initial=0)),
        identities=grid.identities,
        clusters=int(grid.clusters.max(initial=-1)) + 1,
        complete_shards=len(grid.files),
        total_shards=len(run.shard_sizes()),
    )


def store(run: RunDirectory, summary: Summary) -> None:
    """Write the table as the run's `summary.parquet`."""
    buffer = io.BytesIO()
    pq.write_table(summary.table, buffer)
    run.write(SUMMARY, buffer.getvalue())


def numeric_columns(index: Index) -> dict[str, ColumnRecord]:
    """The metric columns that have a mean: numbers and flags."""
    return {name: column for name, column in index.columns.items() if column.dtype in {"float", "bool"}}


def reported_columns(index: Index) -> dict[str, ColumnRecord]:
    """The columns of the summary: those that have a mean, and the set metrics', metric by metric."""
    numeric = numeric_columns(index)
    return {
        name: column
        for metric in index.metrics
        for name, column in {**metric.columns, **metric.set_columns}.items()
        if name in numeric or name in metric.set_columns
    }


# -------------------------------------------------------------------------------------------------------- the table


def _table(index: Index, grid: Grid, by_column: Mapping[str, Statistics], sets: SetValues) -> pa.Table:
    settings = index.settings
    words = ("family", "curve", "variant", "rate_parameter")
    columns = {
        "setting": pa.array([setting.key for setting in settings], pa.string()),
        **{word: pa.array([getattr(setting, word) for setting in settings], pa.string()) for word in words},
        "rate": pa.array([_rate(setting) for setting in settings], pa.float64()),
        "images": pa.array(grid.rows),
        "errors": pa.array(grid.errors),
        "common": _counts(by_column["bpp"]),
    }
    for name in CODING:
        shown = _statistics_columns(by_column[name], grid)
        columns |= {f"{name}_{statistic}": shown[statistic] for statistic in ("mean", "median", "low", "high")}
    for name in reported_columns(index):
        shown = _set_columns(sets[name], index) if name in sets else _statistics_columns(by_column[name], grid)
        columns |= {f"{name}_{statistic}": values for statistic, values in shown.items()}
    return pa.table(columns)


def _statistics_columns(found: Statistics, grid: Grid) -> dict[str, pa.Array]:
    low, high = found.interval.T
    p5, median, p95 = found.percentiles.T
    coverage = np.divide(found.valid, grid.rows, where=grid.rows > 0, out=np.full(len(grid.rows), np.nan))
    numbers = {"mean": found.mean, "low": low, "high": high, "std": found.std, "p5": p5, "median": median, "p95": p95}
    return {**_nullable(numbers), "n": _counts(found), **_nullable({"coverage": coverage})}


def _counts(found: Statistics) -> pa.Array:
    return pa.array(np.where(found.compared, found.n, 0))


def _nullable(numbers: Mapping[str, Floats]) -> dict[str, pa.Array]:
    return {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in numbers.items()}


def _set_columns(values: Mapping[str, SetValue], index: Index) -> dict[str, pa.Array]:
    found = [values.get(setting.key) for setting in index.settings]
    return {
        "mean": pa.array([each and each.value for each in found], pa.float64()),
        "std": pa.array([each and each.error for each in found], pa.float64()),
        "n": pa.array([each.n if each else 0 for each in found], pa.int64()),
        **{name: pa.nulls(len(found), pa.float64()) for name in ("low", "high", "p5", "median", "p95", "coverage")},
    }


def _rate(setting: SettingRecord) -> float | None:
    value = setting.params.get(setting.rate_parameter) if setting.rate_parameter else None
    return None if value is None or isinstance(value, str) else float(value)


# ------------------------------------------------------------------------------------------- failures and notes


def _failures(grid: Grid, columns: Collection[str]) -> tuple[Failure, ...]:
    """The most frequent reasons of missing rows and values, the most frequent first."""
    asked = [(number, column, reason) for (column, reason), number in grid.reasons.items() if column in {None, *columns}]
    asked.sort(key=lambda each: (-each[0], each[1] or "", each[2]))
    return tuple(Failure(column, reason, number) for number, column, reason in asked[:_FAILURES_SHOWN])


def _notes(index: Index, grid: Grid, by_column: Mapping[str, Statistics], sets: SetValues) -> Iterator[str]:
    if not grid.rows.any():
        return
    variants = [setting.variant for setting in index.settings]
    coded = by_column["bpp"].compared
    if not coded.all():
        yield f"No image could be coded with {_listed(_chosen(variants, ~coded))}: left out of the common support."
    if coded.any() and not by_column["bpp"].n:
        yield "No image was coded with every other setting, so the common support is empty."
    for name, column in reported_columns(index).items():
        n, scored = _support(index, by_column, sets, name)
        if coded.any() and not scored.any():
            yield f"{column.title}: no image has a value."
        elif (coded & ~scored).any():
            without = _listed(_chosen(variants, coded & ~scored))
            yield f"{column.title}: no image has a value with {without}, left out of this column's common support."
        if scored.any() and not n:
            yield f"{column.title}: no image has a value with every compared setting, so its means are empty."


def _support(
    index: Index, by_column: Mapping[str, Statistics], sets: SetValues, name: str
) -> tuple[int, npt.NDArray[np.bool_]]:
    """How many images a column's values are over, and which settings have any."""
    if name not in sets:
        return by_column[name].n, by_column[name].compared
    values = sets[name]
    return max((value.n for value in values.values()), default=0), np.array([s.key in values for s in index.settings])


def _chosen(variants: Sequence[str], flags: npt.NDArray[np.bool_]) -> list[str]:
    return [variant for variant, flag in zip(variants, flags, strict=True) if flag]


def _notes_of_sets(index: Index, sets: SetValues) -> Iterator[str]:
    """Each note once, after the titles of all columns that it is about."""
    titles: defaultdict[str, list[str]] = defaultdict(list)
    for column, values in sets.items():
        for note in dict.fromkeys(found.note for found in values.values() if found.note):
            titles[note].append(index.set_columns[column].title)
    for note, about in titles.items():
        yield f"{', '.join(about)}: {note}."


def _listed(variants: Sequence[str]) -> str:
    return variants[0] if len(variants) == 1 else f"{len(variants)} settings ({', '.join(variants)})"
