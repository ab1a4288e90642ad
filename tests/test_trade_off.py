"""The page's trade-off: curves read between their points as elsewhere, and the front of those that none is better than."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from report_browser import Visit, reported, settle
from synthetic_run import MEMORABILITY, METRICS, PSNR, Row, fail, setting, twelve_settings, write_run

from vcmbench.reports.curves import measured_curve
from vcmbench.reports.matched_rate import at_rates
from vcmbench.reports.summary import summarise
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Index]:
    """Three curves, which cross, and a single point."""

    def cross(row: Row) -> None:
        if row["family"] == "edge":
            row["nme_box"] -= 2  # best for machines, worst for people

    written, index = write_run(str(tmp_path_factory.mktemp("run")), twelve_settings(), alter=cross)
    return reported(written, index), index


@pytest.fixture(scope="module")
def script(browser: Browser, run: tuple[RunDirectory, Index]) -> Iterator[Page]:
    """A page whose functions are called with numbers of the tests' own."""
    page = browser.new_page()
    page.goto(Path(run[0].path("report/index.html")).as_uri())
    yield page
    page.close()


def rows(page: Page) -> dict[str, list[str]]:
    """Curve → the cells of its row in the trade-off's table."""
    settle(page)
    found = page.locator("#trade-off tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {name: cells for name, *cells in found}


def choose_rate(page: Page, rate: float) -> None:
    """Type a rate, as a reader does."""
    field = page.get_by_label("Rate in bits per pixel")
    field.fill(str(rate))
    field.press("Enter")


@pytest.mark.parametrize("points", [2, 3, 4, 9])
def test_the_script_interpolates_as_python_does(script: Page, points: int) -> None:
    """Smooth, jagged, flat and falling curves have equal values to 1e-6, and none beyond their points."""
    random = np.random.default_rng(points)
    for shape in ("smooth", "jagged", "flat"):
        rates = np.cumsum(random.uniform(0.01, 0.5, points))
        values = {"smooth": 30 + 5 * np.log(rates), "jagged": random.normal(0, 9, points), "flat": np.full(points, 7.0)}[
            shape
        ]
        wanted = [*np.geomspace(rates[0], rates[-1], 40)[1:-1].tolist(), *rates.tolist(), rates[0] / 2, rates[-1] * 2]
        found = script.evaluate(
            """([rates, values, wanted]) => {
              const points = rates.map((bpp, place) => ({ setting: `p${place}`, bpp, means: [values[place]] }));
              return wanted.map((rate) => readAt(points, 0, rate).value ?? null);
            }""",
            [rates.tolist(), values.tolist(), wanted],
        )
        curve = measured_curve("c", [f"p{place}" for place in range(points)], rates, values, "higher")
        expected = [each.value for each in at_rates(curve, wanted, 0)]
        assert [value is None for value in found] == [value is None for value in expected]
        assert found[-2:] == [None, None]
        assert found[:-2] == pytest.approx(expected[:-2], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "0 usable points; 2 are needed"),
        ([(0.2, 27.0)], "1 usable point; 2 are needed"),
        ([(0.2, 27.0), (None, 30.0), (0.8, None), (0.0, 31.0)], "1 usable point; 2 are needed"),
        ([(0.2, 27.0), (0.2, 31.0), (0.4, 33.0)], "the rate does not rise from p0 to p1"),
        ([(0.2, 27.0), (0.25, 31.0)], "outside its rates, 0.2 to 0.25 bpp"),
        ([(0.3, 27.0), (0.3 * (1 + 1e-15), 1e300), (0.4, -1e300)], "the points are too close together to compute with"),
    ],
)
def test_a_curve_without_a_value_has_a_reason(
    script: Page, points: list[tuple[float | None, float | None]], reason: str
) -> None:
    """Too few points, equal rates and a rate beyond all points are told apart."""
    found = script.evaluate(
        """(points) => {
          return readAt(points.map(([bpp, value], place) => ({ setting: `p${place}`, bpp, means: [value] })), 0, 0.3);
        }""",
        points,
    )
    assert found == {"reason": reason}


def test_the_front_is_named_and_drawn(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """At a common rate the values are those that Python reads, and the front is what an exhaustive comparison leaves."""
    directory, index = run
    page = visit(directory)
    choose_rate(page, 0.3)
    summary = {row["variant"]: row for row in summarise(directory, index).table.to_pylist()}
    expected: dict[str, tuple[float, float]] = {}
    for name in ("jpeg", "webp", "edge"):
        points = [row for row in summary.values() if row["curve"] == name]
        read = [
            at_rates(
                measured_curve(
                    name,
                    [row["variant"] for row in points],
                    [row["bpp_mean"] for row in points],
                    [row[f"{column}_mean"] for row in points],
                    None,
                ),
                [0.3],
                0,
            )[0].value
            for column in ("psnr_rgb", "nme_box")
        ]
        assert read[0] is not None
        assert read[1] is not None
        expected[name] = (read[0], read[1])
    found = rows(page)
    for name, (human, machine) in expected.items():
        assert found[name][:2] == [f"{human:.2f}", f"{machine:.3f}"]
    best = [
        name
        for name, (human, machine) in expected.items()
        if not any(other[0] > human and other[1] < machine for other in expected.values())
    ]
    assert best == ["webp", "edge"]
    assert page.locator("#front").inner_text() == "Pareto front at 0.3 bpp, of 3 curves: webp, edge."
    assert [name for name, cells in found.items() if cells[2] == "on the front"] == best
    assert found["jpeg"][2] == "behind webp"
    assert found["copy lossless=true"] == ["–", "–", "PSNR RGB: 1 usable point; 2 are needed"]
    assert page.locator("#trade-off .halo").count() == 2
    assert page.locator("#trade-off .front").count() == 1
    assert page.locator("#trade-off .point").count() == 3


def test_the_slider_changes_the_rate(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Moved by keys to its end, it stands at the highest common rate; shorter curves are listed with the reason."""
    page = visit(run[0])
    slider = page.locator("#rate-slider")
    start = chosen_rate(page)
    slider.press("ArrowRight")
    assert chosen_rate(page) > start
    slider.press("End")
    highest = sorted(row["bpp_mean"] for row in ends(run))[-2]
    assert chosen_rate(page) == pytest.approx(highest, rel=1e-3)
    assert chosen_rate(page) <= highest
    assert slider.get_attribute("aria-valuetext") == f"{page.locator('#rate').input_value()} bits per pixel"
    assert rows(page)["webp"][2] == "on the front"
    assert rows(page)["jpeg"][2].startswith("PSNR RGB: outside its rates, ")
    slider.press("Home")
    assert chosen_rate(page) < start


def chosen_rate(page: Page) -> float:
    """The rate that the page shows."""
    settle(page)
    return float(page.locator("#rate").input_value())


def ends(run: tuple[RunDirectory, Index]) -> list[dict[str, float]]:
    """The summary's row of each curve's highest rate."""
    table = summarise(*run).table.to_pylist()
    names = ("jpeg quality=40", "webp quality=60", "edge points=122")
    return [row for row in table if row["variant"] in names]


def test_metrics_can_be_chosen_and_hidden_curves_are_left_out(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Other metrics fill the table; a hidden curve is on no front, and it is said how many are hidden."""
    page = visit(run[0])
    assert page.locator("#machine-metric option").all_text_contents() == [
        "Landmark NME (%)\N{NO-BREAK SPACE}⇓",
        "Face detected\N{NO-BREAK SPACE}⇑",
    ]
    page.locator("#human-metric").select_option("ms_ssim")
    settle(page)
    assert page.locator("#trade-off thead th").all_text_contents()[1] == "MS-SSIM\N{NO-BREAK SPACE}⇑"
    page.get_by_role("button", name="edge", exact=True).click()
    settle(page)
    assert "edge" not in rows(page)
    assert "1 of 4 curves are hidden." in page.locator("#front").inner_text()
    page.get_by_role("button", name="Hide all").click()
    settle(page)
    assert page.locator("#front").inner_text().startswith("No front at ")
    assert "no curve has both values at this rate" in page.locator("#trade-off figure").inner_text()


def test_a_place_tells_its_curve_and_values(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """By pointer and by keyboard."""
    page = visit(run[0])
    choose_rate(page, 0.3)
    settle(page)
    found = rows(page)["webp"]
    page.locator("#trade-off .point[aria-label^='webp,']").hover(force=True)
    lines = page.locator("#tooltip div").all_text_contents()
    assert lines[:2] == ["webp", "0.3 bpp, interpolated"]
    assert lines[2].startswith(f"PSNR RGB {found[0]}"[:-1])
    assert lines[4] == "on the Pareto front"
    page.locator("#trade-off .point[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tooltip div").first.text_content() in {"webp", "edge"}


@pytest.mark.parametrize(
    ("settings", "metrics", "words"),
    [
        (twelve_settings(), [PSNR], "the run has no machine metric with a better direction"),
        (twelve_settings(), [PSNR, MEMORABILITY], "the run has no machine metric with a better direction"),
        ([setting("jpeg", "quality", 4)], METRICS, "no curve has two points with a rate"),
    ],
)
def test_a_run_without_a_trade_off_says_why(visit: Visit, tmp_path: Path, settings, metrics, words) -> None:  # type: ignore[no-untyped-def]  # of pytest's
    """Without a metric of either kind, or a curve to read, the section is a sentence."""
    page = visit(reported(*write_run(str(tmp_path), settings, metrics, images=2)))
    assert words in page.locator("section[aria-labelledby=trade-off-title]").inner_text()
    assert page.locator("#trade-off").count() == 0


def test_a_run_of_errors_alone_says_why(visit: Visit, tmp_path: Path) -> None:
    """There is no rate to choose."""
    page = visit(reported(*write_run(str(tmp_path), twelve_settings(), alter=lambda row: fail(row, "no codec"))))
    assert "no curve has two points with a rate" in page.locator("section[aria-labelledby=trade-off-title]").inner_text()
