"""A run's numbers recomputed from its files, by DuckDB, pandas and SciPy; nothing of vcmbench."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from golden_curves import Floats, Interval, Points, percentiles
from golden_sets import SetColumn, fid, kid, verification
from scipy.interpolate import PchipInterpolator

DRAWS, SEED, FEWEST_PEOPLE = 1000, 20210611, 20
SIGNS = {"higher": 1, "lower": -1, None: 0}


@dataclass(frozen=True)
class Column:
    """A metric column: its title, with the unit as `head` has it, which way is better, and its kind of vision."""

    title: str
    unit: str
    sign: int
    kind: str
    is_flag: bool
    is_of_sets: bool

    @property
    def head(self) -> str:
        """Title, unit and direction."""
        unit = f" ({self.unit})" if self.unit else ""
        return self.title + unit + {1: " ⇑", -1: " ⇓", 0: ""}[self.sign]


@dataclass(frozen=True)
class Golden:
    """The run in a folder; settings go by their variants, and everything is over the shards that the index names."""

    folder: Path

    @cached_property
    def index(self) -> dict[str, Any]:
        """The index as JSON."""
        found: dict[str, Any] = json.loads((self.folder / "index.json").read_text())
        return found

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """Tables `rows` and `features`, of the shards' files, and `manifest`, of their images."""
        connection = duckdb.connect()
        for table, kind in (("rows", "file"), ("features", "features")):
            files = [str(self.folder / shard[kind]) for shard in self.index["shards"].values()]
            connection.execute(f"CREATE TABLE {table} AS FROM read_parquet({files})")
        manifest, shards = self.folder / "manifest.parquet", ",".join(self.index["shards"])
        connection.execute(f"CREATE TABLE manifest AS FROM read_parquet('{manifest}') WHERE shard IN ({shards})")
        return connection

    def close(self) -> None:
        """Close the database, and forget what was made of it."""
        self.database.close()
        for each in (Golden.common, Golden.points, Golden.interpolants, Golden.inverses):
            each.cache_clear()

    def table(self, name: str, condition: str = "true") -> duckdb.DuckDBPyRelation:
        """The rows of a table that fulfil a condition."""
        return self.database.table(name).filter(condition)

    def number(self, table: str, condition: str = "true", *, of: str = "*") -> int:
        """How many of something, by default of rows, are in a table."""
        [(count,)] = self.table(table, condition).aggregate(f"count({of})").fetchall()
        return int(count)

    # ---------------------------------------------------------------------------------------------- columns, settings

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Metric column → what the index says of it; without columns of words."""
        return {
            name: Column(
                title=each["title"],
                unit=each["unit"],
                sign=SIGNS[each["better"]],
                kind=metric["kind"],
                is_flag=each["dtype"] == "bool",
                is_of_sets=is_of_sets,
            )
            for metric in self.index["metrics"]
            for is_of_sets, columns in ((False, metric["columns"]), (True, metric["set_columns"]))
            for name, each in columns.items()
            if each["dtype"] != "string"
        }

    def head(self, name: str) -> str:
        """A column's heading, which has the N of a set metric."""
        column = self.columns[name]
        return column.head + (f" N={self.n(name):,}" if column.is_of_sets else "")

    @cached_property
    def job(self) -> pd.DataFrame:
        """Variant → key, curve, rate_parameter and scalable, in the job's order."""
        return pd.DataFrame(self.index["settings"]).set_index("variant")

    @cached_property
    def curves(self) -> dict[str, list[str]]:
        """Curve → its variants in rising mean rate; the single point's is the last."""
        rates = self.means("bpp")
        return {
            str(curve): sorted(self.job.index[self.job["curve"] == curve], key=lambda variant: float(rates[variant]))
            for curve in self.job["curve"].unique()
        }

    @property
    def variants(self) -> list[str]:
        """All of them, curve by curve."""
        return [variant for variants in self.curves.values() for variant in variants]

    # ------------------------------------------------------------------------------------------------------- means

    @cache  # noqa: B019  # until `close`
    def common(self, column: str) -> pd.DataFrame:
        """Image × variant values of a column's common support, over which its means are."""
        finite = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END AS value"
        values: pd.DataFrame = self.table("rows").project(f"image, variant, {finite}").df()
        wide = values.pivot_table(index="image", columns="variant", values="value", dropna=False)
        return wide.dropna(axis="columns", how="all").dropna(axis="index")

    @cached_property
    def sets(self) -> dict[str, SetColumn]:
        """The columns of set metrics."""
        features = self.table("features").df()
        features["setting"] = features["setting"].map({"": "", **{key: variant for variant, key in self.job["key"].items()}})
        people = self.table("manifest").df().set_index("image")["identity"]
        return {
            "fid": fid(features),
            "kid": kid(features),
            "tar_at_far_1e_2": verification(features, people, 100),
            "tar_at_far_1e_3": verification(features, people, 1000),
        }

    def means(self, column: str, condition: str = "true") -> pd.Series[float]:
        """Each variant's mean, or a set metric's value; over some images, of which set metrics have none. NaN for none."""
        if column in self.sets:
            found = self.sets[column].value_of if condition == "true" else pd.Series(dtype=float)
        else:
            found = self.slice(column, condition).mean()
        return found.reindex(self.job.index)

    def n(self, column: str, condition: str = "true") -> int:
        """The number of images that the means are over."""
        if column in self.sets:
            return self.sets[column].n if condition == "true" else 0
        return len(self.slice(column, condition))

    def slice(self, column: str, condition: str) -> pd.DataFrame:
        """The part of a column's common support whose images fulfil a condition on the manifest."""
        values = self.common(column)
        return values[values.index.isin(self.table("manifest", condition).df()["image"])]

    # --------------------------------------------------------------------------------------------------- intervals

    @cached_property
    def person_of(self) -> pd.Series[int]:
        """Image → the number of its identity, in the order in which the manifest first names them."""
        manifest = self.table("manifest").df()
        return pd.Series(pd.factorize(manifest["identity"])[0], index=manifest["image"], dtype=int)

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

    def intervals(self, column: str, condition: str = "true") -> dict[str, Interval]:
        """The 95 % interval of each variant's mean; a set metric has none."""
        found = None if column in self.sets else self.replicates(self.slice(column, condition))
        return {variant: None if found is None else percentiles(found[variant].to_numpy()) for variant in self.job.index}

    # ------------------------------------------------------------------------------------------------------ curves

    @cache  # noqa: B019  # until `close`
    def points(self, curve: str, column: str) -> Points:
        """The points of a curve that have a value, with those of the draws, each in rising rate."""
        means = self.means(column)
        variants = [variant for variant in self.curves[curve] if np.isfinite(means[variant])]
        without = [variant for variant in self.job.index[self.job["curve"] == curve] if variant not in variants]
        values = self.rows(column, variants)
        rates = self.rows("bpp", variants)[: len(values)]
        order = np.argsort(rates, axis=1)
        return Points(
            curve, variants, without, np.take_along_axis(rates, order, axis=1), np.take_along_axis(values, order, axis=1)
        )

    def rows(self, column: str, variants: list[str]) -> Floats:
        """The means of some variants, then those of the draws ((1+D)×variants); a set metric has no draws."""
        means = self.means(column)[variants].to_numpy(np.float64)
        drawn = None if column in self.sets else self.replicates(self.common(column))
        return np.vstack([means, *([] if drawn is None else [drawn[variants].to_numpy(np.float64)])])

    @cache  # noqa: B019  # until `close`
    def interpolants(self, curve: str, column: str) -> list[PchipInterpolator | None]:
        """The metric over log-rate: of the means, then of each draw."""
        points = self.points(curve, column)
        return [pchip(np.log(rates), values) for rates, values in zip(points.rates, points.values, strict=True)]

    @cache  # noqa: B019  # until `close`
    def inverses(self, curve: str, column: str) -> list[PchipInterpolator | None]:
        """Log-rate over the quality, likewise; None where a quality has no single rate."""
        points, sign = self.points(curve, column), self.columns[column].sign
        return [pchip(sign * values, np.log(rates)) for rates, values in zip(points.rates, points.values, strict=True)]


def pchip(x: Floats, y: Floats) -> PchipInterpolator | None:
    """The interpolant of at least two points in strictly rising x."""
    return PchipInterpolator(x, y) if len(x) > 1 and (np.diff(x) > 0).all() else None
