"""What the tables and charts of the golden run's page should say, as `golden_page.lines` reads them, with all digits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from golden import Golden
from golden_curves import percentiles
from golden_page import full, row

SLICES = {
    "gender: f": "gender = 'f'",
    "gender: m": "gender = 'm'",
    "gender: not known": "gender IS NULL",
    "glasses: false": "NOT glasses",
    "glasses: true": "glasses",
    "source face size: under 64 px": "face_size < 64",
    "source face size: 64 to under 128 px": "face_size >= 64 AND face_size < 128",
    "source face size: 128 to under 256 px": "face_size >= 128 AND face_size < 256",
    "source face size: 256 px and more": "face_size >= 256",
    "source face size: not known": "face_size IS NULL",
}
"""A slice → the images of it."""

FAILED = "status = 'error'"


def facts(golden: Golden) -> Iterator[str]:
    """The page's first list: images, common support, identities, settings, columns, errors."""
    yield f"{golden.number('rows', of='DISTINCT image')} images"
    yield f"{golden.n('bpp')} of them coded with every compared setting"
    yield f"{golden.number('rows', of='DISTINCT identity')} identities"
    yield f"{golden.number('rows', of='DISTINCT variant')} codec settings"
    yield f"{sum(len(metric['columns'] | metric['set_columns']) for metric in golden.index['metrics'])} metric columns"
    yield f"{golden.number('rows', FAILED)} error rows"


def rate_performance(golden: Golden) -> Iterator[str]:
    """The table: every mean, the number of images, and which means are bold."""
    columns = ["bpp", *golden.columns]
    yield row("Setting", "bpp", *(golden.head(column) for column in golden.columns), "n")
    bold = {column: best(golden, column) for column in columns}
    for variant in golden.variants:
        cells = [(full(golden.means(column)[variant]), variant in bold[column]) for column in columns]
        yield row(variant, *(f"*{value}*" if is_best else value for value, is_best in cells), str(golden.n("bpp")))


def best(golden: Golden, column: str) -> set[str]:
    """The best variant, and those whose lead of the best over them is not above 0 in 97.5 % of the draws."""
    sign = golden.columns[column].sign if column in golden.columns else 0
    means = (sign * golden.means(column)).dropna()
    if not sign or len(means) < 2:
        return set()
    first = str(means.idxmax())
    replicates = None if column in golden.sets else golden.replicates(golden.common(column))
    if replicates is None:
        return {first}
    leads = {variant: np.percentile(sign * (replicates[first] - replicates[variant]), 2.5) for variant in means.index}
    return {str(variant) for variant, lead in leads.items() if lead <= 0}


def details(golden: Golden) -> Iterator[str]:
    """Rows, errors, mean bytes, median times and the coverage of columns that lack values of coded images."""
    names = [name for name, column in golden.columns.items() if not column.is_of_sets]
    having = ", ".join(f"count(*) FILTER (isfinite({name}::DOUBLE)) AS {name}" for name in names)
    errors = f"count(*) FILTER ({FAILED}) AS errors"
    counted = golden.table("rows").aggregate(f"variant, count(*) AS images, {errors}, {having}", "variant").df()
    counted = counted.set_index("variant")
    partial = [name for name in names if (counted[name] < counted["images"] - counted["errors"]).any()]
    titles = [f"{golden.columns[name].title}: coverage, %" for name in partial]
    yield row("Setting", "Images", "Errors", "Bytes", "Encoding, ms", "Decoding, ms", *titles)
    sizes = golden.common("bytes").mean(), golden.common("encode_ms").median(), golden.common("decode_ms").median()
    for variant in golden.variants:
        each = {str(name): int(count) for name, count in counted.loc[variant].items()}
        shares = [full(100 * each[name] / each["images"]) for name in partial]
        yield row(
            variant, str(each["images"]), str(each["errors"]), *(full(float(size[variant])) for size in sizes), *shares
        )


def failures(golden: Golden) -> Iterator[str]:
    """Why rows and values are missing, the most frequent reason first."""
    yield row("Missing", "Reason", "Rows")
    found = golden.database.execute(
        """WITH pairs AS (SELECT unnest(map_entries(metric_errors)) AS pair FROM rows WHERE status = 'ok'),
                reasons AS (SELECT pair.key AS missing, pair.value AS reason FROM pairs
                            UNION ALL SELECT '', error FROM rows WHERE status = 'error')
           SELECT missing, reason, count(*) AS n FROM reasons GROUP BY missing, reason ORDER BY n DESC, missing, reason"""
    ).fetchall()
    yield from (row(missing or "the whole row", reason, str(n)) for missing, reason, n in found)


def sliced(golden: Golden, column: str) -> Iterator[str]:
    """Each slice's n, means and intervals beside those over all images."""
    parts = {"All images": "true", **SLICES}
    yield row("Setting", "All images", *(f"{name} n = {golden.n(column, images)}" for name, images in SLICES.items()))
    found = [(golden.means(column, images), golden.intervals(column, images)) for images in parts.values()]
    for variant in golden.variants:
        yield row(variant, *(full(means[variant], intervals[variant]) for means, intervals in found))


def layers(golden: Golden, curve: str) -> Iterator[str]:
    """What each layer of a scalable curve weighs, and gains per hundredth of a bit, with its interval."""
    yield curve
    yield row("Layer, up to", "Bytes", "bpp", "Share, %", *(golden.head(column) for column in golden.columns))
    variants = golden.curves[curve]
    sizes, rates = (golden.means(column)[variants].to_numpy() for column in ("bytes", "bpp"))
    weights = np.diff(sizes, prepend=0), np.diff(rates, prepend=0), 100 * np.diff(sizes, prepend=0) / sizes[-1]
    gains = [["–"] * len(golden.columns)]
    gains += [[gain(golden, column, *step) for column in golden.columns] for step in pairwise(variants)]
    for variant, weight, gained in zip(variants, zip(*weights, strict=True), gains, strict=True):
        yield row(variant, *map(full, weight), *gained)


def gain(golden: Golden, column: str, before: str, after: str) -> str:
    """One layer's cell."""
    value = _per_bit(golden.means("bpp"), golden.means(column), before, after)
    bits = golden.replicates(golden.common("bpp"))
    values = None if column in golden.sets else golden.replicates(golden.common(column))
    drawn = None if bits is None or values is None else percentiles(_per_bit(bits, values, before, after).to_numpy())
    return full(value, drawn)


def _per_bit(bits: Any, values: Any, before: str, after: str) -> Any:
    return (values[after] - values[before]) / (bits[after] - bits[before]) / 100


def points(golden: Golden, column: str, images: str) -> Iterator[str]:
    """What every point of a chart says, curve by curve in rising rate: rate, mean, interval, n."""
    rates, means, intervals = golden.means("bpp", images), golden.means(column, images), golden.intervals(column, images)
    about = golden.columns[column]
    for variants in golden.curves.values():
        for variant in sorted(variants, key=lambda each: float(rates[each])):
            if np.isfinite(means[variant]):
                value = f"{about.title} {full(means[variant])} {about.unit}".strip()
                interval = [f"95 %: {' to '.join(map(full, ends))}" for ends in (intervals[variant],) if ends]
                n = f"n = {golden.n(column, images)}"
                yield ", ".join([variant, f"{full(rates[variant])} bpp", value, *interval, n])
