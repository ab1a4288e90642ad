"""One shard of images through every setting and metric it lacks; a plain class that knows nothing of Ray."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

import pyarrow as pa

from vcmbench.feature_tables import attach_features
from vcmbench.interfaces import StorageError
from vcmbench.pipeline.bitstream_keeping import BitstreamKeeper
from vcmbench.pipeline.engine import Engine, ThreadedEngine
from vcmbench.pipeline.isolation import IsolatedEngine
from vcmbench.pipeline.plan import Lacking, ShardWork
from vcmbench.pipeline.rows import (
    Row,
    count_failed,
    failed,
    merge_rows,
    not_deterministic,
    recoded,
    recovered,
    replaced_images,
    retry_rows,
    without_superseded,
)
from vcmbench.pipeline.stream import POSITION, ManifestRow
from vcmbench.pipeline.worker_job import WorkerJob
from vcmbench.results import MANIFEST, RunDirectory, row_schema, table_of
from vcmbench.run_index import Cells, Index

Places: TypeAlias = dict[str, set[str]]
"""Setting key → names of images."""


@dataclass(frozen=True)
class ShardResult:
    """What came of a shard; its file counts only once the driver has put it into the index."""

    shard: int
    generation: int
    file: str
    features: str
    bitstreams: str
    bitstreams_of: tuple[str, ...]
    """The settings whose bitstreams that file has."""
    cells: Cells
    errors: dict[str, int]
    """Setting key → its number of error rows, and of rows that lack a value for a reason that may pass."""
    transient: dict[str, int]
    """The same, but only those of which the reason may pass."""
    size: int
    seconds: Mapping[str, float]
    """Stage → seconds: "read" the stored state, "compute" (load, code and score, which overlap), "write" the new file."""
    not_deterministic: tuple[str, ...]
    """Variants that coded an image to other bytes or pixels than are stored."""
    replaced: tuple[str, ...]
    """Images that are no longer those which the stored rows were computed from."""


@dataclass(frozen=True)
class _Revision:
    """What a shard holds from now on, and what was found out about what it held."""

    rows: list[Row]
    cells: Cells
    differing: Collection[str]
    """The keys of settings that coded an image to other bytes or pixels than are stored."""
    replaced: Collection[str]
    """Images that are no longer those which the stored rows were computed from."""


class Worker:
    """Loads each network once, keeps its codec processes, and does one shard after the other."""

    def __init__(self, job: WorkerJob, *, isolated: bool = False) -> None:
        """Raise `UsageError` when this machine's codecs or metrics are not those of the driver.

        An isolated worker outlives any codec or metric, and is slow.
        """
        self._job = job
        self._run = RunDirectory(job.run_url)
        self._metrics = tuple(metric.key for metric in job.index.metrics)
        self._row_keys = {metric.key: metric.row_keys for metric in job.index.metrics}
        self._keeper = BitstreamKeeper(self._run) if job.index.keep_bitstreams else None
        self._engine: Engine = IsolatedEngine(job) if isolated else ThreadedEngine(job)
        self._before = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def done(self) -> int:
        """Images × settings of the shard under way that are finished, those coded twice counted twice."""
        return self._engine.done - self._before

    @property
    def is_overdue(self) -> bool:
        """Whether something in this process takes longer than it may, and will perhaps never end."""
        return self._engine.is_overdue

    def close(self) -> None:
        """End the codec processes and free what they shared."""
        self._engine.close()
        if self._keeper:
            self._keeper.close()

    def run(self, work: ShardWork) -> ShardResult:
        """Compute a shard's missing cells and store its new file."""
        self._before = self._engine.done
        if self._keeper:
            self._keeper.begin()
        index = self._job.index
        started = time.perf_counter()
        listed = self._run.manifest(work.shard).to_pylist()
        images = [{**image, POSITION: work.first + place} for place, image in enumerate(listed)]
        if len(images) != work.images:
            raise StorageError(
                f"{self._run.path(MANIFEST)} has {len(images)} images in shard {work.shard} where it had {work.images}; "
                "restore it, or choose another `out`"
            )
        record = index.shards.get(work.shard)
        schema = row_schema(index.columns)
        found = self._run.read_shard(record.file) if record else schema.empty_table()
        before, retyped = _without_retyped(found, schema)
        stored = without_superseded(before.to_pylist(), index.settings)
        if record and record.features:
            attach_features(stored, self._run.read_features(record.features))

        read = time.perf_counter()
        revision = self._revise(images, work, stored, retyped)

        computed = time.perf_counter()
        rows = _in_order(revision.rows, images, index)
        features = self._run.write_features(work.shard, work.generation, rows, self._job.writer)
        table = table_of(rows, pa.unify_schemas([before.schema, schema]))
        bitstreams, bitstreams_of = self._store_bitstreams(work, stored, rows)
        file = self._run.write_shard(work.shard, work.generation, table, self._job.writer)
        written = time.perf_counter()
        return ShardResult(
            shard=work.shard,
            generation=work.generation,
            file=file,
            features=features,
            bitstreams=bitstreams,
            bitstreams_of=bitstreams_of,
            cells=revision.cells,
            errors=count_failed(revision.rows, "errors"),
            transient=count_failed(revision.rows, "transient"),
            size=work.size,
            seconds={"read": read - started, "compute": computed - read, "write": written - computed},
            not_deterministic=tuple(setting.variant for setting in index.settings if setting.key in revision.differing),
            replaced=tuple(sorted(revision.replaced)),
        )

    def _store_bitstreams(self, work: ShardWork, stored: Sequence[Row], rows: Sequence[Row]) -> tuple[str, tuple[str, ...]]:
        """The shard's file of bitstreams from now on, and the settings whose bitstreams it has.

        What a former run has kept stays as it is where this one keeps none.
        """
        index = self._job.index
        record = index.shards.get(work.shard)
        former, kept = record.bitstreams if record else "", set(index.bitstreams_of(work.shard))
        if self._keeper is None:
            return former, tuple(sorted(kept - recoded(stored, rows)))
        file = self._keeper.store(work, rows, former, self._job.writer)
        settings = {str(row["setting"]) for row in rows}
        return file, tuple(sorted(settings & (kept | work.missing.keys())))

    def _revise(
        self, images: Sequence[ManifestRow], work: ShardWork, stored: Sequence[Row], retyped: Collection[str]
    ) -> _Revision:
        """Compute what the shard lacks and what turns out to be outdated, and keep every other stored value as it is."""
        index = self._job.index
        fresh = self._compute_missing(images, work)
        failures = _failures(stored, fresh, work, index)
        retried = self._compute_whole(images, failures)
        replaced = replaced_images(stored, fresh + retried)
        comparable = [row for row in fresh + retried if row["image"] not in replaced]
        differing = not_deterministic(stored, comparable)
        outdated = _outdated(images, index, differing, replaced)
        renewed = self._compute_whole(images, outdated)

        kept = [row for row in stored if row["setting"] not in differing and not _is_lost(row, replaced, index)]
        cells = _kept_cells(index.cells(work.shard), kept, retyped)
        for setting in cells.keys() & (failures.keys() | outdated.keys()):
            # A new row has no values of metrics that the job does not ask for now.
            wanted = index.wanted[setting]
            cells[setting] = {column: metric for column, metric in cells[setting].items() if column in wanted}
        gained = {setting: self._keys_of(work.missing[setting]) for setting in work.missing if setting in cells}
        rows = merge_rows(kept, _outside(_outside(fresh, failures), outdated), gained)
        rows = retry_rows(rows, _outside(retried, outdated) + renewed)
        cells |= {setting: {**cells.get(setting, {}), **index.wanted[setting]} for setting in work.missing}
        return _Revision(rows, cells, differing, replaced)

    def _compute_missing(self, images: Sequence[ManifestRow], work: ShardWork) -> list[Row]:
        """Rows with the missing cells; where stored rows lack features alone, only of the images whose features are kept."""
        index = self._job.index
        stored, columns = index.cells(work.shard), {metric.key: metric.columns for metric in index.metrics}
        sampled_alone = stored.keys() - index.without_bitstreams(work.shard)
        features = {
            setting: metrics
            for setting, metrics in work.missing.items()
            if setting in sampled_alone and not any(columns[metric] for metric in metrics)
        }
        sampled = [image for image in images if image[POSITION] < self._job.feature_images]
        others = {setting: metrics for setting, metrics in work.missing.items() if setting not in features}
        return self._compute(images, others) + self._compute(sampled, features)

    def _compute(self, images: Sequence[ManifestRow], cells: Lacking) -> list[Row]:
        if not images or not cells:
            return []
        rows = self._engine.compute(images, cells)
        return [self._keeper.take(row) for row in rows] if self._keeper else list(rows)

    def _compute_whole(self, images: Sequence[ManifestRow], places: Places) -> list[Row]:
        """Rows with every metric, settings of the same images together, so that these are read once."""
        settings_of: defaultdict[frozenset[str], list[str]] = defaultdict(list)
        for setting, names in places.items():
            settings_of[frozenset(names)].append(setting)
        rows: list[Row] = []
        for chosen_names, settings in settings_of.items():
            chosen = [image for image in images if image["image"] in chosen_names]
            rows += self._compute(chosen, dict.fromkeys(settings, self._metrics))
        return rows

    def _keys_of(self, metrics: Sequence[str]) -> list[str]:
        return [key for metric in metrics for key in self._row_keys[metric]]


def _failures(stored: Sequence[Row], fresh: Sequence[Row], work: ShardWork, index: Index) -> Places:
    """Stored rows that failed and are to be computed as a whole: those to try again, and those that could be coded now."""
    failures: Places = defaultdict(set)
    for row in stored:
        if work.retry and row["setting"] in index.wanted and failed(row, work.retry):
            failures[str(row["setting"])].add(str(row["image"]))
    for image, setting in recovered(stored, fresh):
        failures[setting].add(image)
    return dict(failures)


def _outdated(images: Sequence[ManifestRow], index: Index, differing: Collection[str], replaced: Collection[str]) -> Places:
    """Rows that are not what would come of coding the image now: all of a setting, or all of an image."""
    everything = {image["image"] for image in images}
    places = {setting: everything if setting in differing else set(replaced) for setting in index.wanted}
    return {setting: names for setting, names in places.items() if names}


def _outside(rows: Sequence[Row], places: Places) -> list[Row]:
    return [row for row in rows if row["image"] not in places.get(str(row["setting"]), ())]


def _is_lost(row: Row, replaced: Collection[str], index: Index) -> bool:
    """Whether a row is of another image now, or of a setting that is not asked for and lacks such a row."""
    return bool(replaced) and (row["image"] in replaced or row["setting"] not in index.wanted)


def _without_retyped(before: pa.Table, schema: pa.Schema) -> tuple[pa.Table, list[str]]:
    """The stored rows without the columns to which a metric now gives values of another type, and the names of these."""
    types = {field.name: field.type for field in schema}
    retyped = [field.name for field in before.schema if types.get(field.name, field.type) != field.type]
    return before.drop_columns(retyped), retyped


def _kept_cells(cells: Cells, kept: Sequence[Row], retyped: Collection[str]) -> Cells:
    """The stored cells of which rows and columns are kept."""
    settings = {str(row["setting"]) for row in kept}
    return {
        setting: {column: metric for column, metric in metrics.items() if column not in retyped}
        for setting, metrics in cells.items()
        if setting in settings
    }


def _in_order(rows: Sequence[Row], images: Sequence[ManifestRow], index: Index) -> list[Row]:
    """By image as in the manifest, then by setting as in the job, so that a file does not depend on what ran first."""
    image_order = {image["image"]: place for place, image in enumerate(images)}
    setting_order = {setting.key: place for place, setting in enumerate(index.settings)}

    def place(row: Row) -> tuple[int, int, str]:
        setting = str(row["setting"])
        return image_order[row["image"]], setting_order.get(setting, len(setting_order)), setting

    return sorted(rows, key=place)
