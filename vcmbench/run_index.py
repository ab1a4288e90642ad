"""What `index.json` says: the settings and metrics that a run is asked for, and which shard files are current."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import Codec, Column, Metric, ParameterValue, SetMetric, digest


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnRecord(_Record):
    """What a reader needs to know of one metric column."""

    title: str
    better: Literal["higher", "lower"] | None
    dtype: Literal["float", "bool", "string"]
    unit: str


class SettingRecord(_Record):
    """One codec setting of the job; `key` hashes all that can change its bytes or pixels."""

    key: str
    family: str
    curve: str
    variant: str
    rate_parameter: str | None
    params: dict[str, ParameterValue]
    backend: str
    scalable: bool = False

    @classmethod
    def of(cls, codec: Codec, preparation: Mapping[str, object]) -> SettingRecord:
        """Describe a codec that is applied to images prepared in that way."""
        return cls(
            key=digest({**codec.identity, "preparation": dict(preparation)}),
            family=codec.family,
            curve=codec.curve,
            variant=codec.variant,
            rate_parameter=codec.rate_parameter,
            params=codec.params,
            backend=codec.backend(),
            scalable=codec.scalable,
        )


class MetricRecord(_Record):
    """One metric of the job; `key` hashes all that can change its values."""

    key: str
    name: str
    kind: Literal["human", "machine"]
    version: str
    summary: str
    columns: dict[str, ColumnRecord]
    set_columns: dict[str, ColumnRecord] = {}
    value: str = ""
    """`module:function` that gives a set metric's columns from its feature."""
    features: dict[str, int] = {}
    """What is stored for it besides its columns: name → length."""

    @classmethod
    def of(cls, metric: Metric) -> MetricRecord:
        """Describe a metric."""
        columns = _column_records(metric.columns)
        features = {feature.name: feature.length for feature in metric.stores}
        shape = {"columns": {name: column.dtype for name, column in columns.items()}}
        return cls(
            key=digest({**metric.identity, **shape, **({"features": features} if features else {})}),
            name=metric.name,
            kind=metric.kind,
            version=metric.version,
            summary=metric.summary,
            columns=columns,
            set_columns=_column_records(metric.set_columns) if isinstance(metric, SetMetric) else {},
            value=metric.value if isinstance(metric, SetMetric) else "",
            features=features,
        )

    @property
    def cells(self) -> tuple[str, ...]:
        """What a shard is complete for once it has the metric: its columns, or a set metric's name."""
        return (*self.columns, self.name) if self.set_columns else tuple(self.columns)

    @property
    def row_keys(self) -> tuple[str, ...]:
        """All that it gives to a row."""
        return (*self.columns, *(key for name in self.features for key in feature_keys(name)))


def _column_records(columns: Mapping[str, Column]) -> dict[str, ColumnRecord]:
    return {
        name: ColumnRecord(title=column.title, better=column.better, dtype=column.dtype, unit=column.unit)
        for name, column in columns.items()
    }


Cells = dict[str, dict[str, str]]
"""Setting key → metric column, or set metric's name → the key of the metric that gave the values."""


class ShardRecord(_Record):
    """The current file of one shard, the name of the set of cells it is complete for, and what could not be measured."""

    file: str
    generation: int
    cells: str
    errors: dict[str, int] = {}
    """Setting key → how many of its rows are errors or lack a value for a reason that may pass; absent where none is."""
    transient: dict[str, int] = {}
    """The same, but only rows of which the reason may pass."""
    features: str = ""
    """The file of what is stored for set metrics and figures; none where no metric asks for it."""
    bitstreams: str = ""
    """The file of kept bitstreams; none where the job did not ask for any. A row's bitstream is there under its hash."""
    bitstream_set: str = ""
    """The name of the set of settings whose bitstreams are all there, but for those that could not be coded again."""

    @property
    def files(self) -> tuple[str, ...]:
        """The shard's files."""
        return tuple(filter(None, (self.file, self.features, self.bitstreams)))

    def found_in(self, files: Collection[str]) -> ShardRecord | None:
        """What the shard still has when only these files are there: kept bitstreams may be lost alone."""
        if self.file not in files or (self.features and self.features not in files):
            return None
        if self.bitstreams and self.bitstreams not in files:
            return self.model_copy(update={"bitstreams": "", "bitstream_set": ""})
        return self


class Index(_Record):
    """What the job asks for now, and which shard files are current."""

    format: Literal[1] = 1
    name: str
    notice: str
    writer: str = ""
    """The lease of the driver that wrote this, so that a driver that was taken over does not take it for its own."""
    settings: tuple[SettingRecord, ...]
    metrics: tuple[MetricRecord, ...]
    without: dict[str, str] = {}
    """Metrics that `metrics: available` leaves out → what they lack."""
    keep_bitstreams: bool = False
    cell_sets: dict[str, Cells] = {}
    bitstream_sets: dict[str, tuple[str, ...]] = {}
    """The keys of settings, by the names that shards give such sets."""
    shards: dict[int, ShardRecord] = {}

    @property
    def wanted(self) -> Cells:
        """The cells that the job asks of every shard."""
        columns = {name: metric.key for metric in self.metrics for name in metric.cells}
        return {setting.key: columns for setting in self.settings}

    @property
    def columns(self) -> dict[str, ColumnRecord]:
        """Every metric column the job asks for, in the job's order."""
        return {name: column for metric in self.metrics for name, column in metric.columns.items()}

    @property
    def set_columns(self) -> dict[str, ColumnRecord]:
        """Every column of a set metric the job asks for, in the job's order."""
        return {name: column for metric in self.metrics for name, column in metric.set_columns.items()}

    @property
    def features(self) -> dict[str, int]:
        """Every stored feature the job asks for, and its length."""
        return {name: length for metric in self.metrics for name, length in metric.features.items()}

    def cells(self, shard: int) -> Cells:
        """The cells a shard is complete for; none for a shard that has no file yet."""
        record = self.shards.get(shard)
        return self.cell_sets[record.cells] if record else {}

    def bitstreams_of(self, shard: int) -> tuple[str, ...]:
        """The settings of which a shard keeps the bitstreams."""
        record = self.shards.get(shard)
        return self.bitstream_sets[record.bitstream_set] if record and record.bitstream_set else ()

    def without_bitstreams(self, shard: int) -> set[str]:
        """The settings of which the job asks to keep bitstreams that the shard does not keep."""
        return (
            {setting.key for setting in self.settings}.difference(self.bitstreams_of(shard))
            if self.keep_bitstreams
            else set()
        )

    def is_complete(self, shard: int) -> bool:
        """Whether the shard has every cell that the job asks for."""
        stored = self.cells(shard)
        return all(
            setting in stored and columns.items() <= stored[setting].items() for setting, columns in self.wanted.items()
        )

    def failed_rows(self) -> tuple[int, int]:
        """How many rows of the settings asked for have failed, and of how many of them the reason may pass."""
        counts = [
            (record.errors.get(setting.key, 0), record.transient.get(setting.key, 0))
            for record in self.shards.values()
            for setting in self.settings
        ]
        return sum(errors for errors, _ in counts), sum(transient for _, transient in counts)

    def with_shard(
        self,
        shard: int,
        file: str,
        generation: int,
        cells: Cells,
        errors: Mapping[str, int] = MappingProxyType({}),
        transient: Mapping[str, int] = MappingProxyType({}),
        features: str = "",
        bitstreams: str = "",
        bitstreams_of: Sequence[str] = (),
    ) -> Index:
        """Return the index with that file as the shard's current one; an older generation changes nothing."""
        current = self.shards.get(shard)
        if current and current.generation >= generation:
            return self
        name = digest(cells)
        sets = {digest({"settings": list(bitstreams_of)}): tuple(bitstreams_of)} if bitstreams_of else {}
        record = ShardRecord(
            file=file,
            generation=generation,
            cells=name,
            errors=dict(errors),
            transient=dict(transient),
            features=features,
            bitstreams=bitstreams,
            bitstream_set=next(iter(sets), ""),
        )
        return self.model_copy(
            update={
                "cell_sets": {**self.cell_sets, name: cells},
                "bitstream_sets": {**self.bitstream_sets, **sets},
                "shards": {**self.shards, shard: record},
            }
        )


def complete_shards(index: Index) -> list[int]:
    """The shards that have every cell the job asks for; reports read only these."""
    return [shard for shard in sorted(index.shards) if index.is_complete(shard)]
