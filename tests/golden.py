"""A run's numbers recomputed from its files, by DuckDB, pandas, SciPy and the `bjontegaard` package; nothing of vcmbench."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

import bjontegaard  # type: ignore[import-untyped]  # ships no type hints
import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float] | None

DRAWS, SEED, FEWEST_PEOPLE, MOST_FAILED = 1000, 20210611, 20, 0.05


@dataclass(frozen=True)
class Golden:
    """The run in a folder; settings go by their variants, in the job's order."""

    folder: Path

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """Tables `rows`, of the shard files that the index names, and `manifest`."""
        connection = duckdb.connect()
        files = [str(self.folder / shard["file"]) for shard in self.index["shards"].values()]
        connection.execute(f"CREATE TABLE rows AS FROM read_parquet({files})")
        connection.execute(f"CREATE TABLE manifest AS FROM read_parquet('{self.folder / 'manifest.parquet'}')")
        return connection

    @cached_property
    def index(self) -> dict[str, dict[str, dict[str, str]]]:
        """The index as JSON."""
        found: dict[str, dict[str, dict[str, str]]] = json.loads((self.folder / "index.json").read_text())
        return found

    def query(self, sql: str) -> pd.DataFrame:
        """The answer to a query."""
        return self.database.execute(sql).df()

    @cache  # noqa: B019  # lives as long as the tests
    def common(self, column: str) -> pd.DataFrame:
        """Image × variant values of a column's common support, over which its means are."""
        finite = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END AS value"
        values: pd.DataFrame = self.database.table("rows").project(f"image, variant, {finite}").df()
        wide = values.pivot_table(index="image", columns="variant", values="value", dropna=False)
        return wide.dropna(axis="columns", how="all").dropna(axis="index")

    @cached_property
    def person_of(self) -> pd.Series[int]:
        """Image → the number of its identity, in the order in which the manifest first names them."""
        manifest = self.query("SELECT image, identity FROM manifest")
        return pd.Series(pd.factorize(manifest["identity"])[0], index=manifest["image"])

    @cached_property
    def draws(self) -> Floats:
        """How often each identity comes in each draw (D×identities)."""
        people = int(self.person_of.max()) + 1
        return np.random.default_rng(SEED).multinomial(people, np.full(people, 1 / people), DRAWS).astype(float)

    def replicates(self, values: pd.DataFrame) -> pd.DataFrame | None:
        """The means of each variant (D×variants) over the draws; None for too few people."""
        people = self.person_of.loc[values.index].to_numpy()
        if len(np.unique(people)) < FEWEST_PEOPLE:
            return None
        weights = self.draws[:, people]
        return pd.DataFrame(weights @ values.to_numpy() / weights.sum(axis=1, keepdims=True), columns=values.columns)

    def interval(self, values: pd.DataFrame, variant: str) -> Interval:
        """The 95 % interval of a variant's mean."""
        found = self.replicates(values)
        return None if found is None else percentiles(found[variant].to_numpy())

    def slice(self, column: str, condition: str) -> pd.DataFrame:
        """The part of a column's common support whose images fulfil a condition on the manifest."""
        chosen = self.database.table("manifest").filter(condition).df()["image"]
        values = self.common(column)
        return values[values.index.isin(chosen)]

    # ---------------------------------------------------------------------------------------------------------- curves

    def variants(self, curve: str) -> list[str]:
        """A curve's settings."""
        found: list[str] = self.database.table("rows").filter(f"curve = '{curve}'").df()["variant"].unique().tolist()
        return found

    def points(self, curve: str, column: str) -> tuple[Floats, Floats]:
        """The rates and values of a curve and of its replicates ((1+D)×P each), in rising rate."""
        variants = self.variants(curve)
        tables = [self.common(name) for name in ("bpp", column)]
        rates, values = (np.vstack([table[variants].mean(), self.replicates_of(table)[variants]]) for table in tables)
        order = np.argsort(rates, axis=1)
        return np.take_along_axis(rates, order, axis=1), np.take_along_axis(values, order, axis=1)

    def replicates_of(self, values: pd.DataFrame) -> pd.DataFrame:
        """The same of enough people."""
        found = self.replicates(values)
        assert found is not None
        return found


def percentiles(values: Floats) -> Interval:
    """The middle 95 % of what is not NaN, infinite where an end is; None where more than 5 % are NaN."""
    found = np.sort(values[~np.isnan(values)])
    if len(values) - len(found) > MOST_FAILED * len(values):
        return None
    places = [share * (len(found) - 1) for share in (0.025, 0.975)]
    ends = [(found[int(np.floor(place))], found[int(np.ceil(place))], place % 1) for place in places]
    low, high = (one + (two - one) * part if np.isfinite([one, two]).all() else np.inf for one, two, part in ends)
    return float(low), float(high)


def each_row(function: Callable[..., float], *rows: Floats) -> Floats:
    """The function of each row of all, NaN where it fails."""
    found = np.full(len(rows[0]), np.nan)
    for place, arguments in enumerate(zip(*rows, strict=True)):
        try:
            found[place] = function(*arguments)
        except ValueError:
            continue
    return found


def values_at(rates: Floats, values: Floats, wanted: Floats) -> Floats:
    """The PCHIP over log-rate at several rates; NaN outside."""
    found = PchipInterpolator(np.log(rates), values)(np.log(wanted))
    return np.where((rates[0] <= wanted) & (wanted <= rates[-1]), found, np.nan)


def bd_rate(anchor: tuple[Floats, Floats], test: tuple[Floats, Floats], sign: int) -> float:
    """The mean difference in rate in per cent; ValueError where a curve is not monotone."""
    (rate_1, value_1), (rate_2, value_2) = anchor, test
    one, two = PchipInterpolator(sign * value_1, np.log(rate_1)), PchipInterpolator(sign * value_2, np.log(rate_2))
    low = max(min(sign * value_1), min(sign * value_2))
    high = min(max(sign * value_1), max(sign * value_2))
    return 100 * float(np.expm1((two.integrate(low, high) - one.integrate(low, high)) / (high - low)))


def bd_quality(anchor: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> float:
    """The mean difference of the metric at equal rate."""
    (rate_1, value_1), (rate_2, value_2) = anchor, test
    one, two = PchipInterpolator(np.log(rate_1), value_1), PchipInterpolator(np.log(rate_2), value_2)
    low, high = np.log(max(rate_1[0], rate_2[0])), np.log(min(rate_1[-1], rate_2[-1]))
    return float((two.integrate(low, high) - one.integrate(low, high)) / (high - low))


def package_bd_rate(anchor: tuple[Floats, Floats], test: tuple[Floats, Floats], sign: int) -> float:
    """The package's BD-rate."""
    (rate_1, value_1), (rate_2, value_2) = anchor, test
    arguments = rate_1, sign * value_1, rate_2, sign * value_2
    return float(bjontegaard.bd_rate(*arguments, method="pchip", require_matching_points=False, min_overlap=0))


def package_bd_quality(anchor: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> float:
    """The package's BD-PSNR."""
    arguments = *anchor, *test
    return float(bjontegaard.bd_psnr(*arguments, method="pchip", require_matching_points=False, min_overlap=0))


def rate_for(rates: Floats, values: Floats, level: float, sign: int) -> float:
    """The rate from which on a curve stays at the level; -∞ and ∞ where that is everywhere and nowhere."""
    gaps = sign * (values - level)
    if gaps[-1] < 0:
        return np.inf
    below = np.flatnonzero(gaps < 0)
    if not len(below):
        return -np.inf
    low, high = np.log(rates[below[-1] : below[-1] + 2])
    interpolant = PchipInterpolator(np.log(rates), gaps)
    return float(np.exp(brentq(interpolant, low, high, xtol=1e-13)))
