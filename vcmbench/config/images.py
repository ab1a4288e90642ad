"""A `dataset:` section as a data set, the images of it that are chosen, and how they are prepared."""

from __future__ import annotations

import dataclasses

from pydantic import TypeAdapter, ValidationError

from vcmbench import registry
from vcmbench.config.messages import at, explain_option, unknown
from vcmbench.config.sections import DatasetSection, JobFile
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Dataset, UsageError


def dataset_of(section: DatasetSection, key: str = "dataset") -> Dataset:
    """Return the data set of the section at a key; raises `UsageError` for an unknown kind and for wrong options."""
    with at(f"{key}.kind"):
        plugin = registry.datasets.get(section.kind)
    options = section.model_extra or {}
    own = [field.name for field in dataclasses.fields(plugin)]  # type: ignore[arg-type]  # a data set is a dataclass
    for name in options:
        if name not in own:
            raise UsageError(unknown([key, name], [*DatasetSection.model_fields, *own], JobFile))
    try:
        dataset: Dataset = TypeAdapter(plugin).validate_python(options)
    except ValidationError as error:
        raise UsageError(explain_option(error.errors()[0], key, section.kind)) from error
    return dataset


def selection_of(section: DatasetSection) -> Selection:
    """Return which images of the data set are chosen."""
    identities = tuple(section.identities) if isinstance(section.identities, list) else section.identities
    return Selection(section.limit, identities, section.min_face, section.seed)


def preparation_of(section: DatasetSection) -> Preparation:
    """Return how each image is cropped and resized."""
    return Preparation(size=section.size, scale=section.crop.scale)
