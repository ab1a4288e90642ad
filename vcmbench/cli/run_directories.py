"""Run directories that a command is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vcmbench.interfaces import StorageError, UsageError

if TYPE_CHECKING:
    from vcmbench.results import RunDirectory
    from vcmbench.run_index import Index


def finished(out: str) -> tuple[RunDirectory, Index]:
    """Return a run directory and its index; raise `UsageError` for what is none."""
    from vcmbench.results import RunDirectory

    directory = RunDirectory(out)
    return directory, index_of(directory)


def index_of(directory: RunDirectory) -> Index:
    """Return the index; raise `UsageError` where there is none."""
    index = directory.read_index()
    if index is None:
        raise UsageError(f"{directory.url} is not a run directory: it has no index.json; `vcmbench run JOB.yaml` makes one")
    return index


@contextlib.contextmanager
def opening(out: str) -> Iterator[None]:
    """Say what is wrong with an `out` that cannot be used."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out} cannot be opened or written: {error.strerror or error}; choose another `out`") from error
    except StorageError as error:
        raise UsageError(f"{error}, or choose another `out`") from error
