"""A small real run of two curves, and what its report may show of its images."""

from __future__ import annotations

from pathlib import Path

from runs import SIZE, bring_up_to_date, make_task, write_images

from vcmbench import codecs
from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec
from vcmbench.reports.pictures import Showing
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

HOSTILE = "<img src=x onerror='window.hacked = 1'>.png"
FIGURES = {f"contact_sheet.{suffix}" for suffix in ("png", "pdf")}
CODECS: tuple[Codec, ...] = (
    *(codecs.create("jpeg", quality=quality) for quality in (10, 30, 60, 90)),
    *(codecs.create("webp", quality=quality) for quality in (0, 30, 60, 90)),
)


def run_two_curves(folder: Path) -> None:
    """Run eight images, one of a hostile name, in the folder's `run`."""
    write_images(folder / "images", 8)
    (folder / "images" / "007.png").rename(folder / "images" / HOSTILE)
    bring_up_to_date(make_task(folder / "images", folder / "run", codecs=CODECS))


def opened(folder: Path) -> tuple[RunDirectory, Index]:
    """Its run directory and index."""
    run = RunDirectory(str(folder / "run"))
    index = run.read_index()
    assert index
    return run, index


def showing_from(images: Path, warnings: list[str] | None = None) -> Showing:
    """Show images of that folder, and collect the warnings."""
    told = [] if warnings is None else warnings
    return Showing(Folder(root=str(images)), Preparation(size=SIZE), 8, (), (), told.append)


def figures(folder: Path) -> set[str]:
    """The names of the contact sheets that are there."""
    return {file.name for file in (folder / "run/report/figures").glob("*")}
