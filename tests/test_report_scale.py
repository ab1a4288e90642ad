"""The page of a job with 300 settings and 16 metrics."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page
from report_browser import Visit, label_images, reported
from synthetic_run import Row, setting, write_run

from vcmbench.results import RunDirectory
from vcmbench.run_index import ColumnRecord, MetricRecord

CURVES, POINTS, IMAGES = 60, 5, 24
LARGEST = 8_000_000
"""Bytes of the page."""
SLOWEST_LOAD, SLOWEST_ANSWER = 10, 2
"""Seconds, on a machine that does other things too; an idle one needs a tenth of it."""


def metric(number: int) -> MetricRecord:
    """A human metric of which more is better, or a machine metric of which less is."""
    kind, better = ("human", "higher") if number < 10 else ("machine", "lower")
    return MetricRecord(
        key=f"m{number}",
        name=f"m{number}",
        kind=kind,
        version="1",
        summary="made up",
        columns={f"m{number}": ColumnRecord(title=f"Metric {number}", better=better, dtype="float", unit="")},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with labels and intervals."""
    settings = [
        setting("codec", "quality", 4 + 8 * point, option=f"preset=slow variant={curve}")
        for curve in range(CURVES)
        for point in range(POINTS)
    ]

    def measure(row: Row) -> None:
        for number in range(16):
            row[f"m{number}"] = (row["bpp"] * 37 + number) % 1

    written, index = write_run(
        str(tmp_path_factory.mktemp("run")),
        settings,
        [metric(number) for number in range(16)],
        images=IMAGES,
        people=None,
        alter=measure,
    )
    label_images(written, IMAGES, IMAGES)
    return reported(written, index)


def answer(page: Page, action: str) -> float:
    """Seconds from an action of the reader to the picture of its result."""
    start = time.perf_counter()
    page.evaluate(f"() => {{ {action} }}")
    page.evaluate(
        """async () => {
          for (let frame = 0; frame < 4; frame += 1) await new Promise(requestAnimationFrame);
        }"""
    )
    return time.perf_counter() - start


def test_the_page_loads_and_answers_quickly(visit: Visit, run: RunDirectory) -> None:
    """It is no larger than a few photographs, opens at once, and only what is near the window is drawn on a change."""
    file = Path(run.path("report/index.html"))
    assert file.stat().st_size < LARGEST
    page = visit(run)
    page.set_viewport_size({"width": 1280, "height": 900})
    start = time.perf_counter()
    page.reload()
    assert time.perf_counter() - start < SLOWEST_LOAD
    page.locator("#curves").scroll_into_view_if_needed()
    for action in ("legend.children[3].click()", "choose({ logarithmic: true })", "choose({ slice: slices[0] })"):
        assert answer(page, action) < SLOWEST_ANSWER
    assert 0 < page.locator("figure[data-column] .point").count() < 16 * CURVES * POINTS
    page.locator("#trade-off").scroll_into_view_if_needed()
    assert answer(page, "choose({ rate: 0.4 })") < SLOWEST_ANSWER
    assert page.locator("#trade-off tbody tr").count() == CURVES - 1


def test_everything_is_there(visit: Visit, run: RunDirectory) -> None:
    """Each setting has its row, each metric its chart, and each curve its entry in the legend."""
    page = visit(run)
    assert page.locator("#table1 tbody tr").count() == CURVES * POINTS
    assert page.locator("figure[data-column]").count() == 16
    assert page.locator("#legend button").count() == CURVES
    page.locator("section[aria-labelledby=slices-title]").scroll_into_view_if_needed()
    page.wait_for_selector("#slices tbody tr")
    assert page.locator("#slices tbody tr").count() == CURVES * POINTS
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
