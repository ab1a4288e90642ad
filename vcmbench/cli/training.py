"""Training the edge codec's decoder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vcmbench.training.loop import Reporter


@click.command(epilog="Example: vcmbench train-decoder examples/train_decoder.yaml --set steps=1000")
@click.argument("job_file", metavar="JOB.yaml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. steps=1000.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="Default: cuda where there is one.")
def train_decoder(job_file: Path, overrides: tuple[str, ...], device: str | None) -> None:
    """Train the edge codec's generative decoder.

    A training that was stopped continues with the same command.
    """
    from vcmbench.config.training import load_training
    from vcmbench.pipeline.tracking import Tracking, live_run
    from vcmbench.training.loop import Silent, train

    file, recipe = load_training(job_file, overrides)
    with contextlib.ExitStack() as stack:
        reporter: Reporter = Silent()
        if file.mlflow is not None:
            tracking = Tracking(file.mlflow.tracking_uri, file.mlflow.experiment)
            reporter = stack.enter_context(live_run(tracking, file.name, file.model_dump(mode="json")))
        train(recipe, device, reporter)
    click.echo(f"weights: {recipe.weights}")
