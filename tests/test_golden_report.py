"""Every number on the page of one run, recomputed from the run's Parquet files without vcmbench."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden import (
    Golden,
    Interval,
    bd_quality,
    bd_rate,
    each_row,
    package_bd_quality,
    package_bd_rate,
    percentiles,
    rate_for,
    values_at,
)
from playwright.sync_api import Browser, Page
from report_browser import TALL, label_images, reported, settle
from synthetic_run import LANDMARKS, MEMORABILITY, PSNR, Row, fail, setting, write_run

CURVES = ("jpeg", "webp", "edge")
COLUMNS = {"psnr_rgb": 1, "psnr_y": 1, "nme_box": -1, "face_detected": 1, "memorability": 0}
"""Metric column → which way is better."""
IMAGES, PEOPLE = 96, 48
SLICES = {
    "gender: f": "gender = 'f'",
    "gender: m": "gender = 'm'",
    "gender: not known": "gender IS NULL",
    "glasses: false": "NOT glasses",
    "glasses: true": "glasses",
    "source face size: under 64 px": "face_size < 64",
    "source face size: 64 to under 128 px": "face_size >= 64 AND face_size < 128",
    "source face size: 128 to under 256 px": "face_size >= 128 AND face_size < 256",
    "source face size: 256 px and more": "face_size >= 256",
    "source face size: not known": "face_size IS NULL",
}
LEVELS = {"psnr_rgb": (30, 33), "psnr_y": (30, 33), "nme_box": (0.03, 0.02), "face_detected": (0.95, 0.99)}


def spoil(row: Row) -> None:
    """Errors and missing values, each on images of its own; a scale on which levels of NME are reached."""
    if row["variant"] == "jpeg quality=4" and row["image"] in {"image-001", "image-040"}:
        fail(row, "encoder crashed")
        return
    row["nme_box"] /= 150
    if row["variant"] == "webp quality=1" and row["image"] == "image-002":
        row.update(nme_box=None, metric_errors=[("nme_box", "no face found")])
    elif row["family"] == "edge" and row["image"] == "image-007":
        row.update(psnr_y=math.inf)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """A run of three curves, one of them scalable, and a single point, with its report."""
    settings = [
        *(setting("jpeg", "quality", quality) for quality in (40, 4, 10, 20)),
        *(setting("webp", "quality", quality) for quality in (1, 10, 30, 60, 15)),
        *(setting("edge", "points", points).model_copy(update={"scalable": True}) for points in (8, 15, 61, 122)),
        setting("copy", option="lossless=true"),
    ]
    folder = tmp_path_factory.mktemp("run")
    run, index = write_run(str(folder), settings, [PSNR, LANDMARKS, MEMORABILITY], images=IMAGES, people=PEOPLE, alter=spoil)
    label_images(run, IMAGES, PEOPLE)
    reported(run, index)
    return Golden(folder)


@pytest.fixture(scope="module")
def page(browser: Browser, golden: Golden) -> Iterator[Page]:
    """The report, with every table open."""
    page = browser.new_page(viewport={"width": 1280, "height": TALL})
    page.goto((golden.folder / "report" / "index.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    settle(page)
    yield page
    page.close()


# ----------------------------------------------------------------------------------------------------------- comparing


def cells(page: Page, table: str) -> list[list[str]]:
    """Rows of a table; a cell is its value, and its interval after a line break."""
    found: list[list[str]] = page.locator(table).evaluate(
        """table => [...table.rows].map(row => [...row.cells].map(cell => {
          const value = [...cell.childNodes].filter(node => !["SUP", "SMALL"].includes(node.nodeName));
          const words = value.map(node => node.textContent).join("");
          const interval = cell.querySelector("small")?.textContent;
          return interval ? `${words}\\n${interval}` : words;
        }))"""
    )
    return found


def assert_number(shown: str, expected: float) -> None:
    """Fail unless the shown decimal is the number, rounded; a dash is NaN or infinity."""
    if shown == "–" or not math.isfinite(expected):
        assert shown == "–", f"{shown} is shown for {expected}"
        assert not math.isfinite(expected), f"a dash is shown for {expected}"
        return
    step = 10.0 ** int(Decimal(shown).as_tuple().exponent)
    assert float(shown) == pytest.approx(expected, abs=0.5001 * step, rel=1e-9)


def assert_cell(shown: str, expected: float, interval: Interval = None) -> None:
    """Fail unless a cell has the number, and the interval or none."""
    value, _, ends = shown.partition("\n")
    assert_number(value, expected)
    if interval is None or not math.isfinite(expected) or not np.isfinite(interval).any():
        assert ends == ""
        return
    for end, number in zip(ends.split(" to "), interval, strict=True):
        assert_number(end, number)


# -------------------------------------------------------------------------------------------------------------- tables


def test_counts(page: Page, golden: Golden) -> None:
    """The page's first line: images, common support, identities, settings, columns, errors."""
    (counts,) = golden.query(
        """SELECT count(DISTINCT image), count(DISTINCT identity), count(DISTINCT variant),
                  count(*) FILTER (status = 'error') FROM rows"""
    ).itertuples(index=False)
    images, identities, settings, errors = counts
    shown = page.locator(".facts b").all_text_contents()
    assert list(map(int, shown)) == [images, len(golden.common("bpp")), identities, settings, len(COLUMNS) + 1, errors]


def test_the_table(page: Page, golden: Golden) -> None:
    """Every mean, the number of images, and which means are bold: the best, and those not surely worse."""
    _, *rows = cells(page, "#table1")
    by_variant = {row[0]: row[1:] for row in rows}
    assert set(by_variant) == set(golden.query("SELECT DISTINCT variant FROM rows")["variant"])
    for place, column in enumerate(("bpp", *COLUMNS)):
        means = golden.common(column).mean()
        for variant, row in by_variant.items():
            assert_number(row[place], means[variant])
    assert {row[-1] for row in by_variant.values()} == {str(len(golden.common("bpp")))}
    bold = page.locator("#table1 tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(c => !!c.querySelector('b')))"
    )
    for place, (column, sign) in enumerate(COLUMNS.items(), start=2):
        expected = best(golden.common(column), golden, sign) if sign else set()
        assert {row[0] for row, flags in zip(rows, bold, strict=True) if flags[place]} == expected


def best(values: pd.DataFrame, golden: Golden, sign: int) -> set[str]:
    """The best variant, and those whose lead of the best over them is not above 0 in 97.5 % of the draws."""
    first = (sign * values.mean()).idxmax()
    replicates = golden.replicates(values)
    assert replicates is not None
    leads = {variant: np.percentile(sign * (replicates[first] - replicates[variant]), 2.5) for variant in values}
    return {str(variant) for variant, lead in leads.items() if lead <= 0}


def test_size_time_errors_and_coverage(page: Page, golden: Golden) -> None:
    """Rows, errors, mean bytes, median times and the coverage of columns that lack values, and the reasons."""
    titles, *rows = cells(page, "#details")
    counted = golden.query(
        """SELECT variant, count(*) AS images, count(*) FILTER (status = 'error') AS errors,
                  100 * avg((coalesce(isfinite(psnr_y), false))::INT) AS psnr_y,
                  100 * avg((nme_box IS NOT NULL)::INT) AS nme_box
           FROM rows GROUP BY variant"""
    ).set_index("variant")
    assert titles[6:] == ["PSNR Y: coverage, %", "Landmark NME: coverage, %"]
    for variant, *row in rows:
        coding = golden.common("bytes").mean(), golden.common("encode_ms").median(), golden.common("decode_ms").median()
        assert row[:2] == [str(counted[column][variant]) for column in ("images", "errors")]
        for shown, number in zip(row[2:5], coding, strict=True):
            assert_number(shown, float(number[variant]))
        for shown, column in zip(row[5:], ("psnr_y", "nme_box"), strict=True):
            assert_number(shown, float(counted[column][variant]))
    reasons = golden.query("SELECT error, count(*) AS n FROM rows WHERE error IS NOT NULL GROUP BY error")
    assert cells(page, "#failures")[1] == ["the whole row", reasons["error"][0], str(reasons["n"][0])]
    assert cells(page, "#failures")[2] == ["nme_box", "no face found", "1"]


# ----------------------------------------------------------------------------------------------------- curves compared


def compared(page: Page, title: str) -> dict[str, list[str]]:
    """Curve → the cells of the comparison with that title."""
    table = page.locator("details.compared").filter(has=page.locator("summary", has_text=title)).locator("table")
    table.evaluate("(table) => { document.querySelector('#asked')?.removeAttribute('id'); table.id = 'asked'; }")
    return {row[0]: row[1:] for row in cells(page, "#asked")[1:]}


def test_bd_rates(page: Page, golden: Golden) -> None:
    """Where both curves are monotone: the package's value, and the interval over the same draws."""
    shown = compared(page, "BD-rate")
    asserted = 0
    for curve in CURVES[1:]:
        for place, (column, sign) in enumerate(COLUMNS.items()):
            anchor, test = golden.points("jpeg", column), golden.points(curve, column)
            if not sign or not all((np.diff(sign * values[0]) > 0).all() for _, values in (anchor, test)):
                assert shown[curve][place] == "–"
                continue
            found = each_row(lambda *rows, sign=sign: bd_rate((rows[0], rows[1]), (rows[2], rows[3]), sign), *anchor, *test)
            value = package_bd_rate((anchor[0][0], anchor[1][0]), (test[0][0], test[1][0]), sign)
            assert found[0] == pytest.approx(value, abs=1e-6)
            assert_cell(shown[curve][place], value, percentiles(found[1:]))
            asserted += 1
    assert asserted >= 4


def test_bd_qualities(page: Page, golden: Golden) -> None:
    """The package's value, and the interval over the same draws."""
    shown = compared(page, "BD-quality")
    for curve in CURVES[1:]:
        for place, column in enumerate(COLUMNS):
            anchor, test = golden.points("jpeg", column), golden.points(curve, column)
            found = each_row(lambda *rows: bd_quality((rows[0], rows[1]), (rows[2], rows[3])), *anchor, *test)
            value = package_bd_quality((anchor[0][0], anchor[1][0]), (test[0][0], test[1][0]))
            assert found[0] == pytest.approx(value, abs=1e-6)
            assert_cell(shown[curve][place], value, percentiles(found[1:]))


def test_values_at_the_anchor_s_rates(page: Page, golden: Golden) -> None:
    """Each curve at the rates of jpeg's points, none outside its own, with rates that vary with the draws."""
    titles = {"psnr_rgb": "PSNR RGB", "psnr_y": "PSNR Y", "nme_box": "Landmark NME", "memorability": "Memorability"}
    for column, title in titles.items():
        shown = compared(page, f"{title}")
        at, _ = golden.points("jpeg", column)
        for curve in CURVES[1:]:
            rates, values = golden.points(curve, column)
            found = np.stack([values_at(*rows) for rows in zip(rates, values, at, strict=True)])
            for cell, column_found in zip(shown[curve], found.T, strict=True):
                assert_cell(cell, column_found[0], percentiles(column_found[1:]))


def test_rates_for_tasks(page: Page, golden: Golden) -> None:
    """The rate at which each curve gets to each level and stays there, and none where it does not, or is there already."""
    shown = compared(page, "Rate for the task")
    levels = [(column, level) for column, several in LEVELS.items() for level in several]
    numbers = 0
    for curve in CURVES:
        for cell, (column, level) in zip(shown[curve], levels, strict=True):
            rates, values = golden.points(curve, column)
            first = rate_for(rates[0], values[0], level, COLUMNS[column])
            if not math.isfinite(first):
                assert cell == "–"
                continue
            found = each_row(
                lambda rate, value, level=level, column=column: rate_for(rate, value, level, COLUMNS[column]), rates, values
            )
            assert_cell(cell, first, percentiles(found[1:]))
            numbers += 1
    assert numbers >= 6


# -------------------------------------------------------------------------------------- slices, layers, trade-off, charts


def test_slices(page: Page, golden: Golden) -> None:
    """For every metric, each slice's n, means and intervals."""
    for column in COLUMNS:
        page.locator("#sliced").select_option(column)
        settle(page)
        titles, *rows = cells(page, "#slices table")
        parts = {"All images": golden.common(column)}
        parts |= {name: golden.slice(column, condition) for name, condition in SLICES.items()}
        assert [title.split("\n")[0] for title in titles[1:]] == list(parts)
        assert [title.split("\n")[1] for title in titles[2:]] == [f"n = {len(part)}" for part in list(parts.values())[1:]]
        for variant, *row in rows:
            for cell, part in zip(row, parts.values(), strict=True):
                assert_cell(cell, part[variant].mean(), golden.interval(part, variant))


def test_layers(page: Page, golden: Golden) -> None:
    """What each layer of the scalable curve weighs, and gains per hundredth of a bit, with its interval."""
    _, *rows = cells(page, "table.layers")
    variants = [f"edge points={points}" for points in (8, 15, 61, 122)]
    assert [row[0] for row in rows] == variants
    sizes, rates = (golden.common(column).mean()[variants].to_numpy() for column in ("bytes", "bpp"))
    layers = np.diff(sizes, prepend=0), np.diff(rates, prepend=0), 100 * np.diff(sizes, prepend=0) / sizes[-1]
    for place, expected in enumerate(zip(*layers, strict=True)):
        for shown, number in zip(rows[place][1:4], expected, strict=True):
            assert_number(shown, number)
    for place, column in enumerate(COLUMNS, start=4):
        for row, (before, after) in zip(rows[1:], pairwise(variants), strict=True):
            bits, values = golden.common("bpp"), golden.common(column)
            gain = _gain(bits.mean(), values.mean(), before, after)
            found = _gain(golden.replicates_of(bits), golden.replicates_of(values), before, after)
            assert_cell(row[place], float(gain), percentiles(np.asarray(found)))


def _gain(bits: pd.DataFrame | pd.Series[float], values: pd.DataFrame | pd.Series[float], before: str, after: str) -> Any:
    return (values[after] - values[before]) / (bits[after] - bits[before]) / 100


@pytest.mark.parametrize("part", ["", "gender: f"])
@pytest.mark.parametrize("rate", [0.15, 0.4, 0.7])
def test_the_trade_off(page: Page, golden: Golden, rate: float, part: str) -> None:
    """At rates of which some are beyond a curve, over all images and over some: values, front, and curves without."""
    page.locator("#slice").select_option(part)
    settle(page)
    page.get_by_label("Rate in bits per pixel").fill(str(rate))
    page.get_by_label("Rate in bits per pixel").press("Enter")
    settle(page)
    rows = {row[0]: row[1:] for row in cells(page, "#trade-off table")[1:]}
    found = {curve: at_rate(golden, curve, rate, SLICES.get(part, "true")) for curve in CURVES}
    usable = {curve: pair for curve, pair in found.items() if not np.isnan(pair).any()}
    front = [
        curve
        for curve, (human, machine) in usable.items()
        if not any(other[0] > human and other[1] < machine for other in usable.values())
    ]
    for curve, pair in found.items():
        for shown, value in zip(rows[curve][:2], pair, strict=True):
            assert_number(shown, value if curve in usable else math.nan)
        assert (rows[curve][2] == "on the front") == (curve in front)
    sentence = f"Pareto front at {rate} bpp, of {len(usable)} curves: {', '.join(front)}."
    assert page.locator("#front").inner_text().startswith(sentence)
    assert rows["copy lossless=true"][:2] == ["–", "–"]
    page.locator("#slice").select_option("")


def at_rate(golden: Golden, curve: str, rate: float, condition: str) -> Sequence[float]:
    """PSNR RGB and NME of a curve at a rate, over some images."""
    variants = golden.variants(curve)
    rates, *several = (
        golden.slice(column, condition)[variants].mean().to_numpy() for column in ("bpp", "psnr_rgb", "nme_box")
    )
    order = np.argsort(rates)
    return [float(values_at(rates[order], values[order], np.array([rate]))[0]) for values in several]


@pytest.mark.parametrize("part", ["", "glasses: false", "source face size: 128 to under 256 px"])
def test_points_of_the_charts(page: Page, golden: Golden, part: str) -> None:
    """What every point of every chart says: rate, mean, interval, n."""
    page.locator("#slice").select_option(part)
    settle(page)
    condition = SLICES.get(part, "true")
    rates = golden.slice("bpp", condition).mean()
    for figure, column in zip(page.locator("figure[data-column]").all(), COLUMNS, strict=True):
        values = golden.slice(column, condition)
        words = figure.locator(".point").evaluate_all("points => points.map(each => each.getAttribute('aria-label'))")
        assert len(words) == len(rates)
        for variant, rate, value, *interval, n in (line.split(", ") for line in words):
            assert_number(rate.removesuffix(" bpp"), rates[variant])
            number = next(word for word in reversed(value.split(" ")) if word[0].isdigit())
            assert float(number) == pytest.approx(values[variant].mean(), rel=1e-4)
            assert n == f"n = {len(values)}"
            expected = golden.interval(values, variant)
            assert bool(interval) == (expected is not None)
            if expected:
                ends = interval[0].removeprefix("95 %: ").split(" to ")
                assert [float(end) for end in ends] == pytest.approx(expected, rel=1e-4)
    page.locator("#slice").select_option("")


def test_nothing_of_it_was_missed(page: Page) -> None:
    """Every table of the page is one of those above."""
    known = ["#table1", "#details", "#failures", "#trade-off table", "#slices table", "table.layers", ".compared table"]
    known.append("#images table")  # it has tests of its own
    assert page.locator("table").count() == page.locator(", ".join(known)).count()
    assert page.locator("details.compared").count() == 3 + len(COLUMNS) + 1  # and the scalable curve's
