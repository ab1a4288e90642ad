"""The report page, in a real browser."""

from __future__ import annotations

import math
from pathlib import Path

import fsspec
import pytest
from playwright.sync_api import Locator, Page
from report_browser import Visit, label_images, reported, settle
from synthetic_run import METRICS, Row, fail, setting, twelve_settings, write_run

from vcmbench.reports.comparisons import compare_curves
from vcmbench.reports.page import render, write_report
from vcmbench.reports.slices import Slices
from vcmbench.reports.summary import summarise
from vcmbench.reports.tables import rate_performance
from vcmbench.results import SUMMARY, RunDirectory
from vcmbench.run_index import Index, SettingRecord

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\"&amp;{{ 7 * 7 }}\u2028 ${1}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Index]:
    """A run of three curves and a single point, with errors, missing values and a shard to come."""
    run, index = write_run(
        str(tmp_path_factory.mktemp("run")),
        twelve_settings(),
        alter=_spoil,
        missing_shards=[1],
        notice="two people, not a benchmark",
    )
    write_report(run, index)
    return run, index


def _spoil(row: Row) -> None:
    if row["variant"] == "jpeg quality=4" and row["image"] == "image-001":
        fail(row, "encoder crashed")
    elif row["variant"] == "webp quality=0" and row["image"] == "image-002":
        row.update(nme_box=None, metric_errors=[("nme_box", "no face found")])


def chart(page: Page, title: str) -> Locator:
    """The chart of the metric column with that title."""
    return page.locator("figure[data-column]").filter(has=page.locator("figcaption", has_text=title))


def point(page: Page, title: str, variant: str) -> Locator:
    """A setting's marker in that chart."""
    return chart(page, title).locator(f".point[aria-label^='{variant},']")


def place(marker: Locator) -> tuple[float, float]:
    """The centre of a marker on the page."""
    box = marker.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_report_is_written_through_the_run_directory() -> None:
    """A run on a remote file system has its report there, and the summary is returned."""
    run, index = write_run("memory://report-page", twelve_settings(), images=2)
    summary = write_report(run, index)
    assert summary.images == 2
    for name in ("report/index.html", "report/table1.md", "report/table1.csv", SUMMARY):
        assert fsspec.filesystem("memory").size(f"/report-page/{name}") > 0


def test_the_table_has_the_summary_in_it(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """The page's cells are the rate–performance table's, with its caption, notice and counts."""
    run, index = stored
    page = visit(run)
    table = rate_performance(index, summarise(run, index))
    rows = page.locator("#table1 tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert rows == [[row.variant, *table.spell(row)] for row in table.rows]
    assert page.locator("ul.caption li").all_text_contents() == list(table.caption)
    assert page.locator(".notice").all_text_contents()[:2] == [
        "two people, not a benchmark",
        "Partial run: 2 of 3 shards complete.",
    ]
    assert page.title() == "synthetic – vcmbench"


def test_details_show_errors_coverage_and_reasons(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """A setting's errors, a metric's missing values and the reasons of both are on the page."""
    page = visit(stored[0])
    titles, *rows = page.locator("#details tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert titles[-1] == "Landmark NME: coverage, %"
    by_setting = {row[0]: row[1:] for row in rows}
    assert by_setting["jpeg quality=4"][:2] == ["16", "1"]
    assert [by_setting[name][-1] for name in ("jpeg quality=4", "webp quality=0", "webp quality=10")] == [
        "93.8",
        "93.8",
        "100.0",
    ]
    reasons = page.locator("#failures tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert reasons == [["the whole row", "encoder crashed", "1"], ["nme_box", "no face found", "1"]]


def test_conventions_and_provenance_are_on_the_page(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """Each metric's meaning, and every provenance entry, nested ones too, can be read."""
    page = visit(stored[0])
    conventions = page.locator("section[aria-labelledby=conventions]").inner_text()
    assert all(metric.summary.lower() in conventions.lower() for metric in METRICS)
    provenance = page.locator(".tree").inner_text()
    assert all(words in provenance for words in ("libjpeg-turbo", "3.1.3", "gender", "8 cores"))


def test_each_metric_column_has_a_chart_of_every_setting(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """A chart has a marker per setting, a line per curve of several points, and the direction in its title."""
    run, _ = stored
    page = visit(run)
    assert page.locator("figure[data-column]").count() == 7
    for title, direction in (("PSNR RGB (dB)", "higher is better"), ("Landmark NME (%)", "lower is better")):
        assert direction in chart(page, title).locator("figcaption").inner_text()
        assert chart(page, title).locator(".point").count() == 12
        assert chart(page, title).locator(".line").count() == 3


def test_markers_stand_at_their_numbers(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """On a linear axis a marker's place is a linear function of its rate and of its value, rising to the right and up."""
    run, index = stored
    page = visit(run)
    rows = {row["variant"]: row for row in summarise(run, index).table.to_pylist()}
    first, last, between = "webp quality=0", "webp quality=60", "jpeg quality=20"
    for title, column in (("SSIM RGB", "ssim_rgb_mean"), ("Landmark NME", "nme_box_mean")):
        spots = {variant: place(point(page, title, variant)) for variant in (first, last, between)}
        for axis, source in enumerate(("bpp_mean", column)):
            share = (rows[between][source] - rows[first][source]) / (rows[last][source] - rows[first][source])
            start, end = spots[first][axis], spots[last][axis]
            assert spots[between][axis] == pytest.approx(start + share * (end - start), abs=0.6)
            rises = rows[last][source] > rows[first][source]
            assert (end > start) == (rises if source == "bpp_mean" else not rises)


def test_intervals_are_bands_and_are_told(visit: Visit, tmp_path: Path) -> None:
    """With enough people each curve has a band between the ends of its intervals, which the tooltip tells."""
    run, index = write_run(str(tmp_path), twelve_settings(), images=40, people=None)
    page = visit(reported(run, index))
    shown = chart(page, "PSNR RGB")
    assert shown.locator(".band").count() == 4
    row = next(row for row in summarise(run, index).table.to_pylist() if row["variant"] == "jpeg quality=40")
    point(page, "PSNR RGB", "jpeg quality=40").hover(force=True)
    low, high = (f"{row[f'psnr_rgb_{end}']:.5g}" for end in ("low", "high"))
    assert page.locator("#tooltip div").all_text_contents()[3] == f"95 %: {low} to {high}"
    middle = place(point(page, "PSNR RGB", "jpeg quality=40"))
    ends = (
        shown.locator(".curve")
        .first.locator(".band")
        .evaluate(
            "band => [...band.getAttribute('d').matchAll(/([0-9.]+),([0-9.]+)/g)].map(pair => pair.slice(1).map(Number))"
        )
    )
    box = shown.locator("svg").bounding_box()
    assert box
    scale = box["width"] / 440
    highest = next(y for x, y in ends if abs(box["x"] + scale * x - middle[0]) < 1)
    share = (row["psnr_rgb_high"] - row["psnr_rgb_mean"]) / (row["psnr_rgb_high"] - row["psnr_rgb_low"])
    lowest = [y for x, y in ends if abs(box["x"] + scale * x - middle[0]) < 1][1]
    assert box["y"] + scale * (highest + share * (lowest - highest)) == pytest.approx(middle[1], abs=0.6)


def test_curves_are_compared_on_the_page(visit: Visit, tmp_path: Path) -> None:
    """BD-rates stand with their intervals, what is missing has a note, and further tables open on request."""
    run, index = write_run(str(tmp_path), twelve_settings(), images=40, people=None)
    page = visit(reported(run, index))
    found = compare_curves(index, summarise(run, index))
    assert found is not None
    bd_rate = found.against["psnr_rgb"]["webp"].bd_rate
    tables = page.locator("details.compared")
    cells = tables.nth(0).locator("tbody tr").first.locator("td")
    assert cells.first.inner_text().split("\n") == [f"{bd_rate.value:.1f}", f"{bd_rate.low:.1f} to {bd_rate.high:.1f}"]
    assert "edge has 3 usable points; 4 are needed" in tables.nth(0).locator(".notes").inner_text()
    last = tables.last.locator("table")
    assert last.is_hidden()
    tables.last.locator("summary").click()
    assert last.is_visible()


def test_hovering_a_point_names_setting_rate_value_and_n(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """The tooltip appears beside the point with the summary's numbers, and goes when the pointer leaves."""
    run, index = stored
    page = visit(run)
    row = next(row for row in summarise(run, index).table.to_pylist() if row["variant"] == "jpeg quality=40")
    assert page.locator("#tooltip").is_hidden()
    point(page, "Landmark NME", "jpeg quality=40").hover(force=True)
    assert page.locator("#tooltip div").all_text_contents() == [
        "jpeg quality=40",
        f"{row['bpp_mean']:.4f} bpp",
        f"Landmark NME {row['nme_box_mean']:.5g} %",
        "n = 14",
    ]
    page.mouse.move(2, 2)
    assert page.locator("#tooltip").is_hidden()


def test_points_can_be_reached_by_keyboard(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """Each chart is one stop of the tab key, arrows go from setting to setting, and Escape hides the tooltip."""
    page = visit(stored[0])
    assert chart(page, "MS-SSIM").locator(".point[tabindex='0']").count() == 1
    chart(page, "MS-SSIM").locator(".point[tabindex='0']").focus()
    assert page.locator("#tooltip div").first.text_content() == "jpeg quality=4"
    page.keyboard.press("ArrowRight")
    assert page.locator("#tooltip div").first.text_content() == "jpeg quality=10"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tooltip div").first.text_content() == "copy lossless=true"
    page.keyboard.press("Escape")
    assert page.locator("#tooltip").is_hidden()


def test_the_logarithmic_axis_spreads_equal_ratios_equally(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """Switching moves the points of every chart to the logarithm of their rate, and switching back restores them."""
    run, index = stored
    page = visit(run)
    rates = {row["variant"]: row["bpp_mean"] for row in summarise(run, index).table.to_pylist()}
    markers = [point(page, "MS-SSIM", f"jpeg quality={quality}") for quality in (4, 10, 40)]
    linear = [place(marker)[0] for marker in markers]
    page.get_by_label("logarithmic").check()
    settle(page)
    low, middle, high = (place(marker)[0] for marker in markers)
    share = (middle - low) / (high - low)
    r_low, r_middle, r_high = (rates[f"jpeg quality={quality}"] for quality in (4, 10, 40))
    assert r_low ** (1 - share) * r_high**share == pytest.approx(r_middle, rel=0.02)
    page.get_by_label("linear").check()
    settle(page)
    assert [place(marker)[0] for marker in markers] == linear


def test_the_legend_shows_and_hides_a_curve_in_every_chart(visit: Visit, stored: tuple[RunDirectory, Index]) -> None:
    """A toggled curve's points leave all charts and come back; the button says which."""
    page = visit(stored[0])
    button = page.get_by_role("button", name="webp", exact=True)
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator(".point[aria-label^='webp']").count() == 0
    assert page.locator("figure[data-column] .point").count() == 7 * 8
    page.get_by_role("button", name="Hide all").click()
    settle(page)
    assert page.locator("figure[data-column] .point").count() == 0
    assert "no values to show" in chart(page, "MS-SSIM").inner_text()
    button.click()
    settle(page)
    assert page.locator("figure[data-column] .point").count() == 7 * 4
    page.get_by_role("button", name="Show all").click()
    settle(page)
    assert page.locator("figure[data-column] .point").count() == 7 * 12


def test_a_point_far_off_is_hidden_until_asked_for(visit: Visit, tmp_path: Path) -> None:
    """A lossless reference at many times the other rates does not squeeze the curves; its legend entry brings it in."""

    def enlarge(row: Row) -> None:
        if row["family"] == "copy":
            row["bpp"] = 100.0

    page = visit(reported(*write_run(str(tmp_path), twelve_settings(), alter=enlarge)))
    entry = page.get_by_role("button", name="copy")
    assert entry.get_attribute("aria-pressed") == "false"
    assert point(page, "PSNR RGB", "copy lossless=true").count() == 0
    entry.click()
    settle(page)
    assert entry.get_attribute("aria-pressed") == "true"
    assert point(page, "PSNR RGB", "copy lossless=true").count() == 1


def test_hostile_names_are_shown_and_not_run(visit: Visit, tmp_path: Path) -> None:
    """Markup, script and template syntax in any name, reason or provenance entry is text on the page."""
    column = METRICS[0].columns["psnr_rgb"].model_copy(update={"title": HOSTILE, "unit": HOSTILE})
    metric = METRICS[0].model_copy(update={"summary": HOSTILE, "columns": {"psnr_rgb": column}})
    run, index = write_run(
        str(tmp_path),
        [setting(HOSTILE, "quality", 4), setting(HOSTILE, "quality", 10)],
        [metric],
        notice=HOSTILE,
        alter=lambda row: fail(row, HOSTILE) if row["image"] == "image-000" else None,
    )
    run.write_provenance({HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]})
    write_report(run, index.model_copy(update={"name": HOSTILE}))
    page = visit(run)
    page.locator("figure[data-column] .point").first.focus()
    page.wait_for_timeout(50)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, script:not(#data):not(:last-of-type)").count() == 0
    for shown in ("h1", ".notice", "#legend button", ".tree dt >> nth=0", "#failures .words"):
        assert page.locator(shown).first.text_content() == HOSTILE
    for shown in ("#table1 tbody th", "#tooltip div"):
        assert page.locator(shown).first.text_content() == f"{HOSTILE} quality=4"


@pytest.mark.parametrize(
    ("settings", "images"), [([setting("jpeg")], 1), ([setting("jpeg", "quality", quality) for quality in range(120)], 2)]
)
def test_one_setting_and_a_hundred_are_both_shown(
    visit: Visit, tmp_path: Path, settings: list[SettingRecord], images: int
) -> None:
    """A single point of one image and a long list of settings have their rows and markers."""
    page = visit(reported(*write_run(str(tmp_path), settings, images=images)))
    assert page.locator("#table1 tbody tr").count() == len(settings)
    assert chart(page, "MS-SSIM").locator(".point").count() == len(settings)


def test_a_run_of_errors_alone_is_shown(visit: Visit, tmp_path: Path) -> None:
    """Where nothing was coded there are rows of dashes, empty charts and the reason."""
    page = visit(reported(*write_run(str(tmp_path), twelve_settings(), alter=lambda row: fail(row, "no codec"))))
    assert page.locator("#table1 tbody td").first.text_content() == "–"
    assert "no values to show" in chart(page, "MS-SSIM").inner_text()
    assert page.locator("#failures .words").all_text_contents() == ["no codec"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of sums beyond the largest double
def test_extreme_values_leave_the_page_whole(visit: Visit, tmp_path: Path) -> None:
    """Means beyond the largest double, and values near the smallest, stop neither their neighbours nor the other parts."""

    def alter(row: Row) -> None:
        row.update(psnr_rgb=1e308, psnr_y=math.nan, ssim_rgb=1e300 * row["bpp"], nme_box=1e-320, bpp=row["bpp"] / 1e9)

    settings = [each.model_copy(update={"scalable": each.family == "edge"}) for each in twelve_settings()]
    run, index = write_run(str(tmp_path), settings, images=24, people=None, alter=alter)
    label_images(run, 24, 24)
    page = visit(reported(run, index))
    for title in ("PSNR RGB", "PSNR Y"):
        assert "no values to show" in chart(page, title).inner_text()
    for title in ("SSIM RGB", "MS-SSIM", "Landmark NME"):
        assert chart(page, title).locator(".point").count() == 12
    assert page.locator("#slices tbody tr").count() == 12
    page.locator("#human-metric").select_option("ms_ssim")
    assert page.locator("#front").inner_text().startswith("Pareto front at ")


@pytest.mark.parametrize("missing_shards", [(), (0, 1, 2)])
def test_no_metric_or_no_complete_shard_is_shown(visit: Visit, tmp_path: Path, missing_shards: tuple[int, ...]) -> None:
    """A job without metrics has its rates and no chart; one without results yet says so."""
    page = visit(reported(*write_run(str(tmp_path), twelve_settings(), metrics=[], missing_shards=missing_shards)))
    assert page.locator("figure[data-column]").count() == 0
    assert page.locator("#table1 tbody tr").count() == 12
    assert page.get_by_text("Partial run: 0 of 3 shards complete.").count() == (2 if missing_shards else 0)


def test_a_run_without_provenance_has_no_such_section(stored: tuple[RunDirectory, Index]) -> None:
    """The page can be made of a directory that lost its provenance."""
    run, index = stored
    html = render(index, summarise(run, index), None, {}, Slices((), ()))
    assert "Conventions" in html
    assert "Provenance" not in html


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window(visit: Visit, stored: tuple[RunDirectory, Index], width: int) -> None:
    """Wide tables scroll in their own frame; the page itself never scrolls sideways."""
    page = visit(stored[0])
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
