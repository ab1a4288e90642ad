"""What rows carry for set metrics and figures, as tables to be stored beside them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ORIGINAL = ""
"""What stands for the setting beside a feature of the original."""

_FEATURE = "feature "


def feature_keys(name: str) -> tuple[str, str]:
    """How a row calls a stored feature of its decoded image, and of its original."""
    return f"{_FEATURE}{name}", f"original {name}"


def feature_tables(rows: Sequence[Mapping[str, object]]) -> list[pa.Table]:
    """The features that rows carry: a table of the originals, then one for each setting; a null where a row has none.

    Columns: `image`, `setting` (`ORIGINAL` for an original), and for each feature a list of float32 of its length.
    """
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if key.startswith(_FEATURE) and value is not None)
    names = [key.removeprefix(_FEATURE) for key in keys]
    if not names:
        return []
    by_setting: dict[str, list[Mapping[str, object]]] = {}
    originals: dict[str, dict[str, object]] = {}
    for row in rows:
        by_setting.setdefault(str(row["setting"]), []).append(row)
        original = originals.setdefault(str(row["image"]), {"image": row["image"]})
        for key, original_key in map(feature_keys, names):
            if row.get(original_key) is not None:
                original[key] = row[original_key]
    groups: dict[str, Sequence[Mapping[str, object]]] = {ORIGINAL: list(originals.values()), **by_setting}
    return [_feature_table(setting, group, names) for setting, group in groups.items()]


def _feature_table(setting: str, rows: Sequence[Mapping[str, object]], names: Iterable[str]) -> pa.Table:
    columns = {
        "image": pa.array([row["image"] for row in rows], pa.string()),
        "setting": pa.array([setting] * len(rows), pa.string()),
    }
    for name in names:
        values = [row.get(feature_keys(name)[0]) for row in rows]
        columns[name] = pa.array(values, pa.list_(pa.float32()))  # of one length, but Parquet has no nulls among such
    return pa.table(columns)


def attach_features(rows: Sequence[dict[str, object]], features: pa.Table) -> None:
    """Give stored rows what was stored beside them, as float32 arrays."""
    places = {
        (image, setting): place
        for place, (image, setting) in enumerate(
            zip(features["image"].to_pylist(), features["setting"].to_pylist(), strict=True)
        )
    }
    for name in features.column_names[2:]:
        matrix, present = feature_matrix(features[name])
        for row in rows:
            for key, setting in zip(feature_keys(name), (row["setting"], ORIGINAL), strict=True):
                place = places.get((row["image"], setting))
                if place is not None and present[place]:
                    row[key] = matrix[place]


def feature_matrix(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A feature's column as N×D, and which of its rows have a value; the others are zero. D is 0 where none has."""
    array = column.combine_chunks()
    present = array.is_valid().to_numpy(zero_copy_only=False)
    values = array.flatten().to_numpy()
    matrix = np.zeros((len(array), len(values) // max(1, present.sum())), np.float32)
    matrix[present] = values.reshape(present.sum(), -1)
    return matrix, present
