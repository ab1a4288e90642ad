"""Running jobs, their reports, and comparing runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vcmbench.cli.exit_codes import ERROR_ROWS
from vcmbench.cli.run_directories import finished, index_of, opening
from vcmbench.interfaces import UsageError

if TYPE_CHECKING:
    from vcmbench.config.job import Job
    from vcmbench.config.sections import JobFile
    from vcmbench.pipeline.driver import Outcome, Run
    from vcmbench.pipeline.plan import Retry, ShardWork
    from vcmbench.reports.summary import Summary
    from vcmbench.results import RunDirectory
    from vcmbench.run_index import Index


@click.command(epilog="Example: vcmbench run examples/demo.yaml --set dataset.limit=4 --address local")
@click.argument("job_file", metavar="JOB.yaml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. dataset.limit=100.")
@click.option("--address", default="auto", metavar="auto|local|HOST", help="A Ray cluster; local runs without Ray.")
@click.option("--workers", type=click.IntRange(min=1), help="Default: one a GPU, or one for 8 cores.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="Default: cuda where the cluster has it.")
@click.option(
    "--retry-errors", "retry", flag_value="errors", help="Try error rows, and values lost for want of memory, again."
)
@click.option("--retry-transient", "retry", flag_value="transient", help="Likewise, but only where the reason may pass.")
@click.option("--dry-run", is_flag=True, help="Say what would be computed, and write nothing.")
def run(
    job_file: Path,
    overrides: tuple[str, ...],
    address: str,
    workers: int | None,
    device: str | None,
    retry: Retry | None,
    *,
    dry_run: bool,
) -> int:
    """Run a job: compute what its run directory lacks, then report.

    A run that was stopped continues with the same command; what is stored is not computed again.
    """
    from vcmbench.config.job import load_job
    from vcmbench.pipeline.driver import open_run

    if address == "local" and workers is not None:
        raise UsageError("--workers is for Ray, and --address local runs without it; leave one of them out")
    job = load_job(job_file, overrides, fetch=not dry_run)
    if job.not_downloaded:
        click.echo(f"warning: {job.not_downloaded}", err=True)
    for name, reason in job.unavailable.items():
        click.echo(f"without {name}: {reason}", err=True)
    if dry_run:
        return _foresee(job, retry)
    with contextlib.ExitStack() as stack:
        with opening(job.file.out):
            opened = stack.enter_context(open_run(job.task))
        works = opened.missing_work(retry)
        images = sum(opened.directory.shard_sizes().values())
        todo = sum(work.size for work in works) or "nothing"
        index = opened.index
        click.echo(f"{index.name}: {images} images × {len(index.settings)} settings, {todo} to compute", err=True)
        if works:
            _warn(_compute(opened, works, address, workers, device))
        return _conclude(opened.directory, log_to_mlflow=job.file.mlflow is not None)


def _foresee(job: Job, retry: Retry | None) -> int:
    from vcmbench.pipeline.driver import survey
    from vcmbench.pipeline.forecast import forecast

    with opening(job.file.out):
        found = survey(job.task)
        click.echo("\n".join(forecast(found.index, found.shard_sizes(), retry)))
    click.echo(f"nothing was written to {found.directory.url}")
    return 0


def _warn(outcome: Outcome) -> None:
    for variant in sorted(outcome.not_deterministic):
        click.echo(f"warning: {variant} is not deterministic: coded again, it gave other bytes or pixels", err=True)
    if outcome.replaced:
        shown = ", ".join(outcome.replaced[:3]) + (", …" if len(outcome.replaced) > 3 else "")
        click.echo(
            f"warning: {len(outcome.replaced)} images are not those that were coded before; their rows are new: {shown}",
            err=True,
        )


@click.command()
@click.argument("out")
@click.option("--mlflow", is_flag=True, help="Log the run to MLflow, as its job says or to the default store.")
def report(out: str, *, mlflow: bool) -> int:
    """Make the report of the run directory OUT again."""
    from vcmbench.results import RunDirectory

    return _conclude(RunDirectory(out), log_to_mlflow=mlflow)


@click.command(epilog='Example: vcmbench compare runs/before runs/after --pair "edge points=15" "edge points=40"')
@click.argument("first")
@click.argument("others", nargs=-1, required=True)
@click.option("--pair", "pairs", nargs=2, multiple=True, metavar="FIRST OTHER", help="Compare these settings.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write the numbers to a file, too.")
def compare(first: str, others: tuple[str, ...], pairs: tuple[tuple[str, str], ...], csv_file: Path | None) -> None:
    """Compare runs with the run directory FIRST, image by image.

    By default settings of the same name are compared. A difference is the other run's value less the first one's, and better
    or worse where its 95 % interval leaves out 0.
    """
    from vcmbench.reports.compare import compare_runs
    from vcmbench.reports.compare_text import as_csv, as_text, differing_provenance

    one = finished(first)
    comparisons = {}
    for other in others:
        two = finished(other)
        comparisons[other] = compare_runs(one, two, pairs)
        differing = differing_provenance(one[0].read_provenance(), two[0].read_provenance())
        click.echo(f"{first}  →  {other}: {as_text(comparisons[other])}\n")
        click.echo("\n".join(["Provenance:", *(differing or ["no difference"])]))
    if csv_file:
        with opening(str(csv_file)):
            csv_file.write_text(as_csv(comparisons), encoding="utf-8")


def _compute(run: Run, works: list[ShardWork], address: str, workers: int | None, device: str | None) -> Outcome:
    from vcmbench.pipeline import cluster, local
    from vcmbench.pipeline.driver import converge
    from vcmbench.progress import Progress

    with Progress(sum(work.size for work in works)) as progress:
        if address == "local":
            return converge(run, works, local.resources(device), local.execute_here, progress.reach)
        with cluster.connected(address) as nodes:
            layout = cluster.layout(nodes, workers, device)
            return converge(run, works, layout.resources, cluster.RayExecutor(layout), progress.reach)


def _conclude(directory: RunDirectory, *, log_to_mlflow: bool) -> int:
    from vcmbench.config.job import images_shown, stored_job
    from vcmbench.reports.page import write_report
    from vcmbench.reports.table_text import as_text

    index = index_of(directory)
    job = stored_job(directory)
    showing = images_shown(job, lambda problem: click.echo(f"warning: {problem}", err=True))
    summary = write_report(directory, index, job.report.anchor, showing)
    click.echo(as_text(index, summary))
    failed, transient = index.failed_rows()
    if failed:
        click.echo(
            f"{failed} rows failed, {transient} of them for a reason that may pass: "
            "run the job again with --retry-errors, or with --retry-transient for these alone"
        )
    click.echo(f"report:  {directory.url}/report/index.html\nresults: {directory.url}/results/")
    if log_to_mlflow:
        _track(directory, index, summary, job)
    return ERROR_ROWS if sum(summary.table["errors"].to_pylist()) else 0


def _track(directory: RunDirectory, index: Index, summary: Summary, job: JobFile) -> None:
    from vcmbench.config.sections import MlflowSection
    from vcmbench.pipeline.tracking import Tracking, TrackingError, log_run, without_passwords

    section = job.mlflow or MlflowSection()
    tracking = Tracking(section.tracking_uri, section.experiment)
    parameters = job.model_dump(mode="json")
    try:
        log_run(tracking, directory, index, summary.table, dataset=job.dataset.kind, parameters=parameters, tags={})
    except TrackingError as error:
        click.echo(f"warning: {error}", err=True)
    else:
        click.echo(f"MLflow:  {without_passwords(section.tracking_uri)}, experiment {section.experiment}")
