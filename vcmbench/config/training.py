"""A training job, in training's own terms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vcmbench.config.content import checked, read_content
from vcmbench.config.images import dataset_of, preparation_of, selection_of
from vcmbench.config.messages import at
from vcmbench.config.sections import DatasetSection, TrainingFile
from vcmbench.interfaces import UsageError
from vcmbench.training.recipe import Pictures, Recipe, Weights


def load_training(path: Path, overrides: Sequence[str] = ()) -> tuple[TrainingFile, Recipe]:
    """Read and check a training job, as `load_job` does a job; return it as it is spelled and in training's own terms."""
    content = read_content(path, overrides)
    with at(str(path)):
        file = checked(content, TrainingFile)
        return file, _recipe(file)


def _recipe(file: TrainingFile) -> Recipe:
    return Recipe(
        out=Path(file.out),
        pictures=_pictures("dataset", file.dataset, file.forms),
        validation=None if file.validation is None else _pictures("validation", file.validation, 1),
        steps=file.steps,
        batch=file.batch,
        learning_rate=file.learning_rate,
        losses=Weights(**file.losses.model_dump()),
        average=file.average,
        precision=file.precision,
        seed=file.seed,
        initial=None if file.initial is None else Path(file.initial),
        checkpoint_every=file.checkpoint_every,
        validate_every=file.validate_every,
        workers=file.workers or len(os.sched_getaffinity(0)),
    )


def _pictures(key: str, section: DatasetSection, forms: int) -> Pictures:
    if section.size % 32 or not 64 <= section.size <= 1024:
        raise UsageError(f"{key}.size must be a multiple of 32 from 64 to 1024 to train with, not {section.size}")
    return Pictures(dataset_of(section, key), selection_of(section), preparation_of(section), forms)
