"""The contact sheets of a run as files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcmbench.reports.contact_sheet import Sheet, human_sheet, machine_sheet
from vcmbench.reports.contact_sheet_drawing import draw
from vcmbench.reports.contact_sheet_files import as_pdf, as_png
from vcmbench.reports.grid import Grid
from vcmbench.reports.image_choice import ShownSettings, choose_images
from vcmbench.reports.image_rows import stored_images
from vcmbench.reports.pictures import Showing
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

HUMAN, MACHINE = "report/figures/contact_sheet", "report/figures/contact_sheet_machine"
"""Names of the figures, without their suffix."""


def images_to_show(index: Index, grid: Grid, showing: Showing, shown: ShownSettings) -> list[str]:
    """Return the images that the job names, or else those that the report chooses, see `choose_images`."""
    if showing.image_names:
        return list(dict.fromkeys(showing.image_names))
    places = [index.settings.index(setting) for setting in shown.settings]
    coded = np.logical_and.reduce(np.isfinite(grid.values("bpp")[places]), axis=0)
    return [grid.images[place].as_py() for place in choose_images(coded, grid.clusters, showing.feature_images)]


def write_figures(run: RunDirectory, index: Index, showing: Showing, names: Sequence[str], shown: ShownSettings) -> None:
    """Write the contact sheets of these images and settings as PNG and PDF; one that would be empty is deleted."""
    stored = stored_images(run, index, names)
    notes = (*filter(None, [index.notice]), *shown.notes)
    sheet = human_sheet(stored, showing, names, shown.settings, notes) if names and shown.settings else None
    _write(run, HUMAN, sheet)
    _write(run, MACHINE, machine_sheet(sheet, index, stored, shown.settings) if sheet else None)


def delete_figures(run: RunDirectory) -> None:
    """Delete the contact sheets of an earlier report."""
    _write(run, HUMAN, None)
    _write(run, MACHINE, None)


def _write(run: RunDirectory, name: str, sheet: Sheet | None) -> None:
    if sheet is None:
        run.delete(f"{name}.png")
        run.delete(f"{name}.pdf")
    else:
        run.write(f"{name}.png", as_png(draw(sheet)))
        run.write(f"{name}.pdf", as_pdf(sheet))
