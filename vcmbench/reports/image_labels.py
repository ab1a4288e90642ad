"""What parts a run's images: the labels of its data set, and how large the face was in the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vcmbench.results import MANIFEST, RunDirectory

FACE_BANDS = (64, 128, 256)
"""Where bands of source face sizes begin, in pixels of the face box's shorter side; the first band is below all of them."""
MOST_VALUES = 8
"""A label with more values is no way to part images."""
MOST_SLICES = 16

FACE_SIZE = "source face size"
UNKNOWN = "not known"
_NOT_LABELS = frozenset({"image", "path", "identity", "box_x", "box_y", "box_width", "box_height", "face_size", "shard"})
"""The manifest's columns that are not a data set's own."""


@dataclass(frozen=True)
class Label:
    """The values of a label, in their order; images without one have the last."""

    name: str
    values: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    """I: the place of each image's value, in the order of the grid."""


def image_labels(run: RunDirectory, shards: Sequence[int]) -> tuple[list[Label], list[str]]:
    """The labels that part the images of these shards, `MOST_SLICES` values at most, and notes on others as sentences."""
    labels: list[Label] = []
    notes: list[str] = []
    columns = _label_columns(run, shards)
    for name in columns.column_names:
        is_size = name == "face_size"
        label = _bands(columns[name]) if is_size else _label(name, columns[name])
        shown = sum(len(each.values) for each in labels)
        if label is None:
            notes.append(f"{name}: more than {MOST_VALUES} values, so that there are no slices by it.")
        elif len(label.values) == 1 and not is_size:
            notes.append(f"{name}: {label.values[0]} for every image.")
        elif len(label.values) > 1 and shown + len(label.values) > MOST_SLICES:
            notes.append(f"{label.name}: left out, because more than {MOST_SLICES} slices are not shown.")
        elif len(label.values) > 1:
            labels.append(label)
    return labels, notes


def _label_columns(run: RunDirectory, shards: Sequence[int]) -> pa.Table:
    """The label columns and `face_size` of the images of these shards, in the order of the manifest."""
    with run.open(MANIFEST) as file:
        schema = pq.read_schema(file)
    names = [field.name for field in schema if not (field.name in _NOT_LABELS or pa.types.is_nested(field.type))]
    if "face_size" in schema.names:
        names.append("face_size")
    wanted = pa.array(shards, pa.int32())
    batches = (batch.filter(pc.is_in(batch["shard"], wanted)) for batch in run.manifest_batches([*names, "shard"]))
    return pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in (*names, "shard")])).drop_columns(
        "shard"
    )


def _label(name: str, column: pa.ChunkedArray) -> Label | None:
    """A column's values in their order, images without one last; None for too many values."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if len(values) > MOST_VALUES:
        return None
    order = sorted(range(len(values)), key=values.__getitem__)
    codes = pc.fill_null(encoded.indices, len(values)).to_numpy()
    places = np.argsort(np.array([*order, len(values)]))
    return _present(name, [*(_spelled(values[code]) for code in order), UNKNOWN], places[codes])


def _present(name: str, values: Sequence[str], codes: npt.NDArray[np.int64]) -> Label:
    """The label without values that no image has."""
    present, new_codes = np.unique(codes, return_inverse=True)
    return Label(name, tuple(values[code] for code in present), new_codes)


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bands(sizes: pa.ChunkedArray) -> Label:
    """The bands of `FACE_BANDS` in which there are images."""
    pixels = sizes.cast(pa.float64()).to_numpy()
    between = (f"{low} to under {high} px" for low, high in pairwise(FACE_BANDS))
    names = [f"under {FACE_BANDS[0]} px", *between, f"{FACE_BANDS[-1]} px and more", UNKNOWN]
    return _present(FACE_SIZE, names, np.where(np.isnan(pixels), len(FACE_BANDS) + 1, np.digitize(pixels, FACE_BANDS)))
