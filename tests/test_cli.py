"""The program as a user runs it, without Ray: what it prints, writes and returns, and how it takes being stopped."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from jobs import write_job
from skimage.data import astronaut

import vcmbench
from vcmbench import cli
from vcmbench.codecs import create
from vcmbench.interfaces import Image

PROGRAM = Path(sys.executable).with_name("vcmbench")
FACE: Image = np.ascontiguousarray(astronaut()[20:220, 70:383])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
TIMES = ("encode_ms", "decode_ms")

SLOW = {
    "dataset": "{kind: demo, limit: 16, size: 256}",
    "codecs": "[avif: {quality: 40, speed: 4}, png]",
    "shard_size": "1",
}
"""A job of 16 images × 2 settings whose shards take long enough to stop it between two of them."""


@dataclass(frozen=True)
class Finished:
    """What the program left behind."""

    code: int
    out: str
    err: str


def vcmbench_in(folder: Path, *arguments: str) -> Finished:
    """Run the program in a folder."""
    child = subprocess.run([PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return Finished(child.returncode, child.stdout, child.stderr)


Call = Callable[..., Finished]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the program in this process and an empty folder, for the sake of speed."""
    monkeypatch.chdir(tmp_path)

    def call_main(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Finished(code, *capsys.readouterr())

    return call_main


def files(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    """Every file under a folder with its time of change and content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def rows(run: Path) -> list[dict[str, object]]:
    """The rows of every current shard, without the times."""
    shards = json.loads((run / "index.json").read_text())["shards"]
    table = [row for shard in shards.values() for row in pq.read_table(run / shard["file"]).to_pylist()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in table]


def one_line(finished: Finished) -> str:
    """The one line of an error, with nothing printed beside it."""
    assert finished.out == ""
    assert finished.err.count("\n") == 1
    assert finished.err.startswith("vcmbench: ")
    return finished.err.removeprefix("vcmbench: ").rstrip("\n")


# ------------------------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class DemoRun:
    """The small job, run once."""

    folder: Path
    finished: Finished

    @property
    def out(self) -> Path:
        """Its run directory."""
        return self.folder / "runs/demo"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the small job of four images and three settings, in shards of three."""
    folder = tmp_path_factory.mktemp("demo")
    write_job(folder / "job.yaml", shard_size="3")
    return DemoRun(folder, vcmbench_in(folder, "run", "job.yaml", "--address", "local"))


@pytest.fixture
def copy(demo: DemoRun, tmp_path: Path) -> Path:
    """A copy of the run's folder, to change."""
    return Path(shutil.copytree(demo.folder, tmp_path / "copy", copy_function=shutil.copy2))


def test_a_run_ends_with_its_table_and_files(demo: DemoRun) -> None:
    """Exit code 0, the table and where to find everything on stdout, and one good row per image × setting."""
    assert demo.finished.code == 0
    assert "report:  runs/demo/report/index.html\nresults: runs/demo/results/\n" in demo.finished.out
    for words in ("jpeg quality=4", "jpeg quality=40", "png", "PSNR-Y", "SSIM-Y", "Two people, not a benchmark."):
        assert words in demo.finished.out
    assert {"config.yaml", "index.json", "manifest.parquet", "provenance.json", "summary.parquet"} <= files(demo.out).keys()
    assert {"report/index.html", "report/table1.md", "report/table1.csv"} <= files(demo.out).keys()
    assert [row["status"] for row in rows(demo.out)] == ["ok"] * 12


def test_a_pipe_gets_plain_lines(demo: DemoRun) -> None:
    """Without a terminal there is no bar, no colour and no carriage return."""
    assert demo.finished.err == "demo: 4 images × 3 settings, 12 to compute\n"
    assert not {"\r", "\x1b"} & set(demo.finished.out)


def test_a_second_run_computes_nothing(demo: DemoRun, copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, prints the same table, and leaves the result files as they are."""
    monkeypatch.chdir(copy)
    before = files(copy / "runs/demo/results")
    again = call("run", "job.yaml", "--address", "local")
    assert again == Finished(0, demo.finished.out, "demo: 4 images × 3 settings, nothing to compute\n")
    assert files(copy / "runs/demo/results") == before


def test_a_larger_limit_only_adds_images(copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored shards stay as they are, and the new images get shards of their own."""
    monkeypatch.chdir(copy)
    results = copy / "runs/demo/results"
    before = files(results)
    grown = call("run", "job.yaml", "--address", "local", "--set", "dataset.limit=6")
    assert grown.code == 0
    assert "6 images × 3 settings, 6 to compute" in grown.err
    after = files(results)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    assert len({row["image"] for row in rows(copy / "runs/demo")}) == 6


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("dataset.size=32", "dataset.size is 32, but runs/demo was begun with 64"),
        ("dataset.crop.scale=2", "dataset.crop.scale is 2.0, but runs/demo was begun with 1.3"),
        ("dataset.seed=1", "dataset.seed is 1, but runs/demo was begun with 0"),
        ("dataset={kind: folder, root: .}", "dataset.kind is 'folder', but runs/demo was begun with 'demo'"),
        ("shard_size=4", "shard_size is 4, but runs/demo was begun with 3"),
        ("dataset.limit=3", "dataset.limit is 3, but runs/demo already holds 4 images"),
    ],
)
def test_a_contradicting_job_is_refused(
    demo: DemoRun, call: Call, monkeypatch: pytest.MonkeyPatch, override: str, told: str
) -> None:
    """The key is named with both values, and the run stays as it is."""
    before = files(demo.out)
    monkeypatch.chdir(demo.folder)
    refused = call("run", "job.yaml", "--address", "local", "--set", override)
    assert refused.code == 2
    assert one_line(refused).startswith(told)
    assert "another `out`" in refused.err
    assert files(demo.out) == before


def test_a_wrong_job_touches_nothing(tmp_path: Path, call: Call) -> None:
    """Exit code 2 and one line; the run directory is not made."""
    write_job(tmp_path / "job.yaml", codecs="[jpeg: {qualty: 4}]")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused).startswith(
        "job.yaml: codecs[0]: jpeg: unknown parameter 'qualty'; its parameters are: quality, "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_a_data_set_that_is_not_there_is_refused(tmp_path: Path, call: Call) -> None:
    """A missing root is named, and the run directory is not made."""
    write_job(tmp_path / "job.yaml", dataset="{kind: folder, root: faces}")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused) == f"there is no folder {tmp_path}/faces; set root to a folder of images"
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_an_out_that_cannot_be_written_is_named(tmp_path: Path, call: Call) -> None:
    """A file in the way is one clear line."""
    write_job(tmp_path / "job.yaml", out="job.yaml/demo")
    refused = call("run", "job.yaml", "--address", "local")
    assert refused.code == 2
    assert one_line(refused) == (
        "job.yaml/demo/lease.json cannot be written: Not a directory; put that right and run the same command again, "
        "or choose another `out`"
    )


def test_workers_are_for_ray(tmp_path: Path, call: Call) -> None:
    """An option that would have no effect is refused."""
    write_job(tmp_path / "job.yaml")
    refused = call("run", "job.yaml", "--address", "local", "--workers", "2")
    assert refused.code == 2
    assert "leave one of them out" in one_line(refused)


def test_a_damaged_image_costs_its_own_rows(tmp_path: Path, call: Call) -> None:
    """Exit code 3, a reason in each of its rows, and its neighbour's rows as without it."""
    faces = tmp_path / "faces"
    faces.mkdir()
    PIL.Image.fromarray(FACE).save(faces / "good.png")
    (faces / "damaged.png").write_bytes((faces / "good.png").read_bytes()[:5000])
    write_job(tmp_path / "job.yaml", dataset="{kind: folder, root: faces, size: 64}")
    ended = call("run", "job.yaml", "--address", "local")
    assert ended.code == 3
    assert "Error rows: 3 of 6." in ended.out
    stored = rows(tmp_path / "runs/demo")
    assert {(row["image"], row["status"]) for row in stored} == {("good.png", "ok"), ("damaged.png", "error")}
    reasons = {str(row["error"]) for row in stored if row["image"] == "damaged.png"}
    assert all(reason.startswith("damaged.png: the image is damaged: image file is truncated") for reason in reasons)
    assert call("report", "runs/demo").code == 3


def test_error_rows_are_tried_again_on_request(tmp_path: Path, call: Call) -> None:
    """A repaired file's rows stay errors until --retry-errors, which computes those alone and ends with code 0."""
    faces = tmp_path / "faces"
    faces.mkdir()
    PIL.Image.fromarray(FACE).save(faces / "good.png")
    (faces / "damaged.png").write_bytes((faces / "good.png").read_bytes()[:5000])
    write_job(tmp_path / "job.yaml", dataset="{kind: folder, root: faces, size: 64}")
    ended = call("run", "job.yaml", "--address", "local")
    assert (ended.code, "3 rows failed, 0 of them for a reason that may pass" in ended.out) == (3, True)
    PIL.Image.fromarray(FACE).save(faces / "damaged.png")
    ended = call("run", "job.yaml", "--address", "local", "--retry-transient")
    assert (ended.code, "nothing to compute" in ended.err) == (3, True)
    ended = call("run", "job.yaml", "--address", "local", "--retry-errors")
    assert (ended.code, "3 to compute" in ended.err, "failed" in ended.out) == (0, True, False)


def test_a_dry_run_tells_and_writes_nothing(copy: Path, call: Call) -> None:
    """Before the first run, after it and with a larger limit it says what is missing; no file comes, goes or changes."""
    before = files(copy)
    (copy / "empty").mkdir()
    write_job(copy / "empty/job.yaml", shard_size="3")
    told = call("run", str(copy / "empty/job.yaml"), "--dry-run", "--set", f"out={copy}/new")
    assert "would compute 12 images × settings in 2 of 2 shards" in told.out
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo")
    assert (told.code, "nothing to compute" in told.out) == (0, True)
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo", "--set", "dataset.limit=5")
    assert "would compute 3 images × settings in 1 of 3 shards" in told.out
    assert f"nothing was written to {copy}/runs/demo" in told.out
    assert {name: file for name, file in files(copy).items() if not name.startswith("empty")} == before
    assert not (copy / "new").exists()


def test_a_dry_run_refuses_what_a_run_would(copy: Path, call: Call) -> None:
    """A job that contradicts its directory is refused with the same words."""
    told = call("run", str(copy / "job.yaml"), "--dry-run", "--set", f"out={copy}/runs/demo", "--set", "shard_size=2")
    assert told.code == 2
    assert "shard_size is 2, but" in told.err


# ---------------------------------------------------------------------------------------------------------- stopped


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the slow job in a session of its own, and return when its first shard is in the index."""
    write_job(folder / "job.yaml", **SLOW)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would the child
    child = subprocess.Popen(
        [PROGRAM, "run", "job.yaml", "--address", "local"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    index = folder / "runs/demo/index.json"
    while child.poll() is None:
        if index.exists() and json.loads(index.read_text())["shards"]:
            return child
        time.sleep(0.01)
    pytest.fail(f"the job ended too soon: {child.communicate()}")


def session(leader: int) -> list[str]:
    """The command lines of the processes that live in a session."""
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, belongs_to = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(belongs_to) == leader and state != "Z":
                alive.append((process / "cmdline").read_text())
        except OSError:  # it has just ended
            continue
    return alive


def assert_all_end(leader: int) -> None:
    """Wait a moment for the last process of a session to end."""
    deadline = time.monotonic() + 10
    while session(leader):
        assert time.monotonic() < deadline, session(leader)
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are looked up in /proc")
def test_a_killed_run_continues_where_it_stopped(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process outlives the kill; what was committed is not touched; the rows are those of an undisturbed run."""
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    killed.mkdir()
    undisturbed.mkdir()
    child = start(killed)
    child.kill()
    child.communicate(timeout=30)
    assert_all_end(child.pid)

    run = killed / "runs/demo"
    shards = json.loads((run / "index.json").read_text())["shards"].values()
    assert 0 < len(shards) < 16
    committed = {Path(shard["file"]).name for shard in shards}
    before = {name: file for name, file in files(run / "results").items() if name in committed}
    monkeypatch.chdir(killed)
    again = call("run", "job.yaml", "--address", "local")
    assert again.code == 0
    assert f"16 images × 2 settings, {32 - 2 * len(committed)} to compute" in again.err
    assert {name: file for name, file in files(run / "results").items() if name in committed} == before

    write_job(undisturbed / "job.yaml", **SLOW)
    monkeypatch.chdir(undisturbed)
    assert call("run", "job.yaml", "--address", "local").code == 0
    assert rows(run) == rows(undisturbed / "runs/demo")


def test_a_second_driver_is_refused(tmp_path: Path, call: Call) -> None:
    """While a run is under way, the same command ends with code 2 and who holds it; the first one is not disturbed."""
    child = start(tmp_path)
    child.send_signal(signal.SIGSTOP)  # it would be done too soon
    refused = call("run", "job.yaml", "--address", "local")
    child.send_signal(signal.SIGCONT)
    assert refused.code == 2
    assert "vcmbench: runs/demo is being run by" in refused.err
    assert f"process {child.pid}, since" in refused.err
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are looked up in /proc")
def test_ctrl_c_ends_a_run_cleanly(tmp_path: Path) -> None:
    """Exit code 1, a line that says how to go on, no traceback, no process left, and an index that can be read."""
    child = start(tmp_path)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 1
    lines = [line for line in err.splitlines() if line]
    assert lines == [
        "demo: 16 images × 2 settings, 32 to compute",
        "vcmbench: interrupted; the same command continues where it stopped",
    ]
    assert_all_end(child.pid)
    assert {row["status"] for row in rows(tmp_path / "runs/demo")} == {"ok"}


# ----------------------------------------------------------------------------------------------------------- report


def test_a_report_can_be_made_again(demo: DemoRun, copy: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file comes back, and the same table."""
    shutil.rmtree(copy / "runs/demo/report")
    monkeypatch.chdir(copy)
    assert call("report", "runs/demo") == Finished(0, demo.finished.out, "")
    assert files(copy / "runs/demo").keys() == files(demo.out).keys()
    assert (copy / "runs/demo/report/table1.md").read_bytes() == (demo.out / "report/table1.md").read_bytes()


@pytest.mark.parametrize("out", [".", "missing", "job.yaml"])
def test_a_report_needs_a_run_directory(tmp_path: Path, call: Call, out: str) -> None:
    """Any other folder, a missing one and a file are named, and nothing is made."""
    write_job(tmp_path / "job.yaml")
    refused = call("report", out)
    assert refused.code == 2
    assert one_line(refused) == f"{out} is not a run directory: it has no index.json; `vcmbench run JOB.yaml` makes one"
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


# ----------------------------------------------------------------------------------------------------- single files


def test_a_file_is_coded_and_decoded_as_in_python(tmp_path: Path) -> None:
    """The bitstream's bytes and the decoded pixels are those of the Python interface."""
    PIL.Image.fromarray(FACE).save(tmp_path / "face.png")
    codec = create("jpeg", quality=10, subsampling="4:4:4")
    words = "jpeg quality=10 subsampling=4:4:4"
    encoded = vcmbench_in(tmp_path, "encode", "--codec", words, "face.png", "face.bin")
    bitstream = (tmp_path / "face.bin").read_bytes()
    assert bitstream == codec.encode(FACE)
    rate = f"{8 * len(bitstream) / (313 * 200):.4f} bpp"
    assert encoded == Finished(0, f"{words}: 313×200, {len(bitstream)} bytes, {rate}\n", "")
    assert vcmbench_in(tmp_path, "decode", "--codec", words, "face.bin", "back.PNG") == Finished(0, "", "")
    assert np.array_equal(np.array(PIL.Image.open(tmp_path / "back.PNG")), codec.decode(bitstream))


def test_a_conversion_is_noted(tmp_path: Path, call: Call) -> None:
    """Coding a grey image says what was done to it."""
    PIL.Image.fromarray(FACE).convert("L").save(tmp_path / "grey.png")
    encoded = call("encode", "--codec", "png", "grey.png", "grey.bin")
    assert encoded.code == 0
    assert encoded.err == "note: grey converted to RGB\n"


@pytest.mark.parametrize("suffix", sorted(cli.LOSSLESS))
def test_every_decoded_pixel_is_kept(tmp_path: Path, call: Call, suffix: str) -> None:
    """Whatever lossless format the suffix names holds exactly what the codec decoded."""
    (tmp_path / "face.bin").write_bytes(create("png").encode(FACE))
    assert call("decode", "--codec", "png", "face.bin", f"face{suffix}").code == 0
    assert np.array_equal(np.array(PIL.Image.open(tmp_path / f"face{suffix}")), FACE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("encode", "jpeg", "missing.png", "x"), "missing.png cannot be read: No such file or directory"),
        (("encode", "jpeg", ".", "x"), ". cannot be read: Is a directory"),
        (("encode", "jpeg", "empty.png", "x"), "empty.png: the file is empty"),
        (("encode", "jpeg", "cut.png", "x"), "cut.png: the image is damaged: image file is truncated"),
        (
            ("encode", "jpeg", "garbage.bin", "x"),
            "garbage.bin: the file is not a whole image of a known format (JPEG, PNG, ",
        ),
        (("encode", "jpg", "face.png", "x"), "unknown codec 'jpg' (did you mean 'jpeg'?); known: "),
        (("encode", "jpeg quality=0", "face.png", "x"), "jpeg: quality must be a whole number from 1 to 100, not 0"),
        (("encode", "jpeg quality", "face.png", "x"), "codec 'jpeg quality': 'quality' must be parameter=value"),
        (("encode", "jpeg", "face.png", "face.png/x"), "face.png/x cannot be written: Not a directory"),
        (("decode", "jpeg", "missing.bin", "x.png"), "missing.bin cannot be read: No such file or directory"),
        (("decode", "jpeg", "garbage.bin", "x.png"), "garbage.bin: jpeg: the 400 bytes are no JPEG stream"),
        (("decode", "jpeg", "empty.png", "x.png"), "empty.png: jpeg: the 0 bytes are no JPEG stream"),
        (("decode", "png", "face.png", "x.jpg"), "x.jpg: the suffix must be one of .png, .bmp, .ppm, .tif, .tiff, formats "),
        (("decode", "png", "face.png", "x"), "x: the suffix must be one of .png, .bmp, .ppm, .tif, .tiff, formats "),
        (("decode", "png", "face.png", "no/x.png"), "no/x.png cannot be written: No such file or directory"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, call: Call, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, the file or key named, and no output file."""
    face = io.BytesIO()
    PIL.Image.fromarray(FACE).save(face, "PNG")
    (tmp_path / "face.png").write_bytes(face.getvalue())
    (tmp_path / "cut.png").write_bytes(face.getvalue()[:5000])
    (tmp_path / "garbage.bin").write_bytes(bytes(range(200)) * 2)
    (tmp_path / "empty.png").write_bytes(b"")
    command, codec, source, target = arguments
    refused = call(command, "--codec", codec, source, target)
    assert refused.code == 2
    assert one_line(refused).startswith(told)
    assert not (tmp_path / target).exists()


# --------------------------------------------------------------------------------------------------------- listings


def test_codecs_are_listed_fast(tmp_path: Path) -> None:
    """Every family and range is shown in less than a second and a half of computing, without torch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    listed = vcmbench_in(tmp_path, "codecs")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert listed.code == 0
    assert "jpeg: JPEG, by libjpeg-turbo\n    quality = 75: scale of the quantisation tables, higher is finer " in listed.out
    assert "(a whole number from 1 to 100)\n" in listed.out
    assert "    optimize = false: " in listed.out
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    script = "import sys; from vcmbench import cli; cli.commands(['codecs'], standalone_mode=False)"
    report = "; print({'torch', 'ray', 'mlflow', 'duckdb', 'pyarrow'} & set(sys.modules), file=sys.stderr)"
    child = subprocess.run([sys.executable, "-c", script + report], capture_output=True, text=True, check=False)
    assert child.stderr == "set()\n"


def test_metrics_are_listed_with_their_columns(call: Call) -> None:
    """Each metric has its kind and columns with their direction."""
    listed = call("metrics")
    assert listed.code == 0
    assert "psnr_y (human vision): " in listed.out
    assert "    psnr_y: PSNR-Y, higher is better\n" in listed.out
    assert "    fid: FID, lower is better\n" in listed.out
    assert "    detector = blazeface: what finds faces (one of blazeface, sfd)\n" in listed.out


def test_a_job_can_be_counted_before_it_is_run(tmp_path: Path, call: Call) -> None:
    """Images, boxes and identities, with the job's limit and changes to it."""
    write_job(tmp_path / "job.yaml")
    counted = call("dataset", "job.yaml", "--set", "dataset.identities=[grace_hopper]", "--set", "dataset.limit=5")
    assert counted == Finished(0, "5 images, 5 with a face box, 1 identities, 0 images of nobody known\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_the_version_is_shown(call: Call) -> None:
    """The package's own."""
    assert call("--version") == Finished(0, f"vcmbench, version {vcmbench.__version__}\n", "")


@pytest.mark.parametrize("name", sorted(cli.commands.commands))
def test_every_command_explains_itself(call: Call, name: str) -> None:
    """Help has a sentence on the command and one on each of its options."""
    command = cli.commands.commands[name]
    assert command.help
    assert command.help.split("\n")[0].endswith(".")
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    shown = call(name, "--help")
    assert shown.code == 0
    assert command.help.split("\n", maxsplit=1)[0][:40] in shown.out


@pytest.mark.parametrize("arguments", [("rnu",), ("run",), ("run", "job.yaml", "--workers", "0"), ("encode", "a", "b")])
def test_a_wrong_command_line_points_to_the_help(call: Call, arguments: tuple[str, ...]) -> None:
    """Exit code 2, how the command is used, and no traceback."""
    refused = call(*arguments)
    assert refused.code == 2
    assert "Usage: " in refused.err
    assert "--help' for help.\n\nError: " in refused.err
    assert "Traceback" not in refused.err


def test_a_traceback_is_shown_only_on_request(tmp_path: Path) -> None:
    """`--debug` shows where an error came from."""
    quiet, debug = vcmbench_in(tmp_path, "report", "x"), vcmbench_in(tmp_path, "--debug", "report", "x")
    assert "Traceback" not in quiet.err
    assert debug.code == 1
    assert "Traceback (most recent call last)" in debug.err
