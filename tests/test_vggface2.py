"""VGGFace2 in its published layout."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from vcmbench import registry
from vcmbench.datasets.listing import COLUMNS
from vcmbench.datasets.vggface2 import VggFace2
from vcmbench.interfaces import UsageError

NAMES = ("n000001/0001_01.jpg", "n000001/0002_01.jpg", "n000009/0001_02.jpg")
META = 'Class_ID, Name, Sample_Num, Flag, Gender\nn000001, "14th, Dalai Lama", 2, 0, m\nn000009, "Beyoncé", 1, 0, f\n'
BOXES = 'NAME_ID,X,Y,W,H\n"n000001/0001_01",-3,4,50,60\n"n000009/0001_02",7,8,90,95\n'


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A test split of three images, two of them with a face box, as VGGFace2 spells it; the images hold their names."""
    files = {
        "meta/test_list.txt": "\n".join(NAMES) + "\n",
        "meta/identity_meta.csv": META,
        "bb_landmark/loose_bb_test.csv": BOXES,
    }
    for name, text in {**files, **{f"test/{name}": name for name in NAMES}}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def rows(dataset: VggFace2) -> list[dict[str, Any]]:
    return sorted((row for batch in dataset.images() for row in batch.to_pylist()), key=lambda row: row["image"])


def test_the_published_lists_are_joined(published: Path) -> None:
    """Every image of the list has its identity, and its face box and gender where the files have them."""
    dataset = VggFace2(str(published))
    first, second, third = rows(dataset)
    box = {"box_x": -3, "box_y": 4, "box_width": 50, "box_height": 60}
    assert first == {"image": NAMES[0], "path": f"test/{NAMES[0]}", "identity": "n000001", **box, "gender": "m"}
    assert second == {**first, "image": NAMES[1], "path": f"test/{NAMES[1]}", **dict.fromkeys(box)}
    assert (third["identity"], third["box_height"], third["gender"]) == ("n000009", 95, "f")
    assert next(dataset.images()).schema == pa.schema([*COLUMNS, ("gender", pa.string())])


def test_an_image_is_read_by_its_path(published: Path) -> None:
    """`read` returns the file's bytes, and an `OSError` where it cannot."""
    dataset = VggFace2(str(published))
    assert dataset.read(rows(dataset)[2]["path"]) == NAMES[2].encode()
    with pytest.raises(OSError, match="n000404"):
        dataset.read("test/n000404/0001_01.jpg")
    with pytest.raises(OSError, match="n000001"):
        dataset.read("test/n000001")


def test_listing_does_not_look_at_the_images(published: Path) -> None:
    """A listed image is listed whether its file is there or not; it is missed when read."""
    (published / "test" / NAMES[0]).unlink()
    assert [row["image"] for row in rows(VggFace2(str(published)))] == list(NAMES)


def test_without_a_list_the_folders_are_walked(published: Path) -> None:
    """The images found are the listed ones, with the same boxes and genders; hidden files are not images."""
    listed = rows(VggFace2(str(published)))
    (published / "meta" / "test_list.txt").unlink()
    (published / "test" / "n000001" / ".hidden.jpg").touch()
    (published / "test" / "n000001" / "notes.txt").touch()
    assert rows(VggFace2(str(published))) == listed


def test_lists_may_lie_in_the_root(published: Path) -> None:
    """Some copies have the lists beside the split's folder."""
    listed = rows(VggFace2(str(published)))
    for name in ("meta/test_list.txt", "meta/identity_meta.csv", "bb_landmark/loose_bb_test.csv"):
        (published / name).rename(published / Path(name).name)
    assert rows(VggFace2(str(published))) == listed


def test_boxes_and_genders_are_optional(published: Path) -> None:
    """Without their files every box and gender is null."""
    (published / "meta" / "identity_meta.csv").unlink()
    (published / "bb_landmark" / "loose_bb_test.csv").unlink()
    for row in rows(VggFace2(str(published))):
        assert {row[name] for name in ("box_x", "box_y", "box_width", "box_height", "gender")} == {None}


def test_line_ends_and_marks_of_other_systems_are_understood(published: Path) -> None:
    """Windows line ends, a byte-order mark, blank lines and Latin-1 names change nothing."""
    listed = rows(VggFace2(str(published)))
    (published / "meta" / "test_list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*NAMES[:1], "", *NAMES[1:]]).encode())
    (published / "meta" / "identity_meta.csv").write_bytes(META.replace("\n", "\r\n").encode("latin-1"))
    (published / "bb_landmark" / "loose_bb_test.csv").write_bytes(BOXES.replace("\n", "\r\n").encode())
    assert rows(VggFace2(str(published))) == listed


def test_a_strange_root_is_no_pattern(published: Path) -> None:
    """A root with spaces, brackets, stars and other scripts is a folder like any other."""
    listed = rows(VggFace2(str(published)))
    root = published.rename(published.with_name("[a-z] *? Gesichter 顔"))
    assert rows(VggFace2(str(root))) == listed


def test_a_relative_root_is_the_same_to_a_worker(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set made in one working directory and sent to another reads the same files."""
    monkeypatch.chdir(published.parent)
    sent = pickle.dumps(VggFace2(published.name))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).read(f"test/{NAMES[0]}") == NAMES[0].encode()


@pytest.fixture
def bucket() -> Iterator[str]:
    """An empty remote folder."""
    yield "memory://bucket/faces"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.mark.parametrize("listed", [True, False])
def test_the_root_may_be_remote(published: Path, bucket: str, *, listed: bool) -> None:
    """An fsspec URL gives the same rows and bytes as the local folder, with and without a list."""
    fsspec.filesystem("memory").put(str(published), bucket, recursive=True)
    if not listed:
        fsspec.filesystem("memory").rm(f"{bucket}/meta/test_list.txt")
    dataset = VggFace2(bucket)
    assert rows(dataset) == rows(VggFace2(str(published)))
    assert dataset.read(f"test/{NAMES[1]}") == NAMES[1].encode()
    with pytest.raises(OSError, match="n000404"):
        dataset.read("test/n000404/0001_01.jpg")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("meta/test_list.txt", b"", "test_list.txt cannot be read"),
        ("meta/test_list.txt", b"\n\n", "test_list.txt names no image"),
        ("meta/test_list.txt", b"n000001/0001_01.jpg\nn000001 0002_01.jpg\n", "'n000001 0002_01.jpg', which is not like"),
        ("meta/test_list.txt", b"n000001/0001_01.jpg 7\n", "'n000001/0001_01.jpg 7', which is not like"),
        ("meta/test_list.txt", b"\x89PNG\r\n\x1a\n\xff\xd8\x00\xfe", "test_list.txt cannot be read"),
        ("meta/identity_meta.csv", b"<html>\n", "identity_meta.csv has no columns from Class_ID to Gender"),
        ("meta/identity_meta.csv", b"", "identity_meta.csv has no columns from Class_ID to Gender"),
        ("meta/identity_meta.csv", META.encode() + b'n1, "' + b"a" * 200_000, "identity_meta.csv cannot be read"),
        ("bb_landmark/loose_bb_test.csv", b"NAME_ID,X,Y\n", "loose_bb_test.csv cannot be read.*W"),
        (
            "bb_landmark/loose_bb_test.csv",
            BOXES.encode() + b'"n000009/0001_02",1,2,3,four\n',
            "loose_bb_test.csv cannot.*four",
        ),
        ("bb_landmark/loose_bb_test.csv", BOXES.encode() + b'"n000009/0001_02",1', "loose_bb_test.csv cannot be read"),
        (
            "bb_landmark/loose_bb_test.csv",
            BOXES.encode() + b'"n000009/0001_02",1,2,3,4',
            "two face boxes for n000009/0001_02",
        ),
    ],
)
def test_a_garbled_list_is_named(published: Path, name: str, text: bytes, reason: str) -> None:
    """A list that is empty, cut, binary or another file stops with its name and what is wrong."""
    (published / name).write_bytes(text)
    with pytest.raises(UsageError, match=reason):
        rows(VggFace2(str(published)))


def test_a_missing_root_or_split_is_named(published: Path) -> None:
    """The message names the folder that is missing, and an unknown kind of URL."""
    with pytest.raises(UsageError, match=f"no folder {re.escape(str(published))}/nowhere; set root"):
        rows(VggFace2(f"{published}/nowhere"))
    with pytest.raises(UsageError, match="has no folder train; set split"):
        rows(VggFace2(str(published), split="train"))
    with pytest.raises(UsageError, match="nosuch://bucket cannot be opened"):
        VggFace2("nosuch://bucket")


def test_a_split_without_images_is_named(published: Path) -> None:
    """An empty split folder without a list is an error, not an empty run."""
    (published / "train").mkdir()
    with pytest.raises(UsageError, match="train names no image"):
        rows(VggFace2(str(published), split="train"))


def test_the_registry_knows_it() -> None:
    """The job file's `kind: vggface2` finds the class."""
    assert registry.datasets.get("vggface2") is VggFace2


def test_the_real_layout_is_read(portraits: Path) -> None:
    """All portraits of both splits have a box, a gender, and a file that can be read."""
    for split, count in (("train", 600), ("test", 140)):
        dataset = VggFace2(str(portraits), split)
        listed = rows(dataset)
        assert len(listed) == count
        assert all(row["box_width"] > 0 and row["gender"] in ("m", "f") for row in listed)
        assert dataset.read(listed[0]["path"]).startswith(b"\xff\xd8")
