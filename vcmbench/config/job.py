"""The job file: its spelling, its checks, and what it resolves to. The only place that knows YAML keys."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import os
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from vcmbench import registry, weights
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.downloads import DownloadError
from vcmbench.interfaces import Codec, Dataset, Metric, Precision, SetMetric, Setup, UsageError
from vcmbench.pipeline.task import Task
from vcmbench.reports.pictures import Showing
from vcmbench.results import CONFIG, ROW_SCHEMA, RunDirectory
from vcmbench.training.recipe import Pictures, Recipe, Weights


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, no dates, and no key twice.

    YAML 1.1 reads `4:4:4` as 14644 in base 60 and `010` as 8, and PyYAML keeps the last of two equal keys.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        mapping = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key {key.value!r} stands here a second time; keep one"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return mapping


_YAML_1_1 = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _YAML_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def read_yaml(text: str) -> Any:
    """Parse YAML with the number rules of YAML 1.2; raise `UsageError` that names the line."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        malformed = isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError)
        remedy = "; check the indentation (spaces, no tabs), quotes and brackets" if malformed else ""
        problem = ": ".join(filter(None, (error.context, error.problem)))
        raise UsageError(f"{place}{problem}{remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"not YAML: {' '.join(str(error).split())}") from error


File = TypeVar("File", bound=BaseModel)


class _Section(BaseModel):
    """A mapping of the job file; the description of each key completes the sentence "… must be"."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Crop(_Section):
    """`crop:` — the square around the face box."""

    scale: float = Field(1.3, gt=0, le=10, description="a number above 0, at most 10")


class DatasetSection(_Section):
    """`dataset:` — which images, and how they are prepared; keys that are not listed here are the kind's own options."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="the name of a data set, such as demo")
    size: int = Field(256, ge=16, le=4096, description="a whole number of pixels from 16 to 4096")
    crop: Crop = Field(Crop(), description="a section such as {scale: 1.3}")
    min_face: float = Field(0.0, ge=0, description="a number of pixels from 0")
    limit: int | None = Field(None, ge=1, description="a whole number from 1 (leave it out to take every image)")
    identities: Annotated[int, Field(ge=1)] | Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="a whole number from 1 or a list of names (leave it out to take everybody)"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")


class MlflowSection(_Section):
    """`mlflow:` — where aggregated results are logged."""

    tracking_uri: str = Field("sqlite:///mlflow.db", min_length=1, description="a URI such as sqlite:///mlflow.db")
    experiment: str = Field("vcmbench", min_length=1, description="text such as vcmbench")


class ReportSection(_Section):
    """`report:` — what the report compares with, and whether it shows images, and which ones its figures are of."""

    anchor: str | None = Field(
        None, min_length=1, description="a curve such as jpeg (leave it out for the first with 4 points)"
    )
    images: bool = Field(False, description="true or false")  # noqa: FBT003  # pydantic's way to state a default
    image_names: list[str] = Field(
        [], max_length=50, description="a list of at most 50 images (leave it out for a choice of 6)"
    )
    settings: list[str] = Field(
        [], max_length=50, description='a list of at most 50 settings such as ["jpeg quality=4"] (leave it out for a choice)'
    )


class JobFile(_Section):
    """A whole job file. A path in it, such as `out` or a data set's `root`, is relative to the working directory."""

    name: str = Field(min_length=1, description="text such as demo")
    dataset: DatasetSection = Field(description="a section such as {kind: demo}")
    codecs: list[Any] = Field(min_length=1, description="a list such as [jpeg: {quality: [4, 10]}, png]")
    metrics: Literal["all", "available"] | Annotated[list[Any], Field(min_length=1)] = Field(
        "all", description="all, available or a list such as [psnr_y, landmarks: {detector: sfd}]"
    )
    precision: Precision = Field("fp32", description="fp32 or bf16")
    untrained: bool = Field(False, description="true or false")  # noqa: FBT003  # pydantic's way to state a default
    unverified_weights: bool = Field(False, description="true or false")  # noqa: FBT003  # likewise
    feature_images: int = Field(10_000, ge=0, description="a whole number of images from 0")
    keep_bitstreams: bool = Field(False, description="true or false")  # noqa: FBT003  # likewise
    out: str = Field(min_length=1, description="a folder or URL such as runs/demo")
    shard_size: int = Field(256, ge=1, le=100_000, description="a whole number of images from 1 to 100000")
    time_limit: float = Field(60.0, ge=0.01, le=86_400, description="a number of seconds from 0.01 to 86400")
    mlflow: MlflowSection | None = Field(None, description="a section such as {experiment: vcmbench}")
    report: ReportSection = Field(ReportSection(), description="a section such as {anchor: jpeg}")


class LossesSection(_Section):
    """`losses:` — how much each counts beside the mean absolute difference, and when the discriminator joins in."""

    gradient: float = Field(1.0, ge=0, description="a number from 0")
    structural: float = Field(0.0, ge=0, description="a number from 0")
    perceptual: float = Field(0.0, ge=0, description="a number from 0")
    adversarial: float = Field(0.0, ge=0, description="a number from 0")
    adversarial_from: int = Field(0, ge=0, description="a whole number of steps from 0")


class TrainingFile(_Section):
    """A whole training job. Paths in it are relative to the working directory."""

    name: str = Field(min_length=1, description="text such as decoder")
    dataset: DatasetSection = Field(description="a section such as {kind: demo}")
    validation: DatasetSection | None = Field(None, description="a section such as {kind: demo}")
    forms: int = Field(4, ge=1, le=1000, description="a whole number from 1 to 1000")
    steps: int = Field(100_000, ge=1, description="a whole number from 1")
    batch: int = Field(8, ge=1, le=4096, description="a whole number of pictures from 1 to 4096")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="a number above 0, at most 1")
    losses: LossesSection = Field(LossesSection(), description="a section such as {perceptual: 0.05}")
    average: float = Field(0.999, ge=0, lt=1, description="a number from 0, below 1")
    precision: Precision = Field("bf16", description="fp32 or bf16")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")
    initial: str | None = Field(None, min_length=1, description="a file such as runs/decoder/decoder.safetensors")
    checkpoint_every: int = Field(500, ge=1, description="a whole number of steps from 1")
    validate_every: int = Field(1000, ge=1, description="a whole number of steps from 1")
    workers: int | None = Field(None, ge=1, description="a whole number of processes from 1")
    out: str = Field(min_length=1, description="a folder such as runs/decoder")
    mlflow: MlflowSection | None = Field(None, description="a section such as {experiment: vcmbench}")

    def recipe(self) -> Recipe:
        """Return the training in its own terms; raises `UsageError` for a data set that it cannot be done with."""
        return Recipe(
            out=Path(self.out),
            pictures=_pictures("dataset", self.dataset, self.forms),
            validation=None if self.validation is None else _pictures("validation", self.validation, 1),
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            losses=Weights(**self.losses.model_dump()),
            average=self.average,
            precision=self.precision,
            seed=self.seed,
            initial=None if self.initial is None else Path(self.initial),
            checkpoint_every=self.checkpoint_every,
            validate_every=self.validate_every,
            workers=self.workers or len(os.sched_getaffinity(0)),
        )


class Job:
    """A job file that was checked: every name is known, every parameter in its range, every metric can run."""

    def __init__(self, file: JobFile, *, fetch: bool = False) -> None:
        """Raise `UsageError` that names the key and the remedy; `fetch` downloads the weights that are not here."""
        self.file = file
        self.dataset = _dataset(file.dataset)
        self.codecs = _codecs(file.codecs)
        _check_settings_shown(file.report.settings, self.codecs)
        self.setup = Setup(precision=file.precision, untrained=file.untrained, unverified=file.unverified_weights)
        self.metrics, self.unavailable, self.not_downloaded = _metrics(file.metrics, self.setup, fetch=fetch)

    @property
    def selection(self) -> Selection:
        """Which images of the data set."""
        return _selection(self.file.dataset)

    @property
    def preparation(self) -> Preparation:
        """How each image is cropped and resized."""
        return _preparation(self.file.dataset)

    @property
    def task(self) -> Task:
        """The job in the pipeline's terms."""
        return Task(
            name=self.file.name,
            out=self.file.out,
            dataset=self.dataset,
            selection=self.selection,
            preparation=self.preparation,
            codecs=self.codecs,
            metrics=self.metrics,
            without=self.unavailable,
            setup=self.setup,
            notices=tuple(self._notices()),
            feature_images=self.file.feature_images,
            keep_bitstreams=self.file.keep_bitstreams,
            shard_size=self.file.shard_size,
            time_limit=self.file.time_limit,
            resolved=self.resolved,
        )

    def _notices(self) -> Iterator[str]:
        """What every output must say of the networks."""
        names = dict.fromkeys(name for metric in self.metrics for name in metric.weights)
        if self.setup.untrained and names:
            yield "UNTRAINED: the networks are random, so that the values of their metrics mean nothing"
            return
        for name in names:
            if weights.published(name) is False:
                file = weights.verified(name, unverified=True)
                yield f"unverified weights: {file.name}, SHA-256 {weights.sha256(file)}"

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole job with the default of every key written out, as it is stored beside the results."""
        job = self.file.model_dump(mode="json")
        options = TypeAdapter(type(self.dataset)).dump_python(self.dataset, mode="json")
        # What the job file says of the data set comes last: a relative root stays one, and names nobody's home.
        return {**job, "dataset": {"kind": self.dataset.kind, **options, **job["dataset"]}}


def load_job(path: Path, overrides: Sequence[str] = (), *, fetch: bool = False) -> Job:
    """Read and check a job file; `overrides` are `key=value` pairs, the key dotted and the value YAML.

    `fetch` downloads the weights that the job's metrics need and that are not on this machine.
    """
    content = _content(path, overrides)
    with _at(str(path)):
        return Job(_checked(content, JobFile), fetch=fetch)


def load_training(path: Path, overrides: Sequence[str] = ()) -> tuple[TrainingFile, Recipe]:
    """Read and check a training job likewise; return it as it is spelled and in training's own terms."""
    content = _content(path, overrides)
    with _at(str(path)):
        file = _checked(content, TrainingFile)
        return file, file.recipe()


def _content(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the job file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the job file {path} is not text in UTF-8; save it as such") from error
    with _at(str(path)):
        content = _mapping(read_yaml(text))
        for override in overrides:
            _override(content, override)
        return content


def stored_job(run: RunDirectory) -> JobFile:
    """The resolved job file that a run directory was last brought to."""
    try:
        return _checked(_mapping(yaml.safe_load(run.read(CONFIG))), JobFile)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{run.path(CONFIG)} is damaged: {reason}; restore it, or choose another `out`") from error


def images_shown(job: JobFile, warn: Callable[[str], None]) -> Showing | None:
    """Which images the report shows and where they come from; None where the job wants none shown.

    Raises `UsageError` for a data set that is not known here.
    """
    if not job.report.images:
        return None
    return Showing(
        dataset=_dataset(job.dataset),
        preparation=_preparation(job.dataset),
        feature_images=job.feature_images,
        image_names=tuple(job.report.image_names),
        settings=tuple(job.report.settings),
        warn=warn,
    )


def parse_codec(words: str) -> Codec:
    """Return the setting spelled like its variant, e.g. "edge points=122"; raise `UsageError` for anything else."""
    family, *pairs = words.split() or [""]
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"codec {words!r}: {pair!r} must be parameter=value")
        if name in params:
            raise UsageError(f"codec {words!r}: {name} is given twice; keep one")
        with _at(f"codec {words!r}"):
            params[name] = read_yaml(value)
    return registry.codecs.get(family)(**params)


def _mapping(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UsageError(f"a job file holds keys and values such as `name: demo`, not {_shown(content)}")
    return content


def _checked(content: Mapping[str, Any], file: type[File]) -> File:
    try:
        return file.model_validate(content)
    except ValidationError as error:
        raise UsageError(_explain(error, file)) from error


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *parents, last = names = key.split(".")
    if not equals or not all(names):
        raise UsageError(f"--set {override!r} must be key=value, e.g. --set dataset.limit=100")
    section = content
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise UsageError(f"--set {override!r}: {parent} is {_shown(section)}, which has no keys")
    with _at(f"--set {override!r}"):
        section[last] = read_yaml(text)


def _dataset(section: DatasetSection, key: str = "dataset") -> Dataset:
    with _at(f"{key}.kind"):
        plugin = registry.datasets.get(section.kind)
    options = section.model_extra or {}
    own = [field.name for field in dataclasses.fields(plugin)]  # type: ignore[arg-type]  # a data set is a dataclass
    for name in options:
        if name not in own:
            raise UsageError(_unknown([key, name], [*DatasetSection.model_fields, *own], JobFile))
    try:
        dataset: Dataset = TypeAdapter(plugin).validate_python(options)
    except ValidationError as error:
        raise UsageError(_explain_option(error.errors()[0], key, section.kind)) from error
    return dataset


def _selection(section: DatasetSection) -> Selection:
    identities = tuple(section.identities) if isinstance(section.identities, list) else section.identities
    return Selection(section.limit, identities, section.min_face, section.seed)


def _preparation(section: DatasetSection) -> Preparation:
    return Preparation(size=section.size, scale=section.crop.scale)


def _pictures(key: str, section: DatasetSection, forms: int) -> Pictures:
    if section.size % 32 or not 64 <= section.size <= 1024:
        raise UsageError(f"{key}.size must be a multiple of 32 from 64 to 1024 to train with, not {section.size}")
    return Pictures(_dataset(section, key), _selection(section), _preparation(section), forms)


def _codecs(entries: Sequence[object]) -> tuple[Codec, ...]:
    codecs: dict[str, Codec] = {}
    for place, entry in enumerate(entries):
        with _at(f"codecs[{place}]"):
            for setting in _settings(entry):
                if setting.variant in codecs:
                    raise UsageError(f"{setting.variant} is asked for twice; remove one")
                codecs[setting.variant] = setting
    return tuple(codecs.values())


def _check_settings_shown(variants: Sequence[str], codecs: Sequence[Codec]) -> None:
    known = [codec.variant for codec in codecs]
    for variant in variants:
        if variant not in known:
            raise UsageError(f"report.settings: {variant!r} is no setting of this job; its settings are: {', '.join(known)}")


def _settings(entry: object) -> list[Codec]:
    """Every combination of an entry's listed parameter values, the last one varying fastest."""
    if isinstance(entry, str):
        return [parse_codec(entry)]
    if not isinstance(entry, dict) or len(entry) != 1:
        raise UsageError(f"one codec must stand here, such as `jpeg: {{quality: [4, 10]}}` or `png`, not {_shown(entry)}")
    [(family, params)] = entry.items()
    plugin = registry.codecs.get(family)
    if not isinstance(params, dict | None):
        raise UsageError(f"{family} must be followed by its parameters, such as {{quality: [4, 10]}}, not {_shown(params)}")
    lists = {str(name): value if isinstance(value, list) else [value] for name, value in (params or {}).items()}
    for name, values in lists.items():
        if not values:
            raise UsageError(f"{family}: {name} is an empty list; give at least one value")
    return [plugin(**dict(zip(lists, values, strict=True))) for values in itertools.product(*lists.values())]


def _metrics(wanted: str | Sequence[object], setup: Setup, *, fetch: bool) -> tuple[tuple[Metric, ...], dict[str, str], str]:
    """The metrics to run; for `available` the ones that cannot, with what they lack; and why nothing could be downloaded."""
    with _at("metrics"):
        metrics = _named_metrics(wanted, setup)
        failure = _fetch(metrics, setup) if fetch and not setup.untrained else ""
        lacking = {metric.name: reason for metric in metrics if (reason := _lack(metric, setup))}
        if lacking and wanted != "available":
            name, reason = next(iter(lacking.items()))
            raise UsageError(f"{name} cannot run: {failure or reason}; or write `metrics: available` to go without it")
        running = tuple(metric for metric in metrics if metric.name not in lacking)
        _refuse_equal_columns(running)
    return running, lacking, failure


def _named_metrics(wanted: str | Sequence[object], setup: Setup) -> list[Metric]:
    if isinstance(wanted, str):
        known = sorted(registry.metrics.classes.values(), key=lambda metric: (metric.kind, metric.name))
        return [metric(setup) for metric in known]
    metrics: dict[str, Metric] = {}
    for entry in wanted:
        name, params = _named_params(entry)
        if name in metrics:
            raise UsageError(f"{name} is asked for twice; remove one")
        metrics[name] = registry.metrics.get(name)(setup, **params)
    return list(metrics.values())


def _named_params(entry: object) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, params)] = entry.items()
        if isinstance(params, dict | None):
            return str(name), {str(key): value for key, value in (params or {}).items()}
    raise UsageError(f"one metric must stand here, such as `psnr_y` or `landmarks: {{detector: sfd}}`, not {_shown(entry)}")


def _fetch(metrics: Sequence[Metric], setup: Setup) -> str:
    """Download the weights that are not on this machine; say what could not be had."""
    usable = [metric for metric in metrics if metric.unavailable() is None]
    try:
        weights.obtain([name for metric in usable for name in metric.weights], unverified=setup.unverified)
    except DownloadError as error:
        return str(error)
    return ""


def _lack(metric: Metric, setup: Setup) -> str | None:
    """What a metric lacks on this machine; raises `UsageError` for weights that are not the published ones."""
    reason = metric.unavailable()
    if reason is not None or setup.untrained:
        return reason
    reason = weights.lacking(metric.weights)
    for name in metric.weights if reason is None else ():
        weights.verified(name, unverified=setup.unverified)
    return reason


def _refuse_equal_columns(metrics: Sequence[Metric]) -> None:
    owners = dict.fromkeys(ROW_SCHEMA.names, "vcmbench itself")
    for metric in metrics:
        names = [*metric.columns, metric.name, *metric.set_columns] if isinstance(metric, SetMetric) else [*metric.columns]
        for column in names:
            owner = owners.setdefault(column.lower(), metric.name)  # DuckDB's names do not tell cases apart
            if owner != metric.name:
                raise UsageError(f"{metric.name} and {owner} both give the column {column!r}; leave one out")


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Begin an error's message with where it belongs."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _explain(error: ValidationError, file: type[BaseModel]) -> str:
    """The problem nearest to the root as one line; an unknown key comes first, since it may be a missing one misspelled."""
    problem = min(error.errors(), key=lambda entry: (entry["type"] != "extra_forbidden", len(entry["loc"])))
    known = file.model_fields
    keys: list[str] = []
    wanted: str | None = None
    for part in problem["loc"]:
        keys.append(str(part))
        if keys[-1] not in known:
            return _unknown(keys, list(known), file)
        wanted = known[keys[-1]].description
        section = _nested(known[keys[-1]])
        if section is None:  # the rest names the branches of a type
            break
        known = section.model_fields
    where = ".".join(keys)
    if problem["type"] == "missing":
        return f"the key {where} is missing; it must be {wanted}"
    return f"{where} must be {wanted}, not {_shown(problem['input'])}{_remedy(problem)}"


def _explain_option(problem: ErrorDetails, key: str, kind: str) -> str:
    """A problem with one of a data set's own options as one line."""
    if problem["type"] == "value_error":  # raised by the data set itself
        return f"{key}: {problem['ctx']['error']}"
    where = f"{key}.{problem['loc'][0]}"
    if problem["type"] == "missing":
        return f"the key {where} is missing; a data set of kind {kind} needs it"
    wanted = problem["msg"].removeprefix("Input should be ")
    return f"{where} must be {wanted}, not {_shown(problem['input'])}{_remedy(problem)}"


def _remedy(problem: ErrorDetails) -> str:
    looks_like_a_number = problem["type"] == "string_type" and isinstance(problem["input"], int | float)
    return "; write it in quotes" if looks_like_a_number else ""


def _unknown(keys: Sequence[str], known: Sequence[str], file: type[BaseModel]) -> str:
    *parents, name = keys
    elsewhere = [path for path in _paths(file) if path.rpartition(".")[2] == name]
    beside = [".".join([*parents, close]) for close in difflib.get_close_matches(name, known, n=1)]
    hint = f" (did you mean {(elsewhere + beside)[0]}?)" if elsewhere + beside else ""
    return f"unknown key {'.'.join(keys)}{hint}; known here: {', '.join(known)}"


def _paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a section and the ones in it, dotted."""
    for name, field in section.model_fields.items():
        yield prefix + name
        nested = _nested(field)
        if nested is not None:
            yield from _paths(nested, f"{prefix}{name}.")


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _shown(value: object) -> str:
    """A value as it would stand in YAML, shortened."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else reprlib.repr(value)
