"""The report in headless Chromium, and made-up runs whose images have labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from vcmbench.reports.page import write_report
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

TALL = 6000
"""Pixels: a window that shows everything, since what is far from it is not drawn."""
SHARD_SIZE = 8
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Visit = Callable[..., Page]
"""Opens the report of a run, with an address behind # if one is given."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a run's report; a message on the console or a request for another file fails the test."""
    messages: list[str] = []
    requests: list[str] = []
    reports: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": TALL})
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url.partition("#")[0]))

    def open_report(run: RunDirectory, address: str = "") -> Page:
        reports.append(Path(run.path("report/index.html")).as_uri())
        page.goto("about:blank")
        page.goto(reports[-1] + address)
        settle(page)
        return page

    yield open_report
    page.close()
    assert messages == []
    assert set(requests) <= set(reports)


def settle(page: Page) -> None:
    """Wait until what is in the window is drawn."""
    page.evaluate(
        """async () => {
          for (let frame = 0; waiting.size && frame < 100; frame += 1) await new Promise(requestAnimationFrame);
        }"""
    )


def reported(run: RunDirectory, index: Index) -> RunDirectory:
    """The run, with its report written."""
    write_report(run, index)
    return run


def label_images(run: RunDirectory, images: int, people: int) -> None:
    """Store the run's manifest anew, with labels of few values, of too many and of one, and face sizes, which some lack."""
    numbers = range(images)
    columns = {
        "image": [f"image-{number:03d}" for number in numbers],
        "identity": [f"person-{number % people}" for number in numbers],
        "face_size": pa.array([None if number % 9 == 8 else 30.0 + number * 7 % 290 for number in numbers], pa.float32()),
        "gender": [("f", "m", None)[number % people % 3] for number in numbers],
        "glasses": [number % 5 == 0 for number in numbers],
        "remark": [f"remark {number}" for number in numbers],
        "camera": ["x"] * images,
    }
    run.write_manifest(iter([pa.RecordBatch.from_pydict(columns)]), SHARD_SIZE)
