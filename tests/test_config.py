"""The job file: what a wrong one is told, and what a right one resolves to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import yaml
from jobs import job_text, write_job

from vcmbench import registry
from vcmbench.codecs import create
from vcmbench.config.codecs import parse_codec
from vcmbench.config.job import Job, load_job, stored_job
from vcmbench.config.yaml_text import read_yaml
from vcmbench.interfaces import Codec, Column, Metric, Parameter, ParameterError, UsageError
from vcmbench.metrics.psnr import PsnrY
from vcmbench.results import CONFIG, RunDirectory

ONE_CODEC = "one codec must stand here, such as `jpeg: {quality: [4, 10]}` or `png`"
A_QUALITY = "jpeg: quality must be a whole number from 1 to 100"
A_LIST_OF_CODECS = "codecs must be a list such as [jpeg: {quality: [4, 10]}, png]"
METRICS = "metrics must be all, available or a list such as [psnr_y, landmarks: {detector: sfd}]"
A_METRIC = "one metric must stand here, such as `psnr_y` or `landmarks: {detector: sfd}`"
FOLDER = "a folder or URL such as runs/demo"
LIMIT = "dataset.limit must be a whole number from 1 (leave it out to take every image)"
IDENTITIES = "dataset.identities must be a whole number from 1 or a list of names (leave it out to take everybody)"
SCALE = "dataset.crop.scale must be a number above 0, at most 10"
SIZE = "dataset.size must be a whole number of pixels from 16 to 4096"

WRONG_KEYS: list[tuple[dict[str, str | None], str]] = [
    ({"name": None}, "the key name is missing; it must be text such as demo"),
    ({"out": None}, f"the key out is missing; it must be {FOLDER}"),
    ({"name": None, "nmae": "demo"}, "unknown key nmae (did you mean name?); known here: name, dataset, codecs, "),
    ({"shard-size": "4"}, "unknown key shard-size (did you mean shard_size?); known here: name, "),
    ({"limit": "4"}, "unknown key limit (did you mean dataset.limit?)"),
    ({"scale": "4"}, "unknown key scale (did you mean dataset.crop.scale?)"),
    ({"7": "4"}, "unknown key 7; known here: name, "),
    ({"name": ""}, "name must be text such as demo, not nothing"),
    ({"name": "''"}, "name must be text such as demo, not ''"),
    ({"name": "7"}, "name must be text such as demo, not 7; write it in quotes"),
    ({"out": ""}, f"out must be {FOLDER}, not nothing"),
    ({"out": "[a, b]"}, f"out must be {FOLDER}, not ['a', 'b']"),
    ({"shard_size": "0"}, "shard_size must be a whole number of images from 1 to 100000, not 0"),
    ({"shard_size": "many"}, "shard_size must be a whole number of images from 1 to 100000, not 'many'"),
    ({"time_limit": "1 min"}, "time_limit must be a number of seconds from 0.01 to 86400, not '1 min'"),
    ({"time_limit": ".inf"}, "time_limit must be a number of seconds from 0.01 to 86400, not inf"),
    ({"mlflow": "true"}, "mlflow must be a section such as {experiment: vcmbench}, not true"),
    ({"mlflow": "{uri: x}"}, "unknown key mlflow.uri; known here: tracking_uri, experiment"),
    ({"mlflow": "{experiment: 7}"}, "mlflow.experiment must be text such as vcmbench, not 7; write it in quotes"),
]

WRONG_DATASETS = [
    ("", "dataset must be a section such as {kind: demo}, not nothing"),
    ("demo", "dataset must be a section such as {kind: demo}, not 'demo'"),
    ("{size: 64}", "the key dataset.kind is missing; it must be the name of a data set, such as demo"),
    (
        "{kind: vggface}",
        "dataset.kind: unknown data set 'vggface' (did you mean 'vggface2'?); known: demo, ",
    ),
    ("{kind: 2}", "dataset.kind must be the name of a data set, such as demo, not 2; write it in quotes"),
    ("{kind: folder}", "the key dataset.root is missing; a data set of kind folder needs it"),
    (
        "{kind: folder, rot: x}",
        "unknown key dataset.rot (did you mean dataset.root?); known here: kind, size, crop, min_face, ",
    ),
    ("{kind: folder, root: 7}", "dataset.root must be a valid string, not 7; write it in quotes"),
    ("{kind: folder, root: .x://y}", "dataset: .x://y cannot be opened: Protocol not known: .x"),
    ("{kind: folder, root: ., identity_from: x}", "dataset.identity_from must be 'none' or 'folder', not 'x'"),
    ("{kind: demo, 7: x}", "unknown key dataset.7; known here: kind, size, crop, "),
    ("{kind: demo, root: x}", "unknown key dataset.root; known here: kind, size, crop, "),
    ("{kind: demo, shard_size: 4}", "unknown key dataset.shard_size (did you mean shard_size?)"),
    ("{kind: demo, size: 1e9}", f"{SIZE}, not 1000000000.0"),
    ("{kind: demo, size: 8}", f"{SIZE}, not 8"),
    ("{kind: demo, size: true}", f"{SIZE}, not true"),
    ("{kind: demo, crop: 1.3}", "dataset.crop must be a section such as {scale: 1.3}, not 1.3"),
    ("{kind: demo, crop: {scale: 0}}", f"{SCALE}, not 0"),
    ("{kind: demo, crop: {scale: wide}}", f"{SCALE}, not 'wide'"),
    ("{kind: demo, crop: {scale: .nan}}", f"{SCALE}, not nan"),
    ("{kind: demo, crop: {scale: true}}", f"{SCALE}, not true"),
    ("{kind: demo, crop: {side: 2}}", "unknown key dataset.crop.side; known here: scale"),
    ("{kind: demo, min_face: -1}", "dataset.min_face must be a number of pixels from 0, not -1"),
    ("{kind: demo, min_face: .inf}", "dataset.min_face must be a number of pixels from 0, not inf"),
    ("{kind: demo, limit: 0}", f"{LIMIT}, not 0"),
    ("{kind: demo, limit: all}", f"{LIMIT}, not 'all'"),
    ("{kind: demo, limit: 1.5}", f"{LIMIT}, not 1.5"),
    ("{kind: demo, identities: []}", f"{IDENTITIES}, not []"),
    ("{kind: demo, identities: grace_hopper}", f"{IDENTITIES}, not 'grace_hopper'"),
    ("{kind: demo, identities: [grace_hopper, 7]}", f"{IDENTITIES}, not ['grace_hopper', 7]"),
    ("{kind: demo, seed: -1}", "dataset.seed must be a whole number from 0 to 4294967295, not -1"),
]

WRONG_CODECS = [
    ("", f"{A_LIST_OF_CODECS}, not nothing"),
    ("[]", f"{A_LIST_OF_CODECS}, not []"),
    ("jpeg", f"{A_LIST_OF_CODECS}, not 'jpeg'"),
    ("{jpeg: {quality: 4}}", f"{A_LIST_OF_CODECS}, not {{'jpeg': {{'quality': 4}}}}"),
    ("[png, 4]", f"codecs[1]: {ONE_CODEC}, not 4"),
    ("[{}]", f"codecs[0]: {ONE_CODEC}, not {{}}"),
    ("[{jpeg: , quality: 4}]", f"codecs[0]: {ONE_CODEC}, not {{'jpeg': None, 'quality': 4}}"),
    ("[jpeg: 4]", "codecs[0]: jpeg must be followed by its parameters, such as {quality: [4, 10]}, not 4"),
    ("[jpeg: [4]]", "codecs[0]: jpeg must be followed by its parameters, such as {quality: [4, 10]}, not [4]"),
    ("[jpg: {quality: 4}]", "codecs[0]: unknown codec 'jpg' (did you mean 'jpeg'?); known: "),
    ("[4: {quality: 4}]", "codecs[0]: unknown codec 4; known: "),
    ("[jpeg: {qualty: 4}]", "codecs[0]: jpeg: unknown parameter 'qualty'; its parameters are: quality, subsampling, "),
    ("[jpeg: {4: 4}]", "codecs[0]: jpeg: unknown parameter '4'; its parameters are: quality, "),
    ("[jpeg: {quality: []}]", "codecs[0]: jpeg: quality is an empty list; give at least one value"),
    ("[jpeg: {quality: }]", f"codecs[0]: {A_QUALITY}, not None"),
    ("[jpeg: {quality: high}]", f"codecs[0]: {A_QUALITY}, not 'high'"),
    ("[jpeg: {quality: [4, 101]}]", f"codecs[0]: {A_QUALITY}, not 101"),
    ("[jpeg: {quality: 1e1}]", f"codecs[0]: {A_QUALITY}, not 10.0"),
    ("[jpeg: {quality: [[4]]}]", f"codecs[0]: {A_QUALITY}, not [4]"),
    ("[jpeg: {subsampling: '4:1:1'}]", "codecs[0]: jpeg: subsampling must be one of 4:4:4, 4:2:2, 4:2:0, not '4:1:1'"),
    ("[downscale: {codec: wepb}]", "codecs[0]: unknown codec 'wepb' (did you mean 'webp'?); known: "),
    ("[jpeg: {quality: [4, 4]}]", "codecs[0]: jpeg quality=4 is asked for twice; remove one"),
    ("[jpeg, png, jpeg: {quality: 75}]", "codecs[2]: jpeg quality=75 is asked for twice; remove one"),
    ("[jpeg quality]", "codecs[0]: codec 'jpeg quality': 'quality' must be parameter=value"),
    ("['jpeg quality=[']", "codecs[0]: codec 'jpeg quality=[': line 1, column 2: "),
    ("[jpeg quality=4 quality=5]", "codecs[0]: codec 'jpeg quality=4 quality=5': quality is given twice; keep one"),
]

WRONG_METRICS = [
    ("", f"{METRICS}, not nothing"),
    ("[]", f"{METRICS}, not []"),
    ("psnr_y", f"{METRICS}, not 'psnr_y'"),
    ("[psnr_y, 4]", f"metrics: {A_METRIC}, not 4"),
    ("[psnr_y: 4]", f"metrics: {A_METRIC}, not {{'psnr_y': 4}}"),
    ("[psnr_y: {}, ssim_y, psnr_y]", "metrics: psnr_y is asked for twice; remove one"),
    ("[psnr_y: {base: 10}]", "metrics: psnr_y: unknown parameter 'base'; its parameters are: none"),
    ("[landmarks: {detector: eyes}]", "metrics: landmarks: detector must be one of blazeface, sfd, not 'eyes'"),
    ("{psnr_y: {}}", f"{METRICS}, not {{'psnr_y': {{}}}}"),
    ("[psnr]", "metrics: unknown metric 'psnr' (did you mean 'psnr_y'?); known: "),
]

WRONG_YAML = [
    (b"", "a job file holds keys and values such as `name: demo`, not nothing"),
    (b"demo", "a job file holds keys and values such as `name: demo`, not 'demo'"),
    (b"- name: demo", "a job file holds keys and values such as `name: demo`, not [{'name': 'demo'}]"),
    (
        b"name: demo\nmlflow:\n\texperiment: x\n",
        r"line 3, column 1: while scanning for the next token: found character '\t' ",
    ),
    (
        b"name: [a\n",
        "line 2, column 1: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'; check the ",
    ),
    (
        b"name: a: b\n",
        "column 8: mapping values are not allowed here; check the indentation (spaces, no tabs), quotes and br",
    ),
    (b"name: demo\n out: x\n", "line 2, column 5: mapping values are not allowed here; check the indentation"),
    (b"name: a\nout: x\nname: b\n", "line 3, column 1: the key 'name' stands here a second time; keep one"),
    (b"dataset: {size: 64, size: 128}", "line 1, column 21: the key 'size' stands here a second time; keep one"),
    (b"name: *demo\n", "line 1, column 7: found undefined alias 'demo'"),
    (b"name: !!python/object:os.system {}\n", "line 1, column 7: could not determine a constructor for the tag"),
    (b"name: a\n---\nname: b\n", "line 2, column 1: expected a single document in the stream: but found another document"),
    (b"name: \x00\n", "not YAML: unacceptable character #x0000"),
    (b"[" * 5000, "not YAML: maximum recursion depth exceeded"),
]

WRONG_OVERRIDES = [
    ("", "--set '' must be key=value, e.g. --set dataset.limit=100"),
    ("dataset.limit", "--set 'dataset.limit' must be key=value, e.g. --set dataset.limit=100"),
    ("=4", "--set '=4' must be key=value"),
    ("dataset..limit=4", "--set 'dataset..limit=4' must be key=value"),
    ("name.first=4", "--set 'name.first=4': name is 'demo', which has no keys"),
    ("codecs=[", "--set 'codecs=[': line 1, column 2: "),
    ("dataset.limit=ten", f"{LIMIT}, not 'ten'"),
    ("limit=10", "unknown key limit (did you mean dataset.limit?)"),
]


def refusal(path: Path, *overrides: str) -> str:
    """Return what the user is told of a wrong job file."""
    with pytest.raises(UsageError) as refused:
        load_job(path, overrides)
    return str(refused.value)


def load(tmp_path: Path, *overrides: str, **changes: str | None) -> Job:
    """Load the small job with these changes."""
    return load_job(write_job(tmp_path / "job.yaml", **changes), overrides)


# ------------------------------------------------------------------------------------------------------ wrong files


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *WRONG_KEYS,
        *[({"dataset": value}, told) for value, told in WRONG_DATASETS],
        *[({"codecs": value}, told) for value, told in WRONG_CODECS],
        *[({"metrics": value}, told) for value, told in WRONG_METRICS],
    ],
    ids=str,
)
def test_a_wrong_job_is_refused(tmp_path: Path, changes: dict[str, str | None], told: str) -> None:
    """One line names the file, the key and what would be right."""
    path = write_job(tmp_path / "job.yaml", **changes)
    message = refusal(path)
    assert message.startswith(f"{path}: {told}")
    assert "\n" not in message


@pytest.mark.parametrize(("content", "told"), WRONG_YAML)
def test_what_is_not_yaml_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """One line names the file, the place in it and the problem."""
    path = tmp_path / "job.yaml"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(("override", "told"), WRONG_OVERRIDES)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, told: str) -> None:
    """A change given on the command line is checked like the file."""
    path = write_job(tmp_path / "job.yaml")
    assert refusal(path, override).startswith(f"{path}: {told}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, and text that is not UTF-8 are named."""
    missing, latin = tmp_path / "missing.yaml", tmp_path / "latin.yaml"
    latin.write_bytes(job_text(name="Zoë").encode("latin-1"))
    assert refusal(missing) == f"the job file {missing} cannot be read: No such file or directory"
    assert refusal(tmp_path) == f"the job file {tmp_path} cannot be read: Is a directory"
    assert refusal(latin) == f"the job file {latin} is not text in UTF-8; save it as such"


# ------------------------------------------------------------------------------------------------------ right files


def test_a_short_job_gets_every_default(tmp_path: Path) -> None:
    """Every key that may be left out is written out in the resolved job."""
    job = load(tmp_path, dataset="{kind: demo}", codecs="[png]", metrics="[psnr_y]")
    assert job.resolved == {
        "name": "demo",
        "dataset": {
            "kind": "demo",
            "size": 256,
            "crop": {"scale": 1.3},
            "min_face": 0.0,
            "limit": None,
            "identities": None,
            "seed": 0,
        },
        "codecs": ["png"],
        "metrics": ["psnr_y"],
        "precision": "fp32",
        "untrained": False,
        "unverified_weights": False,
        "feature_images": 10_000,
        "keep_bitstreams": False,
        "out": "runs/demo",
        "shard_size": 256,
        "time_limit": 60.0,
        "mlflow": None,
        "report": {"anchor": None, "images": False, "image_names": [], "settings": []},
    }


def test_lists_expand_to_every_combination_in_order(tmp_path: Path) -> None:
    """The last list varies fastest, and the codecs keep the order of the file."""
    codecs = (
        "[webp quality=30 lossless=true, jpeg: {quality: [40, 4], optimize: [true, false]}, png, downscale: {factor: 4}]"
    )
    assert [codec.variant for codec in load(tmp_path, codecs=codecs).codecs] == [
        "webp quality=30 lossless=true",
        "jpeg quality=40 optimize=true",
        "jpeg quality=40",
        "jpeg quality=4 optimize=true",
        "jpeg quality=4",
        "png",
        "downscale factor=4 codec=webp quality=80",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Zoë's 1e5 ½", "metrics": "available", "mlflow": "{}", "time_limit": "2"},
        {
            "metrics": "[psnr_y, landmarks: {boxes: dataset}]",
            "untrained": "true",
            "precision": "bf16",
            "feature_images": "9",
        },
        {"dataset": "{kind: demo, size: 64, crop: {scale: 2}, min_face: 9, identities: [grace_hopper], seed: 7}"},
        {"dataset": "{kind: folder, root: faces, identity_from: folder, identities: 2, limit: 9}"},
        {"codecs": "[jpeg: {quality: [4, 9], subsampling: '4:4:4'}, jpeg2000: {bpp: 1e-1}, avif: , webp quality=3]"},
    ],
)
def test_a_resolved_job_reads_back_as_the_same_job(tmp_path: Path, changes: dict[str, str]) -> None:
    """The job stored beside the results asks for exactly what was computed."""
    job = load(tmp_path, **changes)
    path = tmp_path / "resolved.yaml"
    path.write_bytes(yaml.safe_dump(job.resolved, allow_unicode=True).encode())
    again = load_job(path)
    assert again.resolved == job.resolved
    assert again.task.dataset == job.task.dataset
    assert [codec.identity for codec in again.codecs] == [codec.identity for codec in job.codecs]
    assert (again.selection, again.preparation) == (job.selection, job.preparation)
    assert _orders(again) == _orders(job)


def test_the_stored_job_of_a_run_is_found(tmp_path: Path) -> None:
    """What the run directory holds reads back, even a name that looks like a number; a damaged file is named."""
    job = load(tmp_path, name="'1e5'")
    run = RunDirectory(str(tmp_path))
    run.write(CONFIG, yaml.safe_dump(job.resolved).encode())
    assert stored_job(run) == job.file
    for damaged in (b"{", b"", b"name: demo\n"):
        run.write(CONFIG, damaged)
        with pytest.raises(UsageError, match=f"{run.path(CONFIG)} is damaged: .*; restore it, or choose another `out`"):
            stored_job(run)


def test_a_relative_root_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers elsewhere get the absolute root; what is stored stays as it was written."""
    monkeypatch.chdir(tmp_path)
    job = load(tmp_path / "..", dataset="{kind: folder, root: faces}")
    assert cast(Any, job.dataset).root == str(tmp_path / "faces")
    assert job.resolved["dataset"]["root"] == "faces"
    assert job.resolved["dataset"]["identity_from"] == "none"


def test_overrides_are_typed_and_nested(tmp_path: Path) -> None:
    """A value is YAML, a dotted key makes the sections it needs, and the last one wins."""
    overrides = [
        "dataset.limit=7",
        "dataset.limit=",
        "dataset.crop.scale=2",
        "mlflow.experiment='7'",
        "codecs=[jpeg: {quality: [1, 2]}]",
        "out=s3://bucket/a=b",
    ]
    job = load(tmp_path, *overrides, mlflow="")
    assert job.selection.limit is None
    assert job.preparation.scale == 2
    assert job.file.mlflow is not None
    assert job.file.mlflow.experiment == "7"
    assert [codec.variant for codec in job.codecs] == ["jpeg quality=1", "jpeg quality=2"]
    assert job.file.out == "s3://bucket/a=b"


def test_yaml_is_read_by_its_newer_rules() -> None:
    """Ratios, dates and zeros in front make words, exponents need no point, and a merged key is not a repeated one."""
    assert read_yaml("[4:4:4, 2026-11-21, 007, -7, 0, 1e1, .5]") == ["4:4:4", "2026-11-21", "007", -7, 0, 10.0, 0.5]
    assert read_yaml("[&low {a: 1, b: 2}, {<<: *low, b: 3}, *low]") == [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2}]


# ----------------------------------------------------------------------------------------------------------- metrics


class Absent(PsnrY):
    """A metric whose weights are not here."""

    name = "absent"
    columns: ClassVar = {"absent": Column("Absent", "higher")}

    def unavailable(self) -> str:
        """Say what is missing."""
        return "its weights are not here; fetch them"


class Loud(PsnrY):
    """A metric whose column another metric has too."""

    name = "loud"
    columns: ClassVar = {"PSNR_Y": Column("Loud", "higher")}


class Rate(PsnrY):
    """A metric whose column every row has."""

    name = "rate"
    columns: ClassVar = {"bpp": Column("Rate", "lower")}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the metrics above known for the length of a test."""
    classes = cast("dict[str, type[Metric]]", registry.metrics.classes)
    for metric in (Absent, Loud, Rate):
        monkeypatch.setitem(classes, metric.name, metric)


@pytest.mark.usefixtures("known")
def test_a_metric_that_cannot_run_stops_the_job(tmp_path: Path) -> None:
    """An explicit list is not cut down in silence: the message has the reason and the way round."""
    message = refusal(write_job(tmp_path / "job.yaml", metrics="[psnr_y, absent]"))
    remedy = "its weights are not here; fetch them; or write `metrics: available` to go without it"
    assert message.endswith(f"job.yaml: metrics: absent cannot run: {remedy}")


def test_available_leaves_out_what_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job runs without such a metric and knows why."""
    everything = _orders(load(tmp_path, metrics="available"))
    monkeypatch.setitem(cast("dict[str, type[Metric]]", registry.metrics.classes), "absent", Absent)
    job = load(tmp_path, metrics="available")
    assert _orders(job) == everything
    assert job.unavailable["absent"] == "its weights are not here; fetch them"


def test_random_networks_need_no_weights_and_are_announced(tmp_path: Path) -> None:
    """With `untrained` every network can run, and every output says that its values mean nothing."""
    job = load(tmp_path, metrics="[psnr_y, lpips_alex]", untrained="true")
    assert [metric.setup.untrained for metric in job.metrics] == [True, True]
    assert job.task.notices == ("UNTRAINED: the networks are random, so that the values of their metrics mean nothing",)
    assert load(tmp_path, metrics="[psnr_y]", untrained="true").task.notices == ()


def test_missing_weights_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not on this machine stop a job with a list of metrics before it starts."""
    for home in ("VCMBENCH_WEIGHTS", "TORCH_HOME", "DEEPFACE_HOME"):
        monkeypatch.setenv(home, str(tmp_path / "empty"))
    message = refusal(write_job(tmp_path / "job.yaml", metrics="[psnr_y, lpips_alex]"))
    assert "metrics: lpips_alex cannot run: alexnet-owt-7be5be79.pth (244 MB) not on this machine" in message
    assert "`vcmbench weights fetch alexnet`" in message
    assert message.endswith("or write `metrics: available` to go without it")


def test_other_weights_are_refused_unless_the_job_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the published one stops the job; with `unverified_weights` every output names its hash."""
    monkeypatch.setenv("VCMBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"other")
    assert "is not the published alexnet" in refusal(write_job(tmp_path / "job.yaml", metrics="[lpips_alex]"))
    job = load(tmp_path, metrics="[lpips_alex]", unverified_weights="true")
    digest = hashlib.sha256(b"other").hexdigest()
    assert job.task.notices == (f"unverified weights: alexnet-owt-7be5be79.pth, SHA-256 {digest}",)


def _orders(job: Job) -> list[tuple[str, object, object]]:
    return [(metric.name, metric.params, metric.setup) for metric in job.metrics]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ("[psnr_y, loud]", "metrics: loud and psnr_y both give the column 'PSNR_Y'; leave one out"),
        ("[rate]", "metrics: rate and vcmbench itself both give the column 'bpp'; leave one out"),
    ],
)
def test_two_owners_of_a_column_are_refused(tmp_path: Path, metrics: str, told: str) -> None:
    """Names that differ by case alone collide, as they do for DuckDB."""
    assert refusal(write_job(tmp_path / "job.yaml", metrics=metrics)).endswith(told)


# ------------------------------------------------------------------------------------------------ codecs in one word


def settings(family: str) -> Iterator[Codec]:
    """The default setting, then each parameter at each of its extremes."""
    yield create(family)
    for name, parameter in create(family).parameters.items():
        for value in extremes(parameter):
            try:
                yield create(family, **{name: value})
            except ParameterError:  # two parameters may exclude each other
                continue


def extremes(parameter: Parameter) -> list[object]:
    """The bounds of a number, both flags, every choice."""
    if isinstance(parameter.default, bool):
        return [False, True]
    if isinstance(parameter.default, str):
        return list(parameter.choices)
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    number = type(parameter.default)
    return [number(parameter.minimum), number(parameter.maximum)]


@pytest.mark.parametrize("family", list(registry.codecs.classes))
def test_a_setting_is_found_by_its_variant(family: str) -> None:
    """What tables and charts call a setting can be given to `--codec` and makes the same setting."""
    for codec in settings(family):
        assert parse_codec(codec.variant).identity == codec.identity
