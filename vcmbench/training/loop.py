"""The training itself: steps, checkpoints, and now and then a look at pictures that it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

import PIL.Image
import torch

from vcmbench.interfaces import Image
from vcmbench.progress import Progress
from vcmbench.training.batches import Batches
from vcmbench.training.inputs import prepared_files
from vcmbench.training.recipe import Recipe
from vcmbench.training.state import State, export
from vcmbench.training.step import Step
from vcmbench.training.validation import Validation

PICTURES = "validation"
"""The folder in a training's `out` of held-out pictures beside what the decoder makes of them."""


class Reporter(Protocol):
    """Where curves and pictures go."""

    def curves(self, step: int, values: Mapping[str, float]) -> None:
        """Take a point of each curve."""

    def picture(self, step: int, image: Image) -> None:
        """Take H×W×3 pixels: held-out pictures beside what the decoder makes of them."""


class Silent:
    """Takes curves and pictures to nowhere."""

    def curves(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def picture(self, step: int, image: Image) -> None:
        """Do nothing."""


def train(recipe: Recipe, device: str | None, reporter: Reporter) -> None:
    """Train, going on from the checkpoint where there is one, and leave weights beside it.

    The device is by default a GPU where there is one. A training that is interrupted saves what it has. Raises `UsageError`
    where there is no picture to learn from, or the checkpoint is another training's.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    files = prepared_files(recipe.pictures, recipe.inputs, recipe.workers)
    held_out = prepared_files(recipe.validation, recipe.inputs, recipe.workers) if recipe.validation else []
    validation = Validation([forms[0] for forms in held_out], device)
    state = State(recipe, device)
    if recipe.checkpoint.exists():
        state.load(recipe.checkpoint, device)
    step = Step(recipe, state, device)
    first = state.step
    with (
        Progress(recipe.steps - state.step, unit="steps") as progress,
        closing(Batches(files, recipe.batch, recipe.seed).ahead(first)) as batches,
    ):
        try:
            while state.step < recipe.steps:
                step(*next(batches))
                progress.reach(state.step - first)
                if state.step % recipe.checkpoint_every == 0:
                    _save(recipe, state)
                if state.step % recipe.validate_every == 0:
                    reporter.curves(state.step, {**step.means(), **validation.figures(state.average)})
                    _show(validation.sheet(state.average), recipe.out / PICTURES, state.step, reporter)
        finally:
            _save(recipe, state)


def _save(recipe: Recipe, state: State) -> None:
    state.save(recipe.checkpoint)
    export(state.average, recipe.weights)


def _show(sheet: Image, folder: Path, step: int, reporter: Reporter) -> None:
    folder.mkdir(exist_ok=True)
    PIL.Image.fromarray(sheet).save(folder / f"{step}.png")
    reporter.picture(step, sheet)
