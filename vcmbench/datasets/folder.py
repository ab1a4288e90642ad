"""Any folder of face images, with labels from a table: FFHQ, CelebA-HQ, LFW as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import ClassVar, Literal, get_args

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from vcmbench.datasets.listing import BOX, COLUMNS, ROWS, load, repeated, stream, workspace
from vcmbench.datasets.tree import SUFFIXES, Tree
from vcmbench.interfaces import Dataset, UsageError

IdentityFrom = Literal["none", "folder"]

RESERVED = ("path", "face_size", "shard")
"""Columns that a listing, a selection or the manifest makes."""

NAMED = r"""
CREATE VIEW named AS
SELECT image, identity,
       CASE WHEN image IN (SELECT image FROM labels) THEN image ELSE regexp_replace(image, '\.[^.]+$', '') END AS name
FROM listed
"""

UNMATCHED = """
SELECT (SELECT min(image) FROM labels), (SELECT min(image) FROM listed)
WHERE NOT EXISTS (FROM named JOIN labels ON labels.image = named.name)
"""

JOINED = """
SELECT named.image, named.image AS path, coalesce(labels.identity, named.identity) AS identity,
       labels.* EXCLUDE (image, identity)
FROM named LEFT JOIN labels ON labels.image = named.name
ORDER BY named.image
"""


@dataclass(frozen=True)
class Folder(Dataset):
    """Every image file under `root`, a local path or fsspec URL, named by its path there.

    `labels` is a CSV or Parquet file (an absolute path or URL, else relative to `root`) with a column `image`, which holds
    that path with or without its suffix. It may have `identity`, and `box_x`, `box_y`, `box_width` and `box_height` in
    pixels; its other columns become label columns. Images that it does not name have no labels; rows that name no image
    are ignored. `identity_from: folder` takes the identity from the folder that holds the image, where `labels` has none.
    """

    kind: ClassVar[str] = "folder"
    summary: ClassVar[str] = "any folder of images, with an optional table of labels"

    root: str
    labels: str | None = None
    identity_from: IdentityFrom = "none"

    def __post_init__(self) -> None:
        if self.identity_from not in get_args(IdentityFrom):
            raise UsageError(f"identity_from must be one of {', '.join(get_args(IdentityFrom))}, not {self.identity_from!r}")
        object.__setattr__(self, "root", Tree(self.root).root)  # workers have another working directory

    def images(self) -> Iterator[pa.RecordBatch]:
        """List every image file in the order of the paths, without opening any."""
        tree = Tree(self.root)
        if not tree.has_folder():
            raise UsageError(f"there is no folder {self.root}; set root to a folder of images")
        listed = _listed(tree, self.identity_from)
        first = next(listed, None)
        if first is None:
            raise UsageError(f"{self.root} holds no image, that is no file with a suffix of {', '.join(SUFFIXES)}")
        if self.labels is None:
            yield from chain([first], listed)
            return
        labels = _labels(tree, self.labels)
        with workspace() as connection:
            load(connection, "listed", COLUMNS, chain([first], listed))
            load(connection, "labels", labels.schema, labels.to_batches())
            connection.execute(NAMED)
            _check_names(connection, self.labels)
            yield from stream(connection, JOINED)

    def read(self, path: str) -> bytes:
        """Return the bytes of an image file, given its path under the root."""
        return Tree(self.root).read(path)


def _listed(tree: Tree, identity_from: IdentityFrom) -> Iterator[pa.RecordBatch]:
    paths = tree.images()
    while some := list(islice(paths, ROWS)):
        try:
            names = pa.array(some, pa.string())
        except UnicodeEncodeError as error:
            raise UsageError(f"{tree.root} holds {error.object!r}, whose name is not UTF-8; rename it") from error
        folders = [path.rpartition("/")[0].rpartition("/")[2] or None for path in some]
        identities = pa.array(folders if identity_from == "folder" else [None] * len(some), pa.string())
        boxes = [pa.nulls(len(some), pa.float32())] * len(BOX)
        yield pa.record_batch([names, names, identities, *boxes], schema=COLUMNS)


def _labels(tree: Tree, path: str) -> pa.Table:
    """Read a table of labels: image, identity and face box, null where it has none, then its other columns."""
    table = _read_table(tree, path)
    _check_columns(path, table.column_names)
    others = [field for field in table.schema if field.name not in COLUMNS.names]
    schema = pa.schema([*(field for field in COLUMNS if field.name != "path"), *map(_plain, others)])
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise UsageError(f"{path} has a value of the wrong type: {error}") from error


def _read_table(tree: Tree, path: str) -> pa.Table:
    types = {field.name: field.type for field in COLUMNS}
    convert = pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    try:
        with tree.open(path) as file:
            return pq.read_table(file) if path.endswith(".parquet") else pacsv.read_csv(file, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"the labels {path} cannot be read as CSV or Parquet: {error}") from error


def _check_columns(path: str, columns: list[str]) -> None:
    if "image" not in columns:
        raise UsageError(f"{path} has no column image; its columns are {', '.join(columns)}")
    given = set(BOX) & set(columns)
    if given and given != set(BOX):
        raise UsageError(f"{path} has only {', '.join(sorted(given))} of the face box; give all of {', '.join(BOX)}")
    lower = [column.lower() for column in columns]
    for column in lower:
        if column in RESERVED:
            raise UsageError(f"{path} has a column {column}, which has a meaning of its own here; rename it")
        if lower.count(column) > 1:
            raise UsageError(f"{path} has two columns {column}, told apart by case at most; rename one")


def _plain(field: pa.Field) -> pa.Field:
    """Return the field without a dictionary, which would differ from file to file."""
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _check_names(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    twice = repeated(connection, "labels", "image")
    if twice is not None:
        raise UsageError(f"{path} has two rows for the image {twice}; remove one")
    for label, image in connection.execute(UNMATCHED).fetchall():
        raise UsageError(f"no row of {path} names an image: it has {label!r}, say, and the folder {image!r}")
