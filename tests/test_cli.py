"""Single files, listings and help on the command line: what is printed, written and returned."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pytest
from jobs import write_job
from pictures import PORTRAIT
from program import Call, Finished, one_line, vcmbench_in

import vcmbench
from vcmbench import cli
from vcmbench.cli.files import LOSSLESS
from vcmbench.codecs import create


def test_a_file_is_coded_and_decoded_as_in_python(tmp_path: Path) -> None:
    """The bitstream's bytes and the decoded pixels are those of the Python interface."""
    PIL.Image.fromarray(PORTRAIT).save(tmp_path / "face.png")
    codec = create("jpeg", quality=10, subsampling="4:4:4")
    words = "jpeg quality=10 subsampling=4:4:4"
    encoded = vcmbench_in(tmp_path, "encode", "--codec", words, "face.png", "face.bin")
    bitstream = (tmp_path / "face.bin").read_bytes()
    assert bitstream == codec.encode(PORTRAIT)
    rate = f"{8 * len(bitstream) / (313 * 200):.4f} bpp"
    assert encoded == Finished(0, f"{words}: 313×200, {len(bitstream)} bytes, {rate}\n", "")
    assert vcmbench_in(tmp_path, "decode", "--codec", words, "face.bin", "back.PNG") == Finished(0, "", "")
    assert np.array_equal(np.array(PIL.Image.open(tmp_path / "back.PNG")), codec.decode(bitstream))


def test_a_conversion_is_noted(tmp_path: Path, call: Call) -> None:
    """Coding a grey image says what was done to it."""
    PIL.Image.fromarray(PORTRAIT).convert("L").save(tmp_path / "grey.png")
    encoded = call("encode", "--codec", "png", "grey.png", "grey.bin")
    assert encoded.code == 0
    assert encoded.err == "note: grey converted to RGB\n"


@pytest.mark.parametrize("suffix", sorted(LOSSLESS))
def test_every_decoded_pixel_is_kept(tmp_path: Path, call: Call, suffix: str) -> None:
    """Whatever lossless format the suffix names holds exactly what the codec decoded."""
    (tmp_path / "face.bin").write_bytes(create("png").encode(PORTRAIT))
    assert call("decode", "--codec", "png", "face.bin", f"face{suffix}").code == 0
    assert np.array_equal(np.array(PIL.Image.open(tmp_path / f"face{suffix}")), PORTRAIT)


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
    PIL.Image.fromarray(PORTRAIT).save(face, "PNG")
    (tmp_path / "face.png").write_bytes(face.getvalue())
    (tmp_path / "cut.png").write_bytes(face.getvalue()[:5000])
    (tmp_path / "garbage.bin").write_bytes(bytes(range(200)) * 2)
    (tmp_path / "empty.png").write_bytes(b"")
    command, codec, source, target = arguments
    refused = call(command, "--codec", codec, source, target)
    assert refused.code == 2
    assert one_line(refused).startswith(told)
    assert not (tmp_path / target).exists()


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
