"""The command line: joins jobs, pipeline, reports and tracking, and turns errors into one clear line.

Exit codes: 0 every row written and none an error; 3 finished with error rows; 2 bad usage or job file; 1 not finished.
Commands import what they need, so that `vcmbench codecs` does not wait for torch.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vcmbench import __version__
from vcmbench.interfaces import BitstreamError, ImageError, StorageError, Superseded, UsageError

if TYPE_CHECKING:
    from vcmbench.config.job import Job
    from vcmbench.config.sections import JobFile
    from vcmbench.interfaces import Parameter
    from vcmbench.pipeline.driver import Outcome, Run
    from vcmbench.pipeline.plan import Retry, ShardWork
    from vcmbench.reports.summary import Summary
    from vcmbench.results import RunDirectory
    from vcmbench.run_index import Index
    from vcmbench.training.loop import Reporter

NOT_FINISHED, BAD_USAGE, ERROR_ROWS = 1, 2, 3

LOSSLESS = {".png": "PNG", ".bmp": "BMP", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF"}
"""What `decode` writes: suffix → Pillow's name of the format."""


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = commands.main(prog_name="vcmbench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = BAD_USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("vcmbench: interrupted; the same command continues where it stopped", err=True)
        code = NOT_FINISHED
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        code = _explain(error)
    sys.exit(code)


def _explain(error: Exception) -> int:
    if isinstance(error, UsageError):
        click.echo(f"vcmbench: {error}", err=True)
        return BAD_USAGE
    if isinstance(error, StorageError | Superseded):
        click.echo(f"vcmbench: {error}", err=True)
        return NOT_FINISHED
    click.echo(f"vcmbench: {type(error).__name__}: {error} (`vcmbench --debug …` shows where)", err=True)
    return NOT_FINISHED


@click.group(
    epilog="Exit codes: 0 all rows good; 3 finished, some rows are errors; 2 wrong usage or job file; 1 not finished."
)
@click.version_option(__version__)
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def commands() -> None:
    """Benchmark face-image codecs for human and machine vision."""


# ------------------------------------------------------------------------------------------------------------ runs


@commands.command(epilog="Example: vcmbench run examples/demo.yaml --set dataset.limit=4 --address local")
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
        with _opening(job.file.out):
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

    with _opening(job.file.out):
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


@commands.command()
@click.argument("out")
@click.option("--mlflow", is_flag=True, help="Log the run to MLflow, as its job says or to the default store.")
def report(out: str, *, mlflow: bool) -> int:
    """Make the report of the run directory OUT again."""
    from vcmbench.results import RunDirectory

    return _conclude(RunDirectory(out), log_to_mlflow=mlflow)


@commands.command(epilog='Example: vcmbench compare runs/before runs/after --pair "edge points=15" "edge points=40"')
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

    one = _finished(first)
    comparisons = {}
    for other in others:
        two = _finished(other)
        comparisons[other] = compare_runs(one, two, pairs)
        differing = differing_provenance(one[0].read_provenance(), two[0].read_provenance())
        click.echo(f"{first}  →  {other}: {as_text(comparisons[other])}\n")
        click.echo("\n".join(["Provenance:", *(differing or ["no difference"])]))
    if csv_file:
        with _opening(str(csv_file)):
            csv_file.write_text(as_csv(comparisons), encoding="utf-8")


def _finished(out: str) -> tuple[RunDirectory, Index]:
    from vcmbench.results import RunDirectory

    directory = RunDirectory(out)
    return directory, _index_of(directory)


def _index_of(directory: RunDirectory) -> Index:
    index = directory.read_index()
    if index is None:
        raise UsageError(f"{directory.url} is not a run directory: it has no index.json; `vcmbench run JOB.yaml` makes one")
    return index


@contextlib.contextmanager
def _opening(out: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out} cannot be opened or written: {error.strerror or error}; choose another `out`") from error
    except StorageError as error:
        raise UsageError(f"{error}, or choose another `out`") from error


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

    index = _index_of(directory)
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


# -------------------------------------------------------------------------------------------------------- training


@commands.command(epilog="Example: vcmbench train-decoder examples/train_decoder.yaml --set steps=1000")
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


# ---------------------------------------------------------------------------------------------------- single files


@commands.command(epilog='Example: vcmbench encode --codec "jpeg quality=10" face.png face.bin')
@click.option("--codec", "words", required=True, metavar="SETTING", help='Family and parameters, e.g. "jpeg quality=10".')
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("bitstream", type=click.Path(path_type=Path))
def encode(words: str, image: Path, bitstream: Path) -> None:
    """Code an IMAGE file, at its own size, into a BITSTREAM file."""
    from vcmbench.config.codecs import parse_codec
    from vcmbench.datasets.prepare import decode as read_image

    codec = parse_codec(words)
    with _naming(image):
        pixels, note = read_image(_read(image))
        data = codec.encode(pixels)
    _write(bitstream, data)
    height, width, _ = pixels.shape
    click.echo(f"{codec.variant}: {width}×{height}, {len(data)} bytes, {8 * len(data) / (width * height):.4f} bpp")
    if note:
        click.echo(f"note: {note}", err=True)


@commands.command(epilog='Example: vcmbench decode --codec "jpeg quality=10" face.bin decoded.png')
@click.option("--codec", "words", required=True, metavar="SETTING", help="The setting it was coded with.")
@click.argument("bitstream", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
def decode(words: str, bitstream: Path, image: Path) -> None:
    """Decode a BITSTREAM file into an IMAGE file.

    The image's suffix names its format, PNG or another one that keeps every pixel.
    """
    from PIL import Image

    from vcmbench.config.codecs import parse_codec

    codec = parse_codec(words)
    if image.suffix.lower() not in LOSSLESS:
        raise UsageError(f"{image}: the suffix must be one of {', '.join(LOSSLESS)}, formats that keep every pixel")
    with _naming(bitstream):
        pixels = codec.decode(_read(bitstream))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, LOSSLESS[image.suffix.lower()])
    _write(image, file.getvalue())


@commands.command(epilog='Example: vcmbench unpack runs/demo bitstreams --setting "jpeg quality=4"')
@click.argument("out")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--setting", "variants", multiple=True, metavar="SETTING", help="Only those of this setting; repeatable.")
def unpack(out: str, folder: Path, variants: tuple[str, ...]) -> None:
    """Write the bitstreams that the run directory OUT keeps into FOLDER/SETTING/IMAGE.bin."""
    from vcmbench.unpacking import not_kept
    from vcmbench.unpacking import unpack as write_files

    directory, index = _finished(out)
    with _opening(str(folder)):
        written = sum(1 for _ in write_files(directory, index, folder, variants))
    click.echo(f"{written} bitstreams in {folder}")
    if lacking := not_kept(index):
        click.echo(
            f"warning: {lacking} times a shard keeps none of a setting; "
            "running the job again with --set keep_bitstreams=true codes them",
            err=True,
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (ImageError, BitstreamError) as error:
        raise UsageError(f"{path}: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


# -------------------------------------------------------------------------------------------------------- listings


@commands.command()
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


@commands.command()
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


@commands.group()
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


@commands.command()
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
