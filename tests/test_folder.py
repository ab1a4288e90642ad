"""Any folder of images, with a table of labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vcmbench import registry
from vcmbench.datasets.folder import Folder
from vcmbench.datasets.listing import BOX, COLUMNS
from vcmbench.interfaces import UsageError

NAMES = ("00000/00001.png", "00000/00002.png", "a b/Zoë & 顔.JPEG", "a.b/x.y.webp", "top.jpg")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of five images, which hold their names, among files that are none."""
    root = tmp_path / "faces"
    for name in (*NAMES, "README.txt", ".hidden.jpg", ".cache/x.jpg", "00000/._00001.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, "utf-8")
    return root


def rows(dataset: Folder) -> list[dict[str, Any]]:
    return [row for batch in dataset.images() for row in batch.to_pylist()]


def names(dataset: Folder) -> list[str]:
    return [row["image"] for row in rows(dataset)]


def labelled(root: Path, text: str, **options: Any) -> Folder:
    (root / "labels.csv").write_text(text, "utf-8")
    return Folder(str(root), labels="labels.csv", **options)


def test_every_image_is_listed_by_its_path(faces: Path) -> None:
    """Files with an image's suffix, in any case, come sorted; hidden ones do not; there is no identity and no box."""
    dataset = Folder(str(faces))
    assert names(dataset) == sorted(NAMES)
    assert next(dataset.images()).schema == COLUMNS
    assert {row[name] for row in rows(dataset) for name in ("identity", *BOX)} == {None}
    for row in rows(dataset):
        assert dataset.read(row["path"]) == row["image"].encode()
    with pytest.raises(OSError, match="gone"):
        dataset.read("gone.jpg")
    assert registry.datasets.get("folder") is Folder


def test_the_order_is_that_of_the_whole_paths(tmp_path: Path) -> None:
    """A folder stands among files where its path with the slash belongs, as in a sorted list."""
    paths = ["a-b.jpg", "a.jpg", "a/1.jpg", "a/b/2.jpg", "a0.jpg", "B.jpg"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert names(Folder(str(tmp_path))) == sorted(paths)


def test_the_identity_may_be_the_folder(faces: Path) -> None:
    """With `identity_from: folder` it is the name of the folder that holds the image, and null at the top."""
    identities = [row["identity"] for row in rows(Folder(str(faces), identity_from="folder"))]
    assert identities == ["00000", "00000", "a b", "a.b", None]
    with pytest.raises(UsageError, match="identity_from must be one of none, folder"):
        Folder(str(faces), identity_from="parent")  # type: ignore[arg-type]  # what a job file may say


def test_linked_files_and_folders_are_followed_once(faces: Path) -> None:
    """A link to a folder elsewhere is followed; a link to a folder above it is not, as it would never end."""
    elsewhere = faces.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.jpg").touch()
    (faces / "far").symlink_to(elsewhere)
    (faces / "00000" / "up").symlink_to(faces)
    (faces / "zz.jpg").symlink_to(faces / "top.jpg")
    assert names(Folder(str(faces))) == sorted([*NAMES, "far/linked.jpg", "zz.jpg"])


def test_labels_are_joined_with_or_without_suffix(faces: Path) -> None:
    """Each row goes to its image; the other columns become labels of their own types; what has no row has null."""
    text = "image,identity,box_x,box_y,box_width,box_height,gender,name,5_o_Clock,Age\n"
    text += "00000/00001,007,1,2,30.5,40,f,Ann,-1,30\ntop.jpg,x,,,,,m,,1,41.5\nelsewhere.jpg,y,,,,,m,,1,1\n"
    dataset = labelled(faces, text)
    assert names(dataset) == sorted(NAMES)
    first, second, *_, last = rows(dataset)
    box = {"box_x": 1, "box_y": 2, "box_width": 30.5, "box_height": 40}
    path = {"image": NAMES[0], "path": NAMES[0]}
    assert first == {**path, "identity": "007", **box, "gender": "f", "name": "Ann", "5_o_Clock": -1, "Age": 30.0}
    assert {value for name, value in second.items() if name not in path} == {None}
    assert (last["identity"], last["box_x"], last["gender"], last["name"], last["Age"]) == ("x", None, "m", None, 41.5)
    schema = next(dataset.images()).schema
    assert list(schema)[: len(COLUMNS)] == list(COLUMNS)
    assert schema.field("5_o_Clock").type == pa.int64()


def test_names_of_digits_stay_names(faces: Path) -> None:
    """Leading zeros of image names and identities survive, as in CelebA-HQ and FFHQ."""
    (faces / "000007.jpg").touch()
    row = next(row for row in rows(labelled(faces, "image,identity\n000007,0042\n")) if row["image"] == "000007.jpg")
    assert row["identity"] == "0042"


def test_a_row_with_the_suffix_goes_to_that_file_alone(faces: Path) -> None:
    """Of two files that differ in the suffix each has its row; a row without suffix serves what has none of its own."""
    (faces / "top.png").touch()
    found = {row["image"]: row["age"] for row in rows(labelled(faces, "image,age\ntop.png,1\ntop,2\n"))}
    assert (found["top.png"], found["top.jpg"]) == (1, 2)


def test_labels_outrank_the_folder(faces: Path) -> None:
    """An identity of the labels is taken before the folder's."""
    dataset = labelled(faces, "image,identity\n00000/00001,Ann\n", identity_from="folder")
    assert [row["identity"] for row in rows(dataset)][:2] == ["Ann", "00000"]


def test_labels_may_be_parquet_and_lie_elsewhere(faces: Path) -> None:
    """A Parquet file at an absolute path gives what the CSV file gives, whatever types it stores."""
    table = pa.table({"image": ["top"], "identity": [12], "gender": pa.array(["f"]).dictionary_encode(), "old": [True]})
    pq.write_table(table, faces.parent / "labels.parquet")
    dataset = Folder(str(faces), labels=str(faces.parent / "labels.parquet"))
    last = rows(dataset)[-1]
    assert (last["identity"], last["gender"], last["old"]) == ("12", "f", True)


def test_the_root_may_be_remote(faces: Path) -> None:
    """An fsspec URL gives the same rows as the local folder, with its labels."""
    text = "image,gender\ntop,f\n"
    local = rows(labelled(faces, text, identity_from="folder"))
    memory = fsspec.filesystem("memory")
    memory.put(str(faces), "memory://images/faces", recursive=True)
    try:
        dataset = Folder("memory://images/faces", labels="labels.csv", identity_from="folder")
        assert rows(dataset) == local
        assert rows(Folder(str(faces), labels="memory://images/faces/labels.csv", identity_from="folder")) == local
        assert dataset.read(NAMES[2]) == NAMES[2].encode()
    finally:
        memory.rm("/images", recursive=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "labels labels.csv cannot be read"),
        ("file,age\ntop,1\n", "no column image; its columns are file, age"),
        ("image,age\nnone,1\n", "no row of labels.csv names an image: it has 'none', say, and the folder '00000/00001.png'"),
        ("image,age\n", "no row of labels.csv names an image"),
        ("image,age\ntop,1\ntop,2\n", "two rows for the image top"),
        ("image,box_x,box_y\ntop,1,2\n", "only box_x, box_y of the face box; give all of"),
        ("image,Male,male\ntop,1,2\n", "two columns male"),
        ("image,age,age\ntop,1,2\n", "two columns age"),
        ("image,Path\ntop,1\n", "a column path, which has a meaning"),
        ("image,face_size\ntop,1\n", "a column face_size, which has a meaning"),
        ("image,age\ntop,1,2\n", "cannot be read"),
        ("image,box_x,box_y,box_width,box_height\ntop,1,2,3,wide\n", "cannot be read .*wide"),
    ],
)
def test_unusable_labels_are_named(faces: Path, text: str, reason: str) -> None:
    """A table that cannot be joined, or not without doubt, stops with what is wrong."""
    with pytest.raises(UsageError, match=reason):
        rows(labelled(faces, text))


def test_missing_and_foreign_labels_are_named(faces: Path) -> None:
    """A file of labels that is not there, or not a table, stops with its name."""
    with pytest.raises(UsageError, match=r"gone\.csv"):
        rows(Folder(str(faces), labels="gone.csv"))
    (faces / "labels.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match=r"labels\.parquet cannot be read as CSV or Parquet"):
        rows(Folder(str(faces), labels="labels.parquet"))
    pq.write_table(pa.table({"image": ["top"], **{name: ["wide"] for name in BOX}}), faces / "labels.parquet")
    with pytest.raises(UsageError, match=r"labels\.parquet has a value of the wrong type.*wide"):
        rows(Folder(str(faces), labels="labels.parquet"))


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    """Nothing to list, or nowhere to list it, is an error with the root and the suffixes looked for."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=f"{tmp_path} holds no image.*jpg, .jpeg"):
        rows(Folder(str(tmp_path)))
    with pytest.raises(UsageError, match=r"no folder .*/gone"):
        rows(Folder(f"{tmp_path}/gone"))


def test_a_name_that_is_no_text_is_named(faces: Path) -> None:
    """A file name that is not UTF-8 cannot stand in a table of results."""
    Path(os.fsdecode(os.fsencode(faces) + b"/\xff.jpg")).touch()
    with pytest.raises(UsageError, match="not UTF-8; rename it"):
        rows(Folder(str(faces)))


def test_many_images_come_in_batches(tmp_path: Path) -> None:
    """More images than a batch holds are all listed, once, in order, with labels and without."""
    paths = [f"{number // 1000:03}/{number:06}.jpg" for number in range(20_500)]
    for folder in {path[:3] for path in paths}:
        (tmp_path / folder).mkdir()
    for path in paths:
        (tmp_path / path).touch()
    assert names(Folder(str(tmp_path))) == paths
    text = "image,number\n" + "".join(f"{path},{number}\n" for number, path in enumerate(paths))
    assert [row["number"] for row in rows(labelled(tmp_path, text))] == list(range(20_500))
