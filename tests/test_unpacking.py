"""Kept bitstreams as files: each where its setting and image say, and nowhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from program import Call, Finished, one_line
from runs import bitstreams, bring_up_to_date, make_task, rows, write_images

from vcmbench import codecs
from vcmbench.interfaces import StorageError, UsageError
from vcmbench.pipeline.driver import Outcome
from vcmbench.results import RunDirectory
from vcmbench.unpacking import path_of, unpack

VARIANTS = ("jpeg quality=10", "jpeg quality=50")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A run of five images × two settings in two shards, which keeps its bitstreams."""
    folder = tmp_path_factory.mktemp("kept")
    write_images(folder / "images", 5)
    (folder / "images" / "deep").mkdir()
    (folder / "images" / "004.png").rename(folder / "images" / "deep" / "a b%c.png")
    return bring_up_to_date(make_task(folder / "images", folder / "run", keep_bitstreams=True)), folder / "run"


def test_every_kept_bitstream_becomes_a_file(out: tuple[Outcome, Path], tmp_path: Path) -> None:
    """Each file holds the bytes that were counted and decodes to the pixels that were scored."""
    outcome, run = out
    written = list(unpack(RunDirectory(str(run)), outcome.index, tmp_path))
    kept = bitstreams(outcome, run)
    assert len(written) == len(kept) == 10
    assert {tmp_path / path_of(variant, image): data for (image, variant), data in kept.items()} == {
        path: path.read_bytes() for path in written
    }
    for row in rows(outcome, run):
        pixels = codecs.create("jpeg").decode((tmp_path / path_of(row["variant"], row["image"])).read_bytes())
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == row["decoded_hash"]
    assert (tmp_path / "jpeg quality=10" / "deep" / "a b%25c.png.bin").exists()


def test_one_setting_alone_is_written(out: tuple[Outcome, Path], tmp_path: Path, call: Call) -> None:
    """Of the others there is no file; the command says how many it wrote, and `decode` reads them."""
    ended = call("unpack", str(out[1]), "files", "--setting", VARIANTS[1])
    assert ended == Finished(0, "5 bitstreams in files\n", "")
    assert {path.name for path in (tmp_path / "files").iterdir()} == {VARIANTS[1]}
    assert call("decode", "--codec", VARIANTS[1], f"files/{VARIANTS[1]}/000.png.bin", "decoded.png").code == 0


def test_a_folder_that_cannot_be_written_is_named(out: tuple[Outcome, Path], tmp_path: Path, call: Call) -> None:
    """A file in its place is one line with a remedy."""
    (tmp_path / "taken").write_text("")
    ended = call("unpack", str(out[1]), "taken")
    assert (ended.code, one_line(ended)) == (2, "taken cannot be written: Not a directory; choose another folder")


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("../../etc/passwd", "png/%2E%2E/%2E%2E/etc/passwd.bin"),
        ("/etc/passwd", "png/%/etc/passwd.bin"),
        ("a//./b", "png/a/%/%2E/b.bin"),
        ("..", "png/...bin"),
        ("a\0b\\c", "png/a%00b%5Cc.bin"),
        ("グ.png", "png/%E3%82%B0.png.bin"),
    ],
)
def test_no_name_leads_out_of_the_folder(image: str, path: str) -> None:
    """Names of images are anybody's: no part of a path is empty or climbs, and no two names are one path."""
    assert str(path_of("png", image)) == path


def test_an_unknown_setting_is_refused_with_those_there_are(out: tuple[Outcome, Path], tmp_path: Path) -> None:
    """A misspelled setting is no empty folder."""
    with pytest.raises(UsageError, match=r"jpeg quality=11.* its settings are: jpeg quality=10, jpeg quality=50"):
        list(unpack(RunDirectory(str(out[1])), out[0].index, tmp_path, ["jpeg quality=11"]))


def test_a_run_that_keeps_none_says_how_to_keep_them(tmp_path: Path) -> None:
    """The error names the key to set."""
    write_images(tmp_path / "images", 2)
    outcome = bring_up_to_date(make_task(tmp_path / "images", tmp_path / "run"))
    with pytest.raises(UsageError, match="keep_bitstreams=true"):
        list(unpack(RunDirectory(str(tmp_path / "run")), outcome.index, tmp_path / "files"))


def test_a_lost_file_is_told(out: tuple[Outcome, Path], tmp_path: Path) -> None:
    """Where a shard's bitstreams were deleted behind the index's back, the error names the file."""
    outcome, run = out
    record = outcome.index.shards[0]
    lost = outcome.index.model_copy(
        update={"shards": {0: record.model_copy(update={"bitstreams": "bitstreams/gone.parquet"})}}
    )
    with pytest.raises((StorageError, OSError), match=r"gone\.parquet"):
        list(unpack(RunDirectory(str(run)), lost, tmp_path))
