"""One row per codec setting, computed from a run's result files by DuckDB.

Only the files that the index names, and of them only the shards that are complete, are read. A mean is taken over the
column's *common support*: the images that have a value of the column for every compared setting, so that two settings are
never compared on different images.
"""

from __future__ import annotations

import contextlib
import glob
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import SetValue, UsageError
from vcmbench.reports.stored_features import SetValues, set_values
from vcmbench.results import SUMMARY, ColumnRecord, Index, RunDirectory, SettingRecord, complete_shards, row_schema

_TIMES = ("encode_ms", "decode_ms")
_CODING = ("bpp", "bytes", *_TIMES)
_FAILURES_SHOWN = 20
_SQL_TYPES = {"float": "DOUBLE", "bool": "BOOLEAN"}
_ROW_TYPES = {
    "image": "VARCHAR",
    "identity": "VARCHAR",
    "setting": "VARCHAR",
    "status": "VARCHAR",
    "error": "VARCHAR",
    "metric_errors": "MAP(VARCHAR, VARCHAR)",
    **dict.fromkeys(_CODING, "DOUBLE"),
}


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
    bpp_mean, bytes_mean, encode_ms_mean and _median, decode_ms_mean and _median; and for every metric column X that is not
    a string X_mean (a flag's share of true), X_std (sample standard deviation), X_n (images in its common support) and
    X_coverage (rows with a value / images). A value that is not finite counts as missing. For a column X of a set metric,
    X_mean is its value, X_std its error where one is known, X_n the number of images, and X_coverage null.
    `failures` lists the most frequent reasons, and `notes` what a reader of the means must know, as sentences.
    """

    table: pa.Table
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    images: int
    identities: int
    complete_shards: int
    total_shards: int

    @property
    def common(self) -> int:
        """The number of images that every compared setting coded."""
        return pc.max(self.table["common"]).as_py() or 0


@dataclass(frozen=True)
class _Statistics:
    """One column of one setting; all but `valid` refer to the column's common support."""

    valid: int | None
    n: int
    mean: float | None
    std: float | None
    median: float | None


_NO_VALUES = _Statistics(valid=0, n=0, mean=None, std=None, median=None)

_ByColumn = dict[str, dict[str, _Statistics]]
"""Column → setting → statistics; a setting without any value of the column is absent."""


def summarise(run: RunDirectory, index: Index) -> Summary:
    """Summarise the complete shards of a run; result files that cannot be read raise `UsageError`.

    A setting without any value of a column would empty the column's common support, so it is left out of it, and `notes`
    says so.
    """
    shards = complete_shards(index)
    files = [index.shards[shard].file for shard in shards]
    with _rows(run, index, files) as connection:
        rows, errors, identities = _counts(connection)
        statistics = {column: _statistics(connection, column) for column in (*_CODING, *numeric_columns(index))}
        failures = _failures(connection, [*index.columns, *(feature_keys(name)[0] for name in index.features)])
    sets = set_values(run, index, shards)
    statistics |= {column: _of_sets(values) for column, values in sets.items()}
    records = [_record(setting, rows, errors, statistics) for setting in index.settings]
    return Summary(
        table=pa.Table.from_pylist(records, schema=_schema(list(reported_columns(index)))),
        failures=failures,
        notes=(*_notes(index, rows, statistics), *_notes_of_sets(index, sets)),
        images=max(rows.values(), default=0),
        identities=identities,
        complete_shards=len(shards),
        total_shards=len(run.shard_sizes()),
    )


def store(run: RunDirectory, summary: Summary) -> None:
    """Write the table as the run's `summary.parquet`."""
    buffer = io.BytesIO()
    pq.write_table(summary.table, buffer)
    run.write(SUMMARY, buffer.getvalue())


def numeric_columns(index: Index) -> dict[str, ColumnRecord]:
    """The metric columns that have a mean: numbers and flags."""
    return {name: column for name, column in index.columns.items() if column.dtype in _SQL_TYPES}


def reported_columns(index: Index) -> dict[str, ColumnRecord]:
    """The columns of the summary: those that have a mean, and the set metrics', metric by metric."""
    numeric = numeric_columns(index)
    return {
        name: column
        for metric in index.metrics
        for name, column in {**metric.columns, **metric.set_columns}.items()
        if name in numeric or name in metric.set_columns
    }


# ------------------------------------------------------------------------------------------------------- the rows


@contextlib.contextmanager
def _rows(run: RunDirectory, index: Index, files: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that knows `rows`: what the files hold of the index's settings."""
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(config=_configuration(spill)) as connection:
        try:
            _define_rows(connection, run, index, files)
            yield connection
        except duckdb.Error as error:
            problem = str(error).splitlines()[0]
            remedy = "if a file is damaged, delete it; running the job again computes what is missing"
            raise UsageError(f"the results of {run.url} cannot be read: {problem}; {remedy}") from error


def _configuration(spill: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "temp_directory": spill,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,  # reports are made offline
        "autoload_known_extensions": False,
    }


def _define_rows(connection: duckdb.DuckDBPyConnection, run: RunDirectory, index: Index, files: Sequence[str]) -> None:
    if not files:
        connection.register("rows", row_schema(index.columns).empty_table())
        return
    paths = [run.path(file) for file in files]
    if not run.is_local:
        connection.register_filesystem(run.filesystem)
        paths = [glob.escape(run.filesystem.unstrip_protocol(path)) for path in paths]
    connection.execute("SET VARIABLE files = $files", {"files": paths})
    connection.execute("SET VARIABLE settings = $keys", {"keys": [setting.key for setting in index.settings]})
    # A remote file is fetched once, into a table that may spill to disk; a local one is read where it lies.
    kind = "VIEW" if run.is_local else "TABLE"
    connection.execute(
        f"CREATE TEMPORARY {kind} rows AS SELECT * FROM "  # noqa: S608  # the schema's names are quoted
        f"read_parquet(getvariable('files'), schema = {_file_schema(index)}) WHERE setting IN getvariable('settings')"
    )


def _file_schema(index: Index) -> str:
    """The columns that reports read, for DuckDB: shards of different ages may order them differently and hold others."""
    types = {**_ROW_TYPES, **{name: _SQL_TYPES[column.dtype] for name, column in numeric_columns(index).items()}}
    entries = [
        f"{_text(name)}: {{name: {_text(name)}, type: '{kind}', default_value: NULL}}" for name, kind in types.items()
    ]
    return f"MAP {{{', '.join(entries)}}}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


# -------------------------------------------------------------------------------------------------------- queries


def _counts(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int], int]:
    """Setting → rows, setting → error rows, and the number of identities."""
    found = connection.execute("SELECT setting, count(*), count(*) FILTER (status = 'error') FROM rows GROUP BY setting")
    counts = found.fetchall()
    identities = connection.execute("SELECT count(DISTINCT identity) FROM rows").fetchall()[0][0]
    return {setting: rows for setting, rows, _ in counts}, {setting: errors for setting, _, errors in counts}, identities


def _statistics(connection: duckdb.DuckDBPyConnection, column: str) -> dict[str, _Statistics]:
    """Setting → the column's statistics; the median, which needs every value in memory, of coding times alone."""
    value = f"{_name(column)}::DOUBLE"
    median = "median(value) FILTER (shared)" if column in _TIMES else "NULL"
    found = connection.execute(f"""
        WITH valid AS NOT MATERIALIZED (
            SELECT image, setting, {value} AS value FROM rows WHERE status = 'ok' AND isfinite({value})
        ), common AS (
            SELECT image FROM valid GROUP BY image HAVING count(*) = (SELECT count(DISTINCT setting) FROM valid)
        )
        SELECT setting, count(*), count(*) FILTER (shared),
               favg(value) FILTER (shared), stddev_samp(value) FILTER (shared), {median}
        FROM (SELECT setting, value, image IN (SELECT image FROM common) AS shared FROM valid)
        GROUP BY setting
    """)  # noqa: S608  # the column's name is quoted
    return {setting: _Statistics(*values) for setting, *values in found.fetchall()}


def _failures(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> tuple[Failure, ...]:
    """The most frequent reasons of missing rows and values, the most frequent first."""
    found = connection.execute(
        """
        SELECT NULL AS failed, coalesce(error, 'no reason was stored') AS reason, count(*) AS number
        FROM rows WHERE status = 'error' GROUP BY reason
        UNION ALL
        SELECT entry.key, entry.value, count(*)
        FROM (SELECT unnest(map_entries(metric_errors)) AS entry FROM rows WHERE status = 'ok')
        WHERE entry.key IN (SELECT unnest($columns::VARCHAR[])) GROUP BY ALL
        ORDER BY number DESC, failed NULLS FIRST, reason LIMIT $limit
        """,
        {"columns": list(columns), "limit": _FAILURES_SHOWN},
    )
    return tuple(Failure(*row) for row in found.fetchall())


# -------------------------------------------------------------------------------------------------------- the table


def _schema(columns: Sequence[str]) -> pa.Schema:
    words = ("setting", "family", "curve", "variant", "rate_parameter")
    coding = ("bpp_mean", "bytes_mean", "encode_ms_mean", "encode_ms_median", "decode_ms_mean", "decode_ms_median")
    fields = [
        *((word, pa.string()) for word in words),
        ("rate", pa.float64()),
        *((count, pa.int64()) for count in ("images", "errors", "common")),
        *((value, pa.float64()) for value in coding),
    ]
    for column in columns:
        fields += [
            (f"{column}_mean", pa.float64()),
            (f"{column}_std", pa.float64()),
            (f"{column}_n", pa.int64()),
            (f"{column}_coverage", pa.float64()),
        ]
    return pa.schema(fields)


def _record(
    setting: SettingRecord, rows: dict[str, int], errors: dict[str, int], statistics: _ByColumn
) -> dict[str, str | float | None]:
    images = rows.get(setting.key, 0)
    found = {column: by_setting.get(setting.key, _NO_VALUES) for column, by_setting in statistics.items()}
    record: dict[str, str | float | None] = {
        "setting": setting.key,
        "family": setting.family,
        "curve": setting.curve,
        "variant": setting.variant,
        "rate_parameter": setting.rate_parameter,
        "rate": _rate(setting),
        "images": images,
        "errors": errors.get(setting.key, 0),
        "common": found["bpp"].n,
    }
    for column, values in found.items():
        record[f"{column}_mean"] = values.mean
        record[f"{column}_median"] = values.median
        record[f"{column}_std"] = values.std
        record[f"{column}_n"] = values.n
        record[f"{column}_coverage"] = None if values.valid is None or not images else values.valid / images
    return record


def _rate(setting: SettingRecord) -> float | None:
    value = setting.params.get(setting.rate_parameter) if setting.rate_parameter else None
    return None if value is None or isinstance(value, str) else float(value)


# -------------------------------------------------------------------------------------------------------- the notes


def _notes(index: Index, rows: dict[str, int], statistics: _ByColumn) -> Iterator[str]:
    if not rows:
        return
    variants = {setting.key: setting.variant for setting in index.settings}
    coded = statistics["bpp"]
    if failed := [variant for key, variant in variants.items() if key not in coded]:
        yield f"No image could be coded with {_listed(failed)}: left out of the common support."
    if coded and not any(values.n for values in coded.values()):
        yield "No image was coded with every other setting, so the common support is empty."
    for column, record in reported_columns(index).items():
        scored = statistics.get(column, {})
        if coded and not scored:
            yield f"{record.title}: no image has a value."
        elif unscored := [variants[key] for key in variants if key in coded and key not in scored]:
            yield f"{record.title}: no image has a value with {_listed(unscored)}, left out of this column's common support."
        if scored and not any(values.n for values in scored.values()):
            yield f"{record.title}: no image has a value with every compared setting, so its means are empty."


def _of_sets(values: Mapping[str, SetValue]) -> dict[str, _Statistics]:
    return {
        setting: _Statistics(valid=None, n=found.n, mean=found.value, std=found.error, median=None)
        for setting, found in values.items()
    }


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
