"""The values of set metrics, from the features that a run's complete shards have stored.

Like every mean, a value is over the images that have the feature for every compared setting, so that two settings are never
compared on different images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vcmbench import registry
from vcmbench.feature_tables import ORIGINAL, feature_matrix
from vcmbench.interfaces import SetValue, UsageError
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, MetricRecord

Matrix: TypeAlias = npt.NDArray[np.float32]

SetValues: TypeAlias = dict[str, dict[str, SetValue]]
"""Column of a set metric → setting → value; a setting of which no image has the feature is absent."""


def set_values(run: RunDirectory, index: Index, shards: Sequence[int]) -> SetValues:
    """Compute every set metric that the index asks for, over these shards."""
    files = [index.shards[shard].features for shard in shards if index.shards[shard].features]
    values: SetValues = {}
    for metric in index.metrics:
        if metric.set_columns:
            by_setting = _values(run, index, metric, files)
            for column in metric.set_columns:
                values[column] = {setting: found[column] for setting, found in by_setting.items()}
    return values


def _values(
    run: RunDirectory, index: Index, metric: MetricRecord, files: Sequence[str]
) -> dict[str, Mapping[str, SetValue]]:
    [feature] = metric.features
    having = {setting.key: set(_images(run, files, feature, setting.key)) for setting in index.settings}
    compared = {setting: images for setting, images in having.items() if images}
    if not compared:
        return {}
    common = sorted(set(_images(run, files, feature, ORIGINAL)).intersection(*compared.values()))
    identities = _identities(run, common)
    original = _matrix(run, files, feature, ORIGINAL, common)
    decoded = (_matrix(run, files, feature, setting, common) for setting in compared)
    try:
        function = registry.load(metric.value)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"{metric.name}: {metric.value} cannot be loaded: {error}; install the plug-in here, too"
        ) from error
    return dict(zip(compared, function(original, decoded, identities), strict=True))


def _images(run: RunDirectory, files: Sequence[str], feature: str, setting: str) -> Iterator[str]:
    """The images that have the feature under a setting."""
    for file in files:
        table = run.read_features(file, setting=setting)
        if feature in table.column_names:
            yield from table.filter(table[feature].is_valid())["image"].to_pylist()


def _matrix(run: RunDirectory, files: Sequence[str], feature: str, setting: str, images: Sequence[str]) -> Matrix:
    """The feature of these images under a setting, N×D, in their order."""
    names: list[str] = []
    parts: list[Matrix] = []
    for file in files:
        table = run.read_features(file, setting=setting)
        if feature in table.column_names:
            matrix, present = feature_matrix(table[feature])
            names += table["image"].filter(present).to_pylist()
            parts += [matrix[present]] if present.any() else []
    place = {name: position for position, name in enumerate(names)}
    return np.concatenate(parts)[[place[image] for image in images]] if images else np.zeros((0, 1), np.float32)


def _identities(run: RunDirectory, images: Sequence[str]) -> list[str | None]:
    identity: dict[str, str | None] = {}
    wanted = set(images)
    for batch in run.manifest_batches(["image", "identity"]):
        names, identities = (batch.column(name).to_pylist() for name in ("image", "identity"))
        identity.update((name, who) for name, who in zip(names, identities, strict=True) if name in wanted)
    return [identity[image] for image in images]
