"""Runs in MLflow: a real server on the loopback, and the sqlite file that needs none."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import http.server
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vcmbench.pipeline.tracking import Tracking, TrackingError, curves, fingerprint, flatten, log_run, without_passwords
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, SettingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOSTILE = "../../étrange 曲线 📉 ' OR 1=1; -- <script>"
QUALITIES = {"jpeg": [80, 40, 20, 10, 5], HOSTILE: [90, 5], "flat": [50]}


def setting(curve: str, quality: int) -> SettingRecord:
    return SettingRecord(
        key=f"{curve}{quality}",
        family=curve,
        curve=curve,
        variant=f"{curve} quality={quality}",
        rate_parameter="quality",
        params={"quality": quality, "optimize": True},
        backend="libjpeg 9",
    )


def summarise(settings: list[SettingRecord]) -> pa.Table:
    """A summary whose bpp and PSNR rise with the quality, and whose NME has no value below quality 10."""
    rates = [float(record.params["quality"]) for record in settings]
    return pa.table(
        {
            "setting": [record.key for record in settings],
            "family": [record.family for record in settings],
            "curve": [record.curve for record in settings],
            "variant": [record.variant for record in settings],
            "rate_parameter": [record.rate_parameter for record in settings],
            "rate": rates,
            "images": [7] * len(settings),
            "errors": [2] + [0] * (len(settings) - 1),
            "common": [5] * len(settings),
            "bpp_mean": [rate / 100 for rate in rates],
            "bytes_mean": [rate * 10 for rate in rates],
            "encode_ms_mean": [1.5] * len(settings),
            "decode_ms_mean": [0.5] * len(settings),
            "psnr_y_mean": [20 + rate for rate in rates],
            "psnr_y_std": [1.0] * len(settings),
            "psnr_y_n": [7] * len(settings),
            "psnr_y_coverage": [1.0] * len(settings),
            "nme(box)_mean": [None if rate < 10 else 1 / rate for rate in rates],
            "nme(box)_std": [None if rate < 10 else 0.1 for rate in rates],
            "nme(box)_n": [0 if rate < 10 else 7 for rate in rates],
            "nme(box)_coverage": [0.0 if rate < 10 else 1.0 for rate in rates],
        }
    )


class Case:
    """A small run directory with its report."""

    def __init__(self, url: str, qualities: dict[str, list[int]]) -> None:
        self.run = RunDirectory(url)
        settings = [setting(curve, quality) for curve, values in qualities.items() for quality in values]
        self.summary = summarise(settings)
        self.index = Index(name="demo", notice="two people, not a benchmark", settings=tuple(settings), metrics=())
        images = {"image": ["a", "b", "c"], "path": ["/data/a", "/data/b", "/data/c"], "identity": ["anna", "anna", None]}
        self.run.write_manifest(iter([pa.RecordBatch.from_pydict(images)]), shard_size=2)
        self.run.write_index(self.index)
        self.run.write("config.yaml", b"mlflow: {tracking_uri: 'https://me:sesame@server'}\n")
        self.run.write_provenance({"environment": {"vcmbench": "1.2.3", "git": {"commit": "c0ffee", "dirty": True}}})
        with self.run.create("summary.parquet") as file:
            pq.write_table(self.summary, file)
        self.run.write("report/index.html", b"<h1>report</h1>")
        self.run.write("report/figures/psnr_y.png", b"\x89PNG")

    def log(self, uri: str, **parameters: object) -> str:
        """Log the run and return its MLflow id."""
        return log_run(
            Tracking(uri, "faces"),
            self.run,
            self.index,
            self.summary,
            dataset="folder",
            parameters={"dataset": {"kind": "folder", "size": 256}, "codecs": [{"jpeg": {}}], **parameters},
            tags={"untrained": "UNTRAINED"},
        )

    def files(self) -> dict[str, bytes]:
        """Every file of the run directory with its content."""
        root = Path(self.run.root)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(str(tmp_path / "run"), QUALITIES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real MLflow server with a fresh database."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *stores], stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    try:
        while not is_healthy(port):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


@pytest.fixture(scope="module", params=["server", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both kinds of store: a server and a database file."""
    if request.param == "server":
        return str(request.getfixturevalue("server"))
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/new/mlflow.db"


@pytest.fixture(scope="module")
def logged(uri: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, str, str]:
    """A run directory, the store it was logged to, and the id of its parent run there."""
    case = Case(str(tmp_path_factory.mktemp("logged")), QUALITIES)
    return case, uri, case.log(uri)


def client_of(uri: str) -> MlflowClient:
    from mlflow import MlflowClient  # noqa: PLC0415  # vcmbench has to switch mlflow's telemetry off first

    with warnings.catch_warnings(action="ignore"):  # mlflow uses what sqlalchemy has deprecated
        return MlflowClient(uri)


def children(uri: str, parent: str) -> list[Run]:
    client = client_of(uri)
    experiment = client.get_run(parent).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'"))


def history(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client_of(uri).get_metric_history(run.info.run_id, metric)]


def artifact(uri: str, run_id: str, name: str, folder: Path) -> bytes:
    return Path(client_of(uri).download_artifacts(run_id, name, str(folder))).read_bytes()


# ---------------------------------------------------------------------------------------------------- what is logged


def test_the_parent_run_holds_parameters_totals_and_origin(logged: tuple[Case, str, str]) -> None:
    """The parent run is finished, has the job's parameters, the totals, and tags that say where the numbers come from."""
    _, uri, run_id = logged
    run = client_of(uri).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "demo"
    assert run.data.params == {"dataset.kind": "folder", "dataset.size": "256", "codecs": '[{"jpeg": {}}]'}
    assert run.data.metrics == {"images": 7, "settings": 8, "errors": 2}
    tags = {name: value for name, value in run.data.tags.items() if name not in {"vcmbench.run", "mlflow.loggedArtifacts"}}
    assert tags == {
        "mlflow.runName": "demo",
        "mlflow.note.content": "two people, not a benchmark",
        "vcmbench.name": "demo",
        "vcmbench.notice": "two people, not a benchmark",
        "vcmbench.version": "1.2.3",
        "vcmbench.git_commit": "c0ffee (changed)",
        "untrained": "UNTRAINED",
    }


def test_the_data_set_is_an_input(logged: tuple[Case, str, str]) -> None:
    """The parent run names its data set, with the manifest's fingerprint and the number of images."""
    case, uri, run_id = logged
    inputs = client_of(uri).get_run(run_id).inputs
    assert inputs
    [dataset] = [given.dataset for given in inputs.dataset_inputs]
    assert dataset.name == "folder"
    assert dataset.digest == fingerprint(case.run.manifest_batches())
    assert dataset.profile == json.dumps({"num_rows": 3})


def test_the_summary_is_a_table(logged: tuple[Case, str, str], tmp_path: Path) -> None:
    """The summary is a table artifact with every row and column, nulls kept, that MLflow shows as a table."""
    case, uri, run_id = logged
    table = json.loads(artifact(uri, run_id, "summary.json", tmp_path))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    expected = case.summary.to_pylist()
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other)
    tables = json.loads(client_of(uri).get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert tables == [{"path": "summary.json", "type": "table"}]


def test_each_curve_is_a_child_run_that_charts_over_bpp(logged: tuple[Case, str, str]) -> None:
    """Every curve is a child run with bpp and each metric at the same steps, in order of rising rate, without the nulls."""
    _, uri, run_id = logged
    runs = {run.info.run_name: run for run in children(uri, run_id)}
    assert set(runs) == {"jpeg", HOSTILE, "flat"}
    assert history(uri, runs["jpeg"], "bpp") == [(0, 0.05), (1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8)]
    assert history(uri, runs["jpeg"], "psnr_y") == [(0, 25), (1, 30), (2, 40), (3, 60), (4, 100)]
    assert history(uri, runs["jpeg"], "nme_box_") == [(1, 0.1), (2, 0.05), (3, 0.025), (4, 0.0125)]
    assert history(uri, runs[HOSTILE], "bpp") == [(0, 0.05), (1, 0.9)]
    assert set(runs["flat"].data.metrics) == {"bpp", "bytes", "encode_ms", "decode_ms", "psnr_y", "nme_box_"}


def test_a_child_run_names_its_codec_and_carries_the_notice(logged: tuple[Case, str, str]) -> None:
    """A child run has the parameters its settings share, lists the settings, and bears the tags of its parent."""
    _, uri, run_id = logged
    run = next(run for run in children(uri, run_id) if run.data.tags["vcmbench.curve"] == HOSTILE)
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "codec.family": HOSTILE,
        "codec.backend": "libjpeg 9",
        "codec.rate_parameter": "quality",
        "codec.params.optimize": "true",
        "settings": json.dumps([f"{HOSTILE} quality=5", f"{HOSTILE} quality=90"], ensure_ascii=False),
    }
    assert run.data.tags["vcmbench.notice"] == "two people, not a benchmark"
    assert run.data.tags["untrained"] == "UNTRAINED"


@pytest.mark.parametrize("place", ["local", "remote"])
def test_the_report_is_an_artifact(server: str, tmp_path: Path, place: str) -> None:
    """The report, the job and its origin are artifacts, wherever the run directory lies, and tell no password."""
    case = Case(f"memory://{tmp_path.name}" if place == "remote" else str(tmp_path / "run"), QUALITIES)
    run_id = case.log(server)
    assert artifact(server, run_id, "report/index.html", tmp_path) == b"<h1>report</h1>"
    assert artifact(server, run_id, "report/figures/psnr_y.png", tmp_path) == b"\x89PNG"
    assert artifact(server, run_id, "summary.parquet", tmp_path) == case.run.read("summary.parquet")
    assert json.loads(artifact(server, run_id, "provenance.json", tmp_path)) == case.run.read_provenance()
    assert artifact(server, run_id, "config.yaml", tmp_path) == b"mlflow: {tracking_uri: 'https://me:***@server'}\n"


def test_nothing_is_printed(case: Case, server: str, capfd: pytest.CaptureFixture[str]) -> None:
    """MLflow's own lines stay away from the terminal."""
    case.log(server)
    assert capfd.readouterr() == ("", "")


def test_the_default_keeps_everything_beside_the_database(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the working folder gets the database and its artifacts, and the home or temporary folders get nothing."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    log_run(Tracking(), case.run, case.index, case.summary, dataset="folder", parameters={}, tags={})
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow-artifacts", "mlflow.db"]


def test_long_and_many_values_fit(server: str, tmp_path: Path) -> None:
    """A parameter beyond MLflow's limit is shortened with a mark, and a curve with thousands of values is logged whole."""
    case = Case(str(tmp_path / "run"), {"jpeg": list(range(1, 301))})
    run_id = case.log(server, codecs="x" * 10_000)
    assert client_of(server).get_run(run_id).data.params["codecs"] == "x" * 5999 + "…"
    [child] = children(server, run_id)
    assert len(history(server, child, "bpp")) == len(history(server, child, "psnr_y")) == 300


# ---------------------------------------------------------------------------------------------------- logging again


def test_logging_again_replaces_the_run(case: Case, uri: str) -> None:
    """A run directory has one parent run and one set of children, the newest; the old ones are deleted, not lost."""
    old = case.log(uri, take=1)
    new = case.log(uri, take=2)
    client = client_of(uri)
    experiment = client.get_run(new).info.experiment_id
    mine = f"tags.`vcmbench.run` = '{client.get_run(new).data.tags['vcmbench.run']}'"
    active = {run.info.run_id for run in client.search_runs([experiment], mine)}
    assert active == {new, *(run.info.run_id for run in children(uri, new))}
    assert client.get_run(new).data.params["take"] == "2"
    assert client.get_run(old).info.lifecycle_stage == "deleted"


def test_another_directory_of_the_same_name_stays(case: Case, uri: str, tmp_path: Path) -> None:
    """Two run directories whose jobs have the same name do not replace each other."""
    first = case.log(uri)
    Case(str(tmp_path / "other"), QUALITIES).log(uri)
    assert client_of(uri).get_run(first).info.lifecycle_stage == "active"


def test_a_run_that_fails_half_way_leaves_the_earlier_one(case: Case, tmp_path: Path) -> None:
    """When artifacts cannot be stored, the new run is marked as failed and the earlier one stays until one succeeds."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    old = case.log(uri)
    artifacts = tmp_path / "mlflow-artifacts"
    artifacts.rename(tmp_path / "aside")
    artifacts.write_text("a file where a folder is needed")
    with pytest.raises(TrackingError, match="mlflow-artifacts"):
        case.log(uri)
    client = client_of(uri)
    experiment = client.get_run(old).info.experiment_id
    statuses = {run.info.run_id: run.info.status for run in client.search_runs([experiment], "attributes.run_name = 'demo'")}
    assert statuses.pop(old) == "FINISHED"
    assert list(statuses.values()) == ["FAILED"]
    artifacts.unlink()
    new = case.log(uri)
    assert [run.info.run_id for run in client.search_runs([experiment], "attributes.run_name = 'demo'")] == [new]


# ------------------------------------------------------------------------------------------------- what can go wrong


def refused(case: Case, uri: str) -> str:
    """Log to a store that cannot be used; check that it is quick, changes nothing, and return the message."""
    files, variables, start = case.files(), dict(os.environ), time.monotonic()
    with pytest.raises(TrackingError) as caught:
        case.log(uri)
    assert time.monotonic() - start < 10
    assert case.files() == files
    assert dict(os.environ) == variables
    message = str(caught.value)
    assert "\n" not in message
    assert f"`vcmbench report {case.run.url} --mlflow`" in message
    return message


def test_a_server_that_is_down_costs_nothing(case: Case) -> None:
    """A port where nothing listens is refused at once, with the URL in the message and its password hidden."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    message = refused(case, f"http://me:sesame@127.0.0.1:{port}")
    assert f"http://me:***@127.0.0.1:{port}: Connection refused" in message
    assert "sesame" not in message


def test_a_server_that_never_answers_is_given_up(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that accepts and stays silent is given up after the time limit, here the user's own of one second."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in refused(case, f"http://127.0.0.1:{silent.getsockname()[1]}")


@contextlib.contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A web server that is not MLflow; yields its port."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as listener:
        if context:
            listener.socket = context.wrap_socket(listener.socket, server_side=True)
        listener.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is what is wanted
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield listener.server_port
        finally:
            listener.shutdown()
            thread.join()


def test_a_web_server_that_is_not_mlflow_is_told(case: Case) -> None:
    """Another service on the port is reported with the answer it gave."""
    with web_server() as port:
        assert "501" in refused(case, f"http://127.0.0.1:{port}")


def test_a_bad_certificate_is_told(case: Case, tmp_path: Path) -> None:
    """A server whose certificate nobody signed is refused, and the message says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "server.pem"))
    with web_server(context) as port:
        assert "certificate verify failed" in refused(case, f"https://127.0.0.1:{port}")


def self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_database_that_cannot_be_opened_is_told(case: Case, tmp_path: Path) -> None:
    """A sqlite path below a file, on a folder, or at a file of another kind is refused at once."""
    (tmp_path / "file").write_bytes(b"not a database" * 100)
    assert "file" in refused(case, f"sqlite:///{tmp_path}/file/mlflow.db")
    assert "unable to open database file" in refused(case, f"sqlite:///{tmp_path}")
    assert "file is not a database" in refused(case, f"sqlite:///{tmp_path}/file")


@pytest.mark.parametrize("uri", ["htp://server:5000", "./mlruns", "file:///mlruns", "", "http://[bad"])
def test_a_malformed_uri_is_told(case: Case, uri: str) -> None:
    """A URI of an unknown kind is refused with the kinds that work."""
    message = refused(case, uri)
    assert "sqlite:///mlflow.db" in message or "Invalid IPv6 URL" in message


# ------------------------------------------------------------------------------------------------------ pure functions


def test_the_fingerprint_follows_the_images_alone() -> None:
    """Another place or sharding gives the same fingerprint; another image, label or null gives another."""
    columns: dict[str, list[Any]] = {"image": ["a", "b"], "path": ["/x/a", "/x/b"], "identity": ["", None], "shard": [0, 0]}
    expected = fingerprint(pa.table(columns).to_batches())
    assert fingerprint(pa.table({**columns, "path": ["s3://a", "s3://b"], "shard": [0, 1]}).to_batches()) == expected
    halves = [pa.table(columns).slice(0, 1), pa.table(columns).slice(1, 1)]
    assert fingerprint(pa.concat_tables(halves).to_batches()) == expected
    others = [{**columns, "image": ["a", "c"]}, {**columns, "identity": [None, None]}, {**columns, "box_x": [1.0, 2.0]}]
    assert len({expected, *(fingerprint(pa.table(other).to_batches()) for other in others)}) == 4


def test_a_setting_without_a_rate_comes_last() -> None:
    """Curves keep the summary's order, their settings are in order of rising rate, and a missing rate does no harm."""
    summary = pa.table({"curve": ["b", "a", "b", "b"], "rate": [None, 1.0, 20.0, 3.0]})
    ordered = curves(summary)
    assert list(ordered) == ["b", "a"]
    assert [row["rate"] for row in ordered["b"]] == [3.0, 20.0, None]


def test_nested_parameters_become_dotted_names() -> None:
    """Mappings are flattened, lists and numbers become JSON, words stay as they are."""
    nested = {"dataset": {"kind": "demo", "crop": {"scale": 1.3}}, "codecs": ["jpeg", 4], "limit": None}
    expected = {"dataset.kind": "demo", "dataset.crop.scale": "1.3", "codecs": '["jpeg", 4]', "limit": "null"}
    assert flatten(nested) == expected


def test_passwords_are_hidden_and_nothing_else() -> None:
    """Only the password of a URI is replaced; ports, paths and addresses stay."""
    assert without_passwords("at https://me:pa55@host:80/x, a@b") == "at https://me:***@host:80/x, a@b"
    assert (
        without_passwords("sqlite:////data/a@b:c.db http://host:5000/a@b") == "sqlite:////data/a@b:c.db http://host:5000/a@b"
    )
