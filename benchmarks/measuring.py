"""What the benchmarks share: the cores they keep to, the machine in words, medians and tables."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from vcmbench.pipeline.environment import environment

PORTRAITS = Path(__file__).parents[2] / "shared" / "vggface2_mini"
"""Where the portraits lie unless told otherwise: beside the checkout."""


def keep_to_cores(count: int) -> None:
    """Let this process, and all it starts, use so many cores at most."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def machine(*packages: str) -> str:
    """Say in one line when and with what is measured: date, processor, cores in use, load, Python and these packages."""
    here = environment()
    cpu, versions = here["cpu"], here["packages"]
    assert isinstance(cpu, dict)
    assert isinstance(versions, dict)
    cores = f"{len(os.sched_getaffinity(0))} of {cpu['count']} cores, load {os.getloadavg()[0]:.1f} before"
    named = ", ".join(f"{package} {versions[package]}" for package in packages)
    return f"{str(here['time'])[:10]}, {cpu['model']}, {cores}; {here['python']}, {named}"


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Spell the median, and the extremes where there are several values."""
    median = f"{statistics.median(values):{form}}"
    return median if len(values) == 1 else f"{median} ({min(values):{form}}–{max(values):{form}})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table, its first column aligned to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for cells in [header, rule, *rows]:
        first, *others = zip(cells, widths, strict=True)
        print("|", " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]), "|")
