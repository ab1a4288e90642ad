"""What a reader of the page chooses: curves, axis, images, metrics and rate, all kept in its address."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Page
from reading import readings_of
from report_browser import SHARD_SIZE, Visit, label_images, reported, settle
from synthetic_run import Row, fail, setting, twelve_settings, write_run
from test_report_page import HOSTILE

from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

IMAGES, PEOPLE = 72, 72
SOME = "#hide=webp&axis=log&slice=gender%3A+f&rate=0.25&human=ms_ssim&machine=face_detected&sliced=nme_box"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Index]:
    """Three curves and a lossless point at 100 bits per pixel; labelled images, on one of which a codec fails."""

    def alter(row: Row) -> None:
        if row["family"] == "copy":
            row["bpp"] = 100.0
        elif row["family"] == "edge" and int(row["image"][-3:]) % 5 == 0:
            row["bpp"] = 1.5 - row["bpp"]  # in a slice, rates fall along this curve
        elif row["variant"] == "jpeg quality=4" and row["image"] == "image-001":
            fail(row, "encoder crashed")

    written, index = write_run(
        str(tmp_path_factory.mktemp("run")), twelve_settings(), images=IMAGES, people=PEOPLE, alter=alter
    )
    label_images(written, IMAGES, PEOPLE)
    return reported(written, index), index


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of 60 curves."""
    settings = [setting("codec", "quality", 10 * q, option=f"variant={v}") for v in range(60) for q in (1, 2)]
    return reported(*write_run(str(tmp_path_factory.mktemp("large")), settings, images=2))


def state(page: Page) -> dict[str, object]:
    """What the page's controls and charts show."""
    settle(page)
    return {
        "shown": shown(page),
        "axis": page.locator("#rate-axis :checked").input_value(),
        "images": page.locator("#slice").input_value(),
        "rate": page.locator("#rate").input_value(),
        "metrics": [page.locator(f"#{name}").input_value() for name in ("human-metric", "machine-metric", "sliced")],
        "front": page.locator("#front").inner_text(),
        "chart": page.locator("figure[data-column]").first.inner_html(),
    }


def shown(page: Page) -> list[str]:
    """The curves that are on the charts."""
    settle(page)
    return page.locator("#legend [aria-pressed=true]").all_text_contents()


def address(page: Page) -> str:
    """What stands behind # in the page's address."""
    found: str = page.evaluate("location.hash")
    return found


def toggle(page: Page, name: str) -> None:
    """Show or hide a curve."""
    page.get_by_role("button", name=name, exact=True).click()
    settle(page)


# ------------------------------------------------------------------------------------------------------------- address


def test_what_is_chosen_stands_in_the_address_and_comes_back(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Every choice is written there; a reload and the same link show the same page, and nothing chosen is nothing there."""
    page = visit(run[0])
    assert address(page) == ""
    toggle(page, "webp")
    page.get_by_label("logarithmic").check()
    page.locator("#slice").select_option("gender: f")
    page.locator("#human-metric").select_option("ms_ssim")
    page.locator("#machine-metric").select_option("face_detected")
    page.locator("#sliced").select_option("nme_box")
    page.get_by_label("Rate in bits per pixel").fill("0.25")
    page.keyboard.press("Enter")
    chosen = state(page)
    assert chosen["shown"] == ["jpeg", "edge"]
    assert "hide=webp" in address(page)
    link = address(page)
    page.reload()
    assert state(page) == chosen
    assert state(visit(run[0], link)) == chosen
    assert address(page) == link


def test_a_link_shows_what_it_says(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """A page opened with a choice in its address has it in every control."""
    found = state(visit(run[0], SOME))
    assert found["shown"] == ["jpeg", "edge", "copy lossless=true"]
    assert found["axis"] == "log"
    assert found["images"] == "gender: f"
    assert found["rate"] == "0.25"
    assert found["metrics"] == ["ms_ssim", "face_detected", "nme_box"]
    assert "Images: gender: f." in str(found["front"])


def test_back_and_forward_go_from_choice_to_choice(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Each choice is one step, however far a slider was moved in it, and the first leads to the page as it opened."""
    page = visit(run[0])
    first = state(page)
    toggle(page, "webp")
    second = state(page)
    for _ in range(8):
        page.locator("#rate-slider").press("ArrowLeft")
    page.wait_for_function("() => location.hash.includes('rate=')")
    third = state(page)
    page.go_back()
    assert state(page) == second
    page.go_back()
    assert state(page) == first
    page.go_forward()
    page.go_forward()
    assert state(page) == third


@pytest.mark.parametrize(
    "damaged",
    [
        "#performance",
        "#hide=nobody&axis=diagonal&rate=-1&human=nothing&machine=&slice=gender&sliced=%",
        "#%%%&=&&rate=NaN&rate=1",
        "#rate=1e9&human=nme_box",
        "#" + "x" * 5000,
        "#__proto__=1&hide=__proto__&slice=constructor",
    ],
)
def test_a_damaged_address_is_ignored(visit: Visit, run: tuple[RunDirectory, Index], damaged: str) -> None:
    """What cannot be understood leaves the page as it opens."""
    assert state(visit(run[0], damaged)) == state(visit(run[0]))


def test_all_hidden_and_all_shown_are_kept(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Also where the page opens with a curve hidden that is far off."""
    page = visit(run[0])
    assert shown(page) == ["jpeg", "webp", "edge"]
    page.get_by_role("button", name="Show all").click()
    assert shown(visit(run[0], address(page))) == ["jpeg", "webp", "edge", "copy lossless=true"]
    page.get_by_role("button", name="Hide all").click()
    assert shown(visit(run[0], address(page))) == []


def test_hostile_names_are_kept_in_the_address(visit: Visit, tmp_path: Path) -> None:
    """A curve's name of markup goes into the link and comes back as it is."""
    settings = [setting(name, "quality", quality) for name in (HOSTILE, "ä ö&ü=%23#") for quality in (4, 10)]
    written, index = write_run(str(tmp_path), settings, images=2)
    images = {"image": ["image-000", "image-001"], "identity": ["a", "b"], HOSTILE: [HOSTILE, "\N{PILE OF POO}"]}
    written.write_manifest(iter([pa.RecordBatch.from_pydict(images)]), SHARD_SIZE)
    page = visit(reported(written, index))
    assert page.locator("#slices .value").all_text_contents() == [HOSTILE, "\N{PILE OF POO}"]
    assert page.locator("#trade-off tbody th").first.text_content() == HOSTILE
    page.locator("#slice").select_option(index=1)
    page.locator("#legend button").nth(0).click()
    link = address(page)
    page = visit(written, link)
    assert shown(page) == ["ä ö&ü=%23#"]
    assert page.locator("#slice").input_value() == f"{HOSTILE}: {HOSTILE}"
    page.locator("#legend button").nth(1).click()
    assert shown(visit(written, address(page))) == []
    assert page.evaluate("window.hacked") is None


# -------------------------------------------------------------------------------------------------------------- slices


def test_a_slice_redraws_the_charts(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Points tell the slice's means and number of images, and those of all images again when they are chosen."""
    page = visit(run[0])
    slices = {each.name: each for each in readings_of(*run).slices.found}
    place = next(place for place, each in enumerate(run[1].settings) if each.variant == "webp quality=30")
    marker = page.locator("figure[data-column]").first.locator(".point[aria-label^='webp quality=30,']")
    before = marker.get_attribute("aria-label")
    assert before is not None
    assert "n = 71" in before
    for name in ("gender: m", "glasses: true"):
        page.locator("#slice").select_option(name)
        settle(page)
        found = slices[name].means
        words = str(marker.get_attribute("aria-label")).split(", ")
        assert words[1] == f"{found['bpp'].mean[place]:.4f} bpp"
        assert float(words[2].split(" ")[2]) == pytest.approx(found["psnr_rgb"].mean[place], abs=5e-4)
        assert words[-1] == f"n = {found['psnr_rgb'].n}"
    page.locator("#slice").select_option("")
    settle(page)
    assert marker.get_attribute("aria-label") == before


def test_a_slice_s_points_are_joined_in_rising_rate(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Also where its rates are in another order than those over all images."""
    page = visit(run[0], "#slice=glasses%3A+true")
    drawn = page.locator("figure[data-column]").first.locator("[data-curve='2'] .line").get_attribute("d")
    assert drawn is not None
    places = [float(point.split(",")[0]) for point in drawn[1:].split("L")]
    assert places == sorted(places)
    assert len(places) == 3


def test_the_table_of_slices_has_their_means(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """For the chosen metric each slice has a column with its n, and each setting its mean and interval."""
    page = visit(run[0])
    page.locator("#sliced").select_option("ms_ssim")
    settle(page)
    titles, *rows = page.locator("#slices tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    found = readings_of(*run).slices.found
    assert titles[2:] == [f"{each.name}n = {each.means['ms_ssim'].n}" for each in found]
    by_variant = {row[0]: row[1:] for row in rows}
    for place, each in enumerate(run[1].settings):
        for cell, part in zip(by_variant[each.variant][1:], found, strict=True):
            means = part.means["ms_ssim"]
            assert cell.startswith(f"{means.mean[place]:.4f}")
            low, high = means.interval[place]
            assert cell[6:] == ("" if np.isnan(low) else f"{low:.4f} to {high:.4f}")
    notes = page.locator("section[aria-labelledby=slices-title]").inner_text()
    assert "remark: more than 8 values" in notes


# -------------------------------------------------------------------------------------------------------------- legend


def test_a_long_legend_can_be_filtered(visit: Visit, large: RunDirectory) -> None:
    """Words narrow the list of curves, and its buttons then show and hide those that are listed."""
    page = visit(large)
    assert page.get_by_label("Filter curves").is_visible()
    page.get_by_role("button", name="Hide all").click()
    page.get_by_label("Filter curves").fill("VARIANT=3 codec")
    assert page.locator("#legend button:visible").count() == 11
    assert page.locator("#filtered").inner_text() == "11 of 60"
    page.get_by_role("button", name="Show listed").click()
    assert len(shown(page)) == 11
    assert page.locator("figure[data-column]").first.locator(".point").count() == 22
    page.get_by_label("Filter curves").fill("no such curve")
    assert page.locator("#legend button:visible").count() == 0
    page.get_by_label("Filter curves").fill("")
    assert page.locator("#legend button:visible").count() == 60


def test_a_short_legend_has_no_filter(visit: Visit, run: tuple[RunDirectory, Index]) -> None:
    """Four curves are found without."""
    assert visit(run[0]).get_by_label("Filter curves").is_hidden()


# ----------------------------------------------------------------------------------------------------------- far away


def test_charts_of_a_large_page_are_drawn_when_they_come_near(visit: Visit, large: RunDirectory) -> None:
    """In a small window those far below wait until they are scrolled to, or until the page is printed."""
    page = visit(large)
    page.set_viewport_size({"width": 700, "height": 300})
    last = page.locator("figure[data-column]").last
    hidden = last.locator(".point[aria-label^='codec variant=7 ']")
    entry = page.get_by_role("button", name="codec variant=7", exact=True)
    assert hidden.count() == 2

    def toggle_from_the_top() -> None:
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(100)
        entry.evaluate("button => button.click()")
        page.wait_for_timeout(100)

    toggle_from_the_top()
    assert hidden.count() == 2  # not drawn anew yet
    last.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    assert hidden.count() == 0
    toggle_from_the_top()
    assert hidden.count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert hidden.count() == 2
