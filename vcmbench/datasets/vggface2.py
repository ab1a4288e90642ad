"""VGGFace2 (Cao et al., FG 2018) in the layout it was published in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from vcmbench.datasets.listing import BOX, ROWS, load, repeated, stream, workspace
from vcmbench.datasets.tree import Tree
from vcmbench.interfaces import Dataset, UsageError

LISTED = pa.schema([("image", pa.string())])
BOXES = pa.schema([("name", pa.string()), *[(column, pa.float32()) for column in BOX]])
GENDERS = pa.schema([("identity", pa.string()), ("gender", pa.string())])

IMAGE_NAME = r"^[^/[:cntrl:]]+/[^/[:cntrl:]]+\.[A-Za-z0-9]+$"
BOX_COLUMNS = ("NAME_ID", "X", "Y", "W", "H")

JOINED = r"""
SELECT image, $split || '/' || image AS path, split_part(image, '/', 1) AS identity,
       box_x, box_y, box_width, box_height, gender
FROM listed
LEFT JOIN boxes ON boxes.name = regexp_replace(image, '\.[^.]+$', '')
LEFT JOIN genders ON genders.identity = split_part(image, '/', 1)
"""


@dataclass(frozen=True)
class VggFace2(Dataset):
    """One split of VGGFace2 under `root`, a local path or fsspec URL.

    Images come from `meta/<split>_list.txt`, or from the folders where there is no list; face boxes from
    `bb_landmark/loose_bb_<split>.csv` and the label `gender` ("m" or "f") from `meta/identity_meta.csv`, null where the
    file or the row is missing. Each of the three may also lie in `root` itself.
    """

    kind: ClassVar[str] = "vggface2"
    summary: ClassVar[str] = "VGGFace2 as published: identities, loose face boxes, gender"

    root: str
    split: str = "test"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Tree(self.root).root)  # workers have another working directory

    def images(self) -> Iterator[pa.RecordBatch]:
        """List the split, in no particular order, without a look at the image files."""
        tree = Tree(self.root)
        if not tree.has_folder():
            raise UsageError(f"there is no folder {self.root}; set root to the folder that holds VGGFace2's train and test")
        if not tree.has_folder(self.split):
            raise UsageError(f"{self.root} has no folder {self.split}; set split to one it has, such as train or test")
        with workspace() as connection:
            load(connection, "listed", LISTED, _listed(tree, self.split))
            load(connection, "boxes", BOXES, _boxes(tree, self.split))
            load(connection, "genders", GENDERS, _genders(tree))
            twice = repeated(connection, "boxes", "name")
            if twice is not None:
                raise UsageError(f"{self.root} has two face boxes for {twice}; remove one from loose_bb_{self.split}.csv")
            yield from stream(connection, JOINED, split=self.split)

    def read(self, path: str) -> bytes:
        """Return the bytes of an image file, given its path under the root."""
        return Tree(self.root).read(path)


def _listed(tree: Tree, split: str) -> Iterator[pa.RecordBatch]:
    path = _locate(tree, f"{split}_list.txt", "meta")
    place = f"{tree.root}/{path or split}"
    images = _walked(tree, split) if path is None else _lines(tree, path)
    none = True
    for batch in images:
        strange = batch.filter(pc.invert(pc.match_substring_regex(batch["image"], IMAGE_NAME)))
        if strange.num_rows:
            raise UsageError(f"{place} names {strange['image'][0].as_py()!r}, which is not like n000001/0001_01.jpg")
        none = False
        yield batch
    if none:
        raise UsageError(f"{place} names no image; it should hold names like n000001/0001_01.jpg")


def _walked(tree: Tree, split: str) -> Iterator[pa.RecordBatch]:
    names = (path.removeprefix(f"{split}/") for path in tree.images(split))
    while some := list(islice(names, ROWS)):
        yield pa.record_batch({"image": pa.array(some, pa.string())})


def _lines(tree: Tree, path: str) -> Iterator[pa.RecordBatch]:
    read = pacsv.ReadOptions(column_names=LISTED.names)
    parse = pacsv.ParseOptions(delimiter="\t", quote_char=False)
    convert = pacsv.ConvertOptions(column_types=LISTED)
    for batch in _csv(tree, path, read, parse, convert):
        yield pa.record_batch({"image": pc.utf8_trim_whitespace(batch["image"])})


def _boxes(tree: Tree, split: str) -> Iterator[pa.RecordBatch]:
    path = _locate(tree, f"loose_bb_{split}.csv", "bb_landmark")
    if path is None:
        return
    convert = pacsv.ConvertOptions(
        include_columns=BOX_COLUMNS, column_types=dict(zip(BOX_COLUMNS, BOXES.types, strict=True))
    )
    for batch in _csv(tree, path, pacsv.ReadOptions(), pacsv.ParseOptions(), convert):
        yield batch.rename_columns(BOXES.names)


def _csv(
    tree: Tree, path: str, read: pacsv.ReadOptions, parse: pacsv.ParseOptions, convert: pacsv.ConvertOptions
) -> Iterator[pa.RecordBatch]:
    try:
        with tree.open(path) as file, pacsv.open_csv(file, read, parse, convert) as reader:
            yield from reader
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{tree.root}/{path} cannot be read: {error}; restore VGGFace2's own file") from error


def _genders(tree: Tree) -> Iterator[pa.RecordBatch]:
    """Read the first and last column of identity_meta.csv; the names between, which hold commas, are not needed."""
    path = _locate(tree, "identity_meta.csv", "meta")
    if path is None:
        return
    with tree.open(path) as file:
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="replace")
        try:
            rows = [(row[0].strip(), row[-1].strip()) for row in csv.reader(lines, skipinitialspace=True) if row]
        except (csv.Error, OSError) as error:
            raise UsageError(f"{tree.root}/{path} cannot be read: {error}; restore VGGFace2's own file") from error
    if not rows or rows[0] != ("Class_ID", "Gender"):
        raise UsageError(f"{tree.root}/{path} has no columns from Class_ID to Gender; restore VGGFace2's own file")
    genders = {identity: gender if gender in ("m", "f") else None for identity, gender in rows[1:]}
    yield pa.record_batch([pa.array(genders.keys()), pa.array(genders.values(), pa.string())], schema=GENDERS)


def _locate(tree: Tree, name: str, folder: str) -> str | None:
    """Return where a list lies: in its folder, as published, or in the root, as in some copies."""
    return next((path for path in (f"{folder}/{name}", name) if tree.has_file(path)), None)
