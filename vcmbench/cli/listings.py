"""What there is: codecs, metrics, weights, and the images of a job."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vcmbench.cli.exit_codes import BAD_USAGE
from vcmbench.interfaces import UsageError

if TYPE_CHECKING:
    from vcmbench.interfaces import Parameter


@click.command()
def codecs() -> None:
    """List the codec families, their parameters and ranges."""
    from vcmbench import registry

    for family, codec in registry.codecs.classes.items():
        click.echo(f"{family}: {codec.summary}")
        for name, parameter in codec.parameters.items():
            click.echo(f"    {_parameter(name, parameter)}")


def _parameter(name: str, parameter: Parameter) -> str:
    default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
    return f"{name} = {default}: {parameter.help} ({parameter.allowed})"


@click.command()
def metrics() -> None:
    """List the metrics, their columns, and whether they can run here."""
    from vcmbench import registry
    from vcmbench.interfaces import SetMetric
    from vcmbench.weights import lacking

    for name, metric_class in registry.metrics.classes.items():
        metric = metric_class()
        missing = metric.unavailable() or lacking(metric.weights)
        click.echo(f"{name} ({metric.kind} vision): {metric.summary}" + (f" — cannot run: {missing}" if missing else ""))
        for column, record in (metric.set_columns if isinstance(metric, SetMetric) else metric.columns).items():
            direction = f", {record.better} is better" if record.better else ""
            click.echo(f"    {column}: {record.title}{direction}")
        for parameter, allowed in metric.parameters.items():
            click.echo(f"    {_parameter(parameter, allowed)}")


@click.group()
def weights() -> None:
    """List, fetch and verify the files of pretrained networks."""


@weights.command("list")
def list_weights() -> None:
    """List the files: what for, whose, under which licence, and where on this machine."""
    from vcmbench.weights import ARTEFACTS, describe

    for name in ARTEFACTS:
        click.echo(describe(name))


@weights.command(epilog="Example: VCMBENCH_WEIGHTS=/tmp/weights vcmbench weights fetch vgg16")
@click.argument("names", nargs=-1, metavar="[NAME ...]")
def fetch(names: tuple[str, ...]) -> None:
    """Download the named files, or all, that are not on this machine."""
    from vcmbench.weights import ARTEFACTS, describe, obtain

    obtain(names or ARTEFACTS)
    for name in names or ARTEFACTS:
        click.echo(describe(name))


@weights.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
def verify(names: tuple[str, ...]) -> int:
    """Hash the named files, or all on this machine, and compare with what is published."""
    from vcmbench.weights import ARTEFACTS, check, find

    good = True
    for name in names or [name for name in ARTEFACTS if find(name)]:
        try:
            click.echo(check(name))
        except UsageError as error:
            click.echo(f"{name}: {error}", err=True)
            good = False
    return 0 if good else BAD_USAGE


@click.command()
@click.argument("job_file", metavar="JOB.yaml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. dataset.limit=100.")
def dataset(job_file: Path, overrides: tuple[str, ...]) -> None:
    """Count the images, identities and face boxes of a job.

    No image is opened.
    """
    from vcmbench.config.job import load_job
    from vcmbench.datasets.selection import select

    job = load_job(job_file, overrides)
    images = boxes = 0
    identities: Counter[str | None] = Counter()
    for batch in select(job.dataset.images(), job.selection):
        images += batch.num_rows
        boxes += batch.num_rows - batch.column("box_x").null_count
        identities.update(batch.column("identity").to_pylist())
    unnamed = identities.pop(None, 0)
    click.echo(f"{images} images, {boxes} with a face box, {len(identities)} identities, {unnamed} images of nobody known")
