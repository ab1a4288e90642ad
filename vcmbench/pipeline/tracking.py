"""A reported run in MLflow: one parent run, and a child run per curve.

Only what the reports made is read, and nothing but `tracking.json` is added to the run directory. A server that is down
therefore costs no result: the same run can be logged at any time, and replaces what was logged of it before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from vcmbench.interfaces import Image, UsageError
from vcmbench.results import CONFIG, MANIFEST, PROVENANCE, SUMMARY, RunDirectory
from vcmbench.run_index import Index

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow reads both while it is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.db.utils import create_sqlalchemy_engine

TRACKING = "tracking.json"
"""The file of the run directory with the identity by which its MLflow runs are found again."""

_IDENTITY = "vcmbench.run"
_SERVERS = ("http", "https", "databricks")
_SQLITE = "sqlite:///"
_NAME_LENGTH, _PARAMETER_LENGTH, _TAG_LENGTH = 250, 6000, 5000
"""The most characters that every MLflow store takes in a name or key, a parameter and a tag."""

_SILENCE = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_FIRST_CONTACT = {**_SILENCE, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "8"}
_AFTERWARDS = {**_SILENCE, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""MLflow's own defaults retry for minutes. A server must answer the first request at once, and may stumble later."""

_Row = Mapping[str, Any]


class TrackingError(UsageError):
    """MLflow could not be reached, or refused; the run directory is complete without it."""


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged: a server's URL or a database's URI, and the experiment there."""

    tracking_uri: str = "sqlite:///mlflow.db"
    experiment: str = "vcmbench"


def log_run(
    tracking: Tracking,
    run: RunDirectory,
    index: Index,
    summary: pa.Table,
    *,
    dataset: str,
    parameters: Mapping[str, object],
    tags: Mapping[str, str],
) -> str:
    """Log a run with its report, and return MLflow's id of the parent run.

    `summary` has one row per setting: `setting`, `curve`, `variant`, `rate`, `images`, `errors`, and `X_mean` for each
    quantity X to chart. `dataset` names the data set, `parameters` (nested or not) is what the job asked for, and `tags`
    are put on the parent and on every child. What the same experiment holds of the same run directory from before is
    deleted, which MLflow can undo.

    Raises `TrackingError`, within seconds where the server or database cannot be reached.
    """
    try:
        with _calm(_FIRST_CONTACT):
            client = _connect(tracking.tracking_uri)
            experiment = _experiment(client, tracking)
        with _calm(_AFTERWARDS):
            return _replace(client, experiment, run, index, summary, dataset, parameters, tags)
    except Exception as error:  # a store or an artifact back-end fails in its own way, and none may cost the run
        message = (
            f"cannot log to MLflow at {tracking.tracking_uri}: {_reason(error)}; "
            f"the results are safe, and `vcmbench report {run.url} --mlflow` logs them later"
        )
        raise TrackingError(without_passwords(message)) from error


def _replace(
    client: MlflowClient,
    experiment: str,
    run: RunDirectory,
    index: Index,
    summary: pa.Table,
    dataset: str,
    parameters: Mapping[str, object],
    tags: Mapping[str, str],
) -> str:
    """Log the run anew, and only then delete what was logged of it before."""
    identity = _identity(run)
    earlier = client.search_runs([experiment], f"tags.`{_IDENTITY}` = '{identity}'")
    tags = {**_origin(run, index), **tags, _IDENTITY: identity}
    with _started(client, experiment, index.name, {**tags, "mlflow.note.content": index.notice}) as parent:
        client.log_batch(parent, metrics=_totals(summary), params=_params(parameters))
        client.log_inputs(parent, [_dataset_input(dataset, run)])
        client.log_table(parent, summary.to_pandas(), "summary.json")
        _log_files(client, parent, run)
        for curve, points in reversed(curves(summary).items()):  # MLflow lists the newest first
            child_tags = {**tags, "vcmbench.curve": curve, "mlflow.parentRunId": parent}
            with _started(client, experiment, curve, child_tags) as child:
                client.log_batch(child, metrics=_chart(points), params=_params(_codec(index, points)))
    for old in earlier:
        client.delete_run(old.info.run_id)
    return parent


class LiveRun:
    """An MLflow run of work that is still going on, such as a training.

    What the store does not take is left out, as no curve may cost the work.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def curves(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        points = [Metric(_key(name), value, _now(), step) for name, value in values.items() if math.isfinite(value)]
        with contextlib.suppress(Exception), _calm(_AFTERWARDS):
            self._client.log_batch(self._run_id, metrics=points)

    def picture(self, step: int, image: Image) -> None:
        """Add H×W×3 pixels."""
        with contextlib.suppress(Exception), _calm(_AFTERWARDS):
            self._client.log_image(self._run_id, image, key="validation", step=step)


@contextlib.contextmanager
def live_run(tracking: Tracking, name: str, parameters: Mapping[str, object]) -> Iterator[LiveRun]:
    """Start a run and end it with the block; raises `TrackingError` where the store cannot be reached."""
    with contextlib.ExitStack() as stack:
        try:
            with _calm(_FIRST_CONTACT):
                client = _connect(tracking.tracking_uri)
                run_id = stack.enter_context(_started(client, _experiment(client, tracking), name, {}))
                client.log_batch(run_id, params=_params(parameters))
        except Exception as error:  # as above
            message = (
                f"cannot log to MLflow at {tracking.tracking_uri}: {_reason(error)}; leave `mlflow` out to go without it"
            )
            raise TrackingError(without_passwords(message)) from error
        yield LiveRun(client, run_id)


# ---------------------------------------------------------------------------------------------- what is logged, pure


def fingerprint(batches: Iterable[pa.RecordBatch]) -> str:
    """Return 16 hexadecimal digits that are equal for manifests of the same images, boxes and labels in the same order.

    Where the files lie and how they are spread over shards does not count.
    """
    sha256 = hashlib.sha256()
    columns: list[str] = []
    for batch in batches:
        content = batch.drop_columns([name for name in ("path", "shard") if name in batch.column_names])
        if not columns:
            columns = content.column_names
            sha256.update(json.dumps(columns).encode())
        text = pa.BufferOutputStream()
        pa.csv.write_csv(content, text, pa.csv.WriteOptions(include_header=False))
        sha256.update(text.getvalue())
    return sha256.hexdigest()[:16]


def curves(summary: pa.Table) -> dict[str, list[_Row]]:
    """Curve → its settings' rows in order of rising rate; settings without a rate come last."""
    rows = sorted(summary.to_pylist(), key=lambda row: (row["rate"] is None, row["rate"] or 0))
    by_curve: dict[str, list[_Row]] = {curve: [] for curve in summary["curve"].to_pylist()}
    for row in rows:
        by_curve[row["curve"]].append(row)
    return by_curve


def flatten(parameters: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Spell nested parameters as dotted name → text; what is neither text nor a mapping becomes JSON."""
    flat: dict[str, str] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return flat


def without_passwords(text: str) -> str:
    """Replace the password of every URI in the text by ***."""
    return re.sub(r"(://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)


def _origin(run: RunDirectory, index: Index) -> dict[str, str]:
    """Tags that say what was measured, with which code, and with which caveat."""
    environment = run.read_provenance().get("environment", {})
    git = environment.get("git") or {}
    return {
        "vcmbench.name": index.name,
        "vcmbench.version": environment.get("vcmbench", ""),
        "vcmbench.git_commit": git.get("commit", "") + (" (changed)" if git.get("dirty") else ""),
        "vcmbench.notice": index.notice,
    }


def _totals(summary: pa.Table) -> list[Metric]:
    totals = {
        "images": max(summary["images"].to_pylist(), default=0),
        "settings": summary.num_rows,
        "errors": sum(summary["errors"].to_pylist()),
    }
    return [Metric(name, value, _now(), 0) for name, value in totals.items()]


def _chart(points: Sequence[_Row]) -> list[Metric]:
    """Every mean of every point, the point's position in the curve as the step, so that charts can put bpp on the x axis."""
    now = _now()
    return [
        Metric(_key(name.removesuffix("_mean")), float(value), now, step)
        for step, point in enumerate(points)
        for name, value in point.items()
        if name.endswith("_mean") and value is not None and math.isfinite(value)
    ]


def _codec(index: Index, points: Sequence[_Row]) -> dict[str, object]:
    """The parameters that the settings of a curve share, and the settings it runs through."""
    first = next(setting for setting in index.settings if setting.key == points[0]["setting"])
    shared = {name: value for name, value in first.params.items() if name != first.rate_parameter}
    described = {"family": first.family, "backend": first.backend, "rate_parameter": first.rate_parameter, "params": shared}
    return {"codec": described, "settings": [point["variant"] for point in points]}


def _params(parameters: Mapping[str, object]) -> list[Param]:
    return [
        Param(_key(name), _shorten(without_passwords(text), _PARAMETER_LENGTH)) for name, text in flatten(parameters).items()
    ]


def _dataset_input(name: str, run: RunDirectory) -> DatasetInput:
    entity = Dataset(
        name=_shorten(name, _NAME_LENGTH),
        digest=fingerprint(run.manifest_batches()),
        source_type="code",
        source=json.dumps({"tags": {"file": MANIFEST}}),
        profile=json.dumps({"num_rows": sum(run.shard_sizes().values())}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "evaluation")])


def _key(name: str) -> str:
    return _shorten(re.sub(r"[^\w.\- ]", "_", name), _NAME_LENGTH)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _now() -> int:
    return int(time.time() * 1000)


# ---------------------------------------------------------------------------------------------------- MLflow's side


@contextlib.contextmanager
def _calm(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables that the user did not set, and keep MLflow's own warnings to itself."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for name in added:
            del os.environ[name]


def _connect(uri: str) -> MlflowClient:
    """Return a client; a database is opened once beforehand, as MLflow retries one that cannot be opened for 100 s."""
    scheme = re.split(r"[:+]", uri)[0]
    if scheme not in {*_SERVERS, *DATABASE_ENGINES}:
        raise UsageError("tracking_uri must be a server's URL (http://…) or a database's URI (sqlite:///mlflow.db)")
    if uri.startswith(_SQLITE):
        _database(uri).parent.mkdir(parents=True, exist_ok=True)
        uri = f"{_SQLITE}{_database(uri)}"
    if scheme in DATABASE_ENGINES:
        engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]  # mlflow's own opening of it
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    return MlflowClient(uri)


def _database(uri: str) -> Path:
    """The file of a sqlite URI."""
    return Path(uri.removeprefix(_SQLITE)).absolute()


def _experiment(client: MlflowClient, tracking: Tracking) -> str:
    """Return the experiment's id; a new one in a sqlite file keeps its artifacts beside that file."""
    known = client.get_experiment_by_name(tracking.experiment)
    if known:
        return str(known.experiment_id)
    location = None
    if tracking.tracking_uri.startswith(_SQLITE):
        database = _database(tracking.tracking_uri)
        location = database.with_name(f"{database.stem}-artifacts").as_uri()
    return str(client.create_experiment(tracking.experiment, artifact_location=location))


def _identity(run: RunDirectory) -> str:
    """Return what marks this run directory alone, drawn when it is first logged: many people log a run named "demo"."""
    if not run.exists(TRACKING):
        run.write(TRACKING, json.dumps({"identity": uuid.uuid4().hex}).encode())
    return str(json.loads(run.read(TRACKING))["identity"])


@contextlib.contextmanager
def _started(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Start an MLflow run and yield its id; it ends as finished, or as failed when the block raises."""
    texts = {tag: _shorten(text, _TAG_LENGTH) for tag, text in tags.items() if text}
    run_id = client.create_run(experiment, tags=texts, run_name=_shorten(name, _NAME_LENGTH)).info.run_id
    try:
        yield run_id
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)


def _log_files(client: MlflowClient, run_id: str, run: RunDirectory) -> None:
    """Log the job, its provenance, the summary and everything of the report, wherever the run directory lies."""
    report = (path.removeprefix(run.path("")) for path in run.filesystem.find(run.path("report")))
    with tempfile.TemporaryDirectory() as folder:
        for name in [*filter(run.exists, (CONFIG, PROVENANCE, SUMMARY)), *report]:
            data = run.read(name)
            if name in {CONFIG, PROVENANCE}:
                data = without_passwords(data.decode()).encode()
            copy = Path(folder) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
        client.log_artifacts(run_id, folder)


def _reason(error: BaseException) -> str:
    """One line: the operating system's word where there is one, as MLflow wraps it in several layers of its own."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    roots = [cause for cause in chain if isinstance(cause, OSError)]
    text = re.sub(r"^\[Errno -?\d+\] ", "", str(roots[-1] if roots else error).strip())
    return _shorten(text.partition("\n")[0] or type(error).__name__, 300)
