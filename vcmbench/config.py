"""The job file: its spelling, its checks, and what it resolves to. The only place that knows YAML keys."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vcmbench import registry
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Codec, Dataset, Metric, UsageError
from vcmbench.pipeline.task import Task
from vcmbench.results import CONFIG, RunDirectory


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: `4:4:4` is a word, where YAML 1.1 reads it as 14644 in base 60."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def read_yaml(text: str) -> Any:
    """Parse YAML with the number rules of YAML 1.2; raises `yaml.YAMLError`."""
    return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Crop(_Section):
    """`crop:` — the square around the face box."""

    scale: Annotated[float, Field(gt=0, le=10, strict=False)] = 1.3


class DatasetSection(_Section):
    """`dataset:` — which images, and how they are prepared; keys that are not listed here are the kind's own options."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    kind: str
    size: Annotated[int, Field(ge=16, le=4096)] = 256
    crop: Crop = Crop()
    min_face: Annotated[float, Field(ge=0, strict=False)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    identities: Annotated[int, Field(ge=1)] | list[str] | None = None
    seed: int = 0


class MlflowSection(_Section):
    """`mlflow:` — where aggregated results are logged."""

    tracking_uri: str = "sqlite:///mlflow.db"
    experiment: str = "vcmbench"


class JobFile(_Section):
    """A whole job file."""

    name: Annotated[str, Field(min_length=1)]
    dataset: DatasetSection
    codecs: Annotated[list[str | dict[str, dict[str, Any] | None]], Field(min_length=1)]
    metrics: Literal["all", "available"] | Annotated[list[str], Field(min_length=1)] = "all"
    out: Annotated[str, Field(min_length=1)]
    shard_size: Annotated[int, Field(ge=1, le=100_000)] = 256
    time_limit: Annotated[float, Field(gt=0, strict=False)] = 60.0
    mlflow: MlflowSection | None = None


class Job:
    """A job file that was checked: every name is known, every parameter in its range, every metric can run."""

    def __init__(self, file: JobFile) -> None:
        """Raise `UsageError` that names the key and the remedy."""
        self.file = file
        self.dataset = _dataset(file.dataset)
        self.codecs = _codecs(file.codecs)
        self.metrics, self.unavailable = _metrics(file.metrics)

    @property
    def selection(self) -> Selection:
        """Which images of the data set."""
        section = self.file.dataset
        identities = tuple(section.identities) if isinstance(section.identities, list) else section.identities
        return Selection(section.limit, identities, section.min_face, section.seed)

    @property
    def preparation(self) -> Preparation:
        """How each image is cropped and resized."""
        return Preparation(size=self.file.dataset.size, scale=self.file.dataset.crop.scale)

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
            shard_size=self.file.shard_size,
            time_limit=self.file.time_limit,
            resolved=self.resolved,
        )

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole job with every default written out, as it is stored beside the results."""
        return self.file.model_dump(mode="json")


def load_job(path: Path, overrides: Sequence[str] = ()) -> Job:
    """Read and check a job file; `overrides` are `key=value` pairs, the key dotted and the value YAML."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the job file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold keys and values such as `name: demo`, not {_kind_of(content)}")
    for override in overrides:
        _override(content, override)
    try:
        return Job(JobFile.model_validate(content))
    except ValidationError as error:
        raise UsageError(f"{path}: {_explain(error, JobFile)}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def stored_job(run: RunDirectory) -> JobFile:
    """The resolved job file that a run directory was last brought to."""
    try:
        return JobFile.model_validate(read_yaml(run.read(CONFIG).decode()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{run.path(CONFIG)} cannot be used: {error}; run the job again to restore it") from error


def parse_codec(words: str) -> Codec:
    """Return the setting spelled like its variant, e.g. "edge points=122"; raise `UsageError` for anything else."""
    family, *pairs = words.split() or [""]
    params = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"codec {words!r}: {pair!r} must be parameter=value")
        params[name] = read_yaml(value)
    return registry.codecs.get(family)(**params)


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override!r} must be key=value, e.g. --set dataset.limit=100")
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override!r}: {parent!r} holds {_kind_of(section)}, which has no keys")
    try:
        section[last] = read_yaml(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override!r}: the value is not YAML") from error


def _dataset(section: DatasetSection) -> Dataset:
    plugin = _at("dataset.kind", lambda: registry.datasets.get(section.kind))
    options = section.model_extra or {}
    own = [field.name for field in dataclasses.fields(plugin)]
    for name in options:
        if name not in own:
            raise UsageError(f"dataset.{_unknown(name, [*DatasetSection.model_fields, *own])}")
    try:
        dataset: Dataset = TypeAdapter(plugin).validate_python(options)
    except ValidationError as error:
        raise UsageError(_explain(error, plugin, prefix="dataset")) from error
    return dataset


def _codecs(entries: Sequence[str | Mapping[str, Mapping[str, Any] | None]]) -> tuple[Codec, ...]:
    codecs: dict[str, Codec] = {}
    for place, entry in enumerate(entries):
        where = f"codecs[{place}]"
        families = {entry: None} if isinstance(entry, str) else entry
        if len(families) != 1:
            raise UsageError(f"{where}: one codec per list item, not {', '.join(families) or 'none'}; begin each with `- `")
        [(family, params)] = families.items()
        for setting in _at(where, lambda family=family, params=params: _settings(family, params or {})):
            if setting.variant in codecs:
                raise UsageError(f"{where}: {setting.variant} is asked for twice; remove one")
            codecs[setting.variant] = setting
    return tuple(codecs.values())


def _settings(family: str, params: Mapping[str, Any]) -> list[Codec]:
    """Every combination of the listed parameter values, the last one varying fastest."""
    plugin = registry.codecs.get(family)
    for name, value in params.items():
        if value == []:
            raise UsageError(f"{family}: {name} is an empty list; give at least one value")
    lists = [value if isinstance(value, list) else [value] for value in params.values()]
    return [plugin(**dict(zip(params, values, strict=True))) for values in itertools.product(*lists)]


def _metrics(wanted: str | Sequence[str]) -> tuple[tuple[type[Metric], ...], dict[str, str]]:
    """The metrics to run, and for `available` the ones that cannot, with what they lack."""
    known = sorted(registry.metrics.classes.values(), key=lambda metric: (metric.kind, metric.name))
    names = [metric.name for metric in known] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    metrics = [_at("metrics", lambda name=name: registry.metrics.get(name)) for name in names]
    lacking = {metric.name: reason for metric in metrics if (reason := metric.unavailable())}
    if lacking and wanted != "available":
        name, reason = next(iter(lacking.items()))
        raise UsageError(f"metrics: {name} cannot run: {reason}; or write `metrics: available` to go without it")
    owners: dict[str, str] = {}
    for metric in metrics:
        for column in metric.columns:
            if owners.setdefault(column, metric.name) != metric.name:
                raise UsageError(f"metrics: {metric.name} and {owners[column]} both give the column {column!r}; drop one")
    return tuple(metric for metric in metrics if metric.name not in lacking), lacking


def _at(where: str, resolve: Any) -> Any:
    try:
        return resolve()
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _explain(error: ValidationError, owner: type[Any], prefix: str = "") -> str:
    """The first problem as one line: where, what, and what would be right."""
    problem = min(error.errors(), key=lambda entry: len(entry["loc"]))
    names = [str(part) for part in problem["loc"] if not str(part).startswith(("literal[", "list[", "dict[", "function-"))]
    where = ".".join([prefix, *names] if prefix else names)
    if problem["type"] == "extra_forbidden":
        parents = "".join(f"{name}." for name in names[:-1])
        return parents + _unknown(names[-1], _keys(owner, names[:-1]))
    if problem["type"] in {"missing", "missing_argument"}:
        return f"{where}: this key is missing"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: {message}, not {problem['input']!r}"


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{name}: unknown key{hint}; known here: {', '.join(known)}"


def _keys(owner: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at that path."""
    for name in path:
        annotation = owner.model_fields[name].annotation
        kinds = (annotation, *get_args(annotation))
        owner = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(owner.model_fields)


def _kind_of(value: object) -> str:
    return {type(None): "nothing", list: "a list", dict: "keys"}.get(type(value), f"the {type(value).__name__} {value!r}")
