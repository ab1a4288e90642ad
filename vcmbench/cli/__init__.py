"""The command line: joins jobs, pipeline, reports and tracking, and turns errors into one clear line.

Exit codes: 0 every row written and none an error; 3 finished with error rows; 2 bad usage or job file; 1 not finished.
Commands import what they need, so that `vcmbench codecs` does not wait for torch.
"""

from __future__ import annotations

import sys

import click

from vcmbench import __version__
from vcmbench.cli.exit_codes import BAD_USAGE, NOT_FINISHED
from vcmbench.cli.files import decode, encode, unpack
from vcmbench.cli.listings import codecs, dataset, metrics, weights
from vcmbench.cli.runs import compare, report, run
from vcmbench.cli.training import train_decoder
from vcmbench.interfaces import StorageError, Superseded, UsageError


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


for command in (run, report, compare, train_decoder, encode, decode, unpack, codecs, metrics, weights, dataset):
    commands.add_command(command)
