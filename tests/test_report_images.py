"""The images of a report: best and worst ones, and pictures under a slider, in a real browser."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from playwright.sync_api import Browser, Page
from shown_images import CODECS, FIGURES, HOSTILE, figures, opened, run_two_curves, showing_from

from vcmbench.reports.page import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of eight images, one of a hostile name, and two curves."""
    folder = tmp_path_factory.mktemp("images")
    run_two_curves(folder)
    return folder


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[Path], Page]]:
    """Open a report; a message on the console or a request for another file fails the test."""
    messages: list[str] = []
    requests: set[str] = set()
    reports: set[str] = set()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(10_000)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.add(request.url.partition("#")[0]))

    def open_report(file: Path) -> Page:
        reports.add(file.as_uri())
        page.goto(file.as_uri())
        return page

    yield open_report
    page.close()
    assert messages == []
    assert {url for url in requests if not url.startswith("data:image/webp;base64,")} == reports


@pytest.fixture(scope="module")
def plain(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report without images."""
    write_report(*opened(folder))
    return Path(shutil.copy(folder / "run/report/index.html", tmp_path_factory.mktemp("plain") / "index.html"))


@pytest.fixture(scope="module")
def pictured(folder: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  # made after it
    """The report with images."""
    warnings: list[str] = []
    write_report(*opened(folder), showing=showing_from(folder / "images", warnings))
    assert warnings == []
    return Path(shutil.copy(folder / "run/report/index.html", tmp_path_factory.mktemp("pictured") / "index.html"))


def rows(page: Page) -> list[list[str]]:
    """The cells of the list of images."""
    cells: list[list[str]] = page.locator("#images tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return cells


def results(folder: Path) -> pd.DataFrame:
    """Every stored row."""
    return pd.concat(pd.read_parquet(file) for file in (folder / "run/results").glob("*.parquet"))


def nearest_pair(table: pd.DataFrame) -> tuple[str, str]:
    """The variants of jpeg and webp whose mean rates are nearest."""
    rates = table.groupby(["family", "variant"])["bpp"].mean()
    pairs = [
        (abs(np.log(rates["jpeg"][its] / rates["webp"][mine])), its, mine)
        for its in rates["jpeg"].index
        for mine in rates["webp"].index
    ]
    return min(pairs)[1:]


@pytest.mark.parametrize("end", ["worst", "best"])
def test_the_lists_have_the_numbers_that_are_stored(
    open_page: Callable[[Path], Page], plain: Path, folder: Path, end: str
) -> None:
    """The pair of settings, the images, their order and every number are those of a query over the result files."""
    page = open_page(plain)
    page.get_by_label(end, exact=True).check()
    table = results(folder)
    its, mine = nearest_pair(table)
    anchor, curve = (table[table.variant == variant].set_index("image") for variant in (its, mine))
    gains = (curve.psnr_rgb - anchor.psnr_rgb).sort_values(ascending=end == "worst")[:4]
    assert rows(page) == [
        [
            image,
            f"{anchor.psnr_rgb[image]:.2f}",
            f"{curve.psnr_rgb[image]:.2f}",
            f"{difference:+.2f}".replace("-", "−"),
            f"{anchor.bpp[image]:.4f}",
            f"{curve.bpp[image]:.4f}",
        ]
        for image, difference in zip(map(str, gains.index), gains.tolist(), strict=True)
    ]
    told = page.locator("#images-told").inner_text()
    assert f"Curve: {mine}, {curve.bpp.mean():.4f} bpp. Anchor: {its}, {anchor.bpp.mean():.4f} bpp." in told
    assert f"The {end} 4 of 8 images by PSNR" in told


def test_without_leave_no_picture_is_in_the_report(plain: Path, open_page: Callable[[Path], Page]) -> None:
    """The page has no image but says why, and names are plain text."""
    page = open_page(plain)
    assert "data:image" not in plain.read_text(encoding="utf-8")
    assert page.locator("img").count() == 0
    assert page.locator("#images tbody button").count() == 0
    assert "No picture is shown" in page.locator("section[aria-labelledby=images-title]").inner_text()


def test_pictures_are_those_of_the_codecs(open_page: Callable[[Path], Page], pictured: Path, folder: Path) -> None:
    """The embedded pictures have the pixels that coding the image now gives, without loss."""
    page = open_page(pictured)
    its, mine = nearest_pair(results(folder))
    name = page.locator("#images tbody button").first.inner_text()
    image = np.asarray(PIL.Image.open(folder / "images" / name))
    by_variant = {codec.variant: codec for codec in CODECS}
    for picture, variant in zip(page.locator("#before-after img").all(), (its, mine), strict=True):
        uri = picture.get_attribute("src") or ""
        shown = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        codec = by_variant[variant]
        assert (shown == codec.decode(codec.encode(image))).all()
        assert picture.get_attribute("alt") == f"{name}: {variant}"
    page.locator("#images-left").select_option("original")
    uri = page.locator("#before-after img").first.get_attribute("src") or ""
    assert (np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) == image).all()


def clip(page: Page) -> str:
    """What is cut off the right picture."""
    cut: str = page.locator("#before-after img").last.evaluate("image => getComputedStyle(image).clipPath")
    return cut


def test_the_slider_moves_by_keyboard_and_by_dragging(open_page: Callable[[Path], Page], pictured: Path) -> None:
    """Arrow keys move the edge by a step; dragging over the picture puts it under the pointer."""
    page = open_page(pictured)
    assert clip(page) == "inset(0px 0px 0px 50%)"
    slider = page.get_by_role("slider", name="Where the left picture ends")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert clip(page) == "inset(0px 0px 0px 51%)"
    page.keyboard.press("Home")
    assert clip(page) == "inset(0px 0px 0px 0%)"
    pictures = page.locator(".pictures")
    pictures.scroll_into_view_if_needed()
    box = pictures.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.up()
    assert clip(page) == "inset(0px 0px 0px 25%)"
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    assert slider.input_value() == "25"


def test_the_difference_of_two_pictures_is_seen(open_page: Callable[[Path], Page], pictured: Path) -> None:
    """Two different pictures leave something that is not black, and a picture with itself leaves black."""
    page = open_page(pictured)
    page.get_by_label("difference").check()
    assert brightest(page) > 0
    for side in ("left", "right"):
        page.locator(f"#images-{side}").select_option("original")
    assert brightest(page) == 0


def brightest(page: Page) -> int:
    """The highest sample of the pictures on the screen, a little inside."""
    shot = PIL.Image.open(io.BytesIO(page.locator(".pictures").screenshot())).convert("RGB")
    return int(np.asarray(shot)[8:-8, 8:-8].max())


def test_the_choice_is_in_the_address(open_page: Callable[[Path], Page], pictured: Path) -> None:
    """A link, and the way back, show the same list and picture again."""
    page = open_page(pictured)
    first = rows(page)
    page.locator("#images-metric").select_option("ssim_y")
    page.get_by_label("best", exact=True).check()
    page.locator("#images tbody button").nth(2).click()
    assert page.locator("#images tbody button").nth(2).evaluate("button => button === document.activeElement")
    shown, caption = rows(page), page.locator("#before-after figcaption").inner_text()
    page.reload()
    assert rows(page) == shown != first
    assert page.locator("#before-after figcaption").inner_text() == caption
    assert page.locator("#images tr.selected button[aria-pressed=true]").count() == 1
    for _ in range(3):
        page.go_back()
    assert rows(page) == first


def test_an_address_that_makes_no_sense_shows_the_first_list(open_page: Callable[[Path], Page], pictured: Path) -> None:
    """Names that the page does not have are passed over."""
    page = open_page(pictured)
    first = rows(page)
    page.goto(f"{pictured.as_uri()}#against=%3Cb%3E&by=nothing&end=middle&image=nobody")
    page.reload()
    assert rows(page) == first


def test_hostile_names_are_text(open_page: Callable[[Path], Page], pictured: Path, plain: Path) -> None:
    """An image's name is shown as it is, in the list and beside its picture."""
    for file in (plain, pictured):
        page = open_page(file)
        ends = []
        for end in ("worst", "best"):
            page.get_by_label(end, exact=True).check()
            ends += [row[0] for row in rows(page)]
        assert HOSTILE in ends
        assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("width", [400, 1400])
def test_the_section_fits_its_window(open_page: Callable[[Path], Page], pictured: Path, width: int) -> None:
    """Nothing of the section reaches over the window's edge."""
    page = open_page(pictured)
    page.set_viewport_size({"width": width, "height": 800})
    right = page.locator("#images, #images .switches, #before-after").evaluate_all(
        "nodes => Math.max(...nodes.map(node => node.getBoundingClientRect().right))"
    )
    assert right <= width


def test_a_lost_data_set_leaves_a_report_with_reasons(
    folder: Path, tmp_path: Path, open_page: Callable[[Path], Page]
) -> None:
    """The sheets have empty tiles, the page its lists without pictures, and the warnings say why."""
    copy = tmp_path / "copy"
    shutil.copytree(folder / "run", copy / "run")
    warnings: list[str] = []
    write_report(*opened(copy), showing=showing_from(tmp_path / "gone", warnings))
    assert figures(copy) == FIGURES
    assert "figure: original: the image cannot be read: No such file or directory (pictures: 6)" in warnings
    assert "page: original: the image cannot be read: No such file or directory (pictures: 8)" in warnings
    page = open_page(copy / "run/report/index.html")
    assert page.locator("img").count() == 0
    assert len(rows(page)) == 4
