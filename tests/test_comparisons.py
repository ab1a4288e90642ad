"""A run's curves against an anchor: from the stored rows to the report's files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import bjontegaard  # type: ignore[import-untyped]  # ships no type hints
import numpy as np
import pytest
from synthetic_run import Row, fail, setting, twelve_settings, write_run

from vcmbench.interfaces import UsageError
from vcmbench.reports.comparison_tables import NotedTable, bd_csv, iso_rate_csv, page_tables, task_rates_csv
from vcmbench.reports.comparisons import Comparisons, compare_curves
from vcmbench.reports.summary import Summary, summarise
from vcmbench.run_index import Index


@pytest.fixture(scope="module")
def summarised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Summary]:
    """A run of 40 people in three curves and a single point."""
    run, index = write_run(str(tmp_path_factory.mktemp("run")), twelve_settings(), images=40, people=None)
    return index, summarise(run, index)


@pytest.fixture(scope="module")
def comparisons(summarised: tuple[Index, Summary]) -> Comparisons:
    """They are against the first curve, JPEG."""
    found = compare_curves(*summarised)
    assert found is not None
    return found


def points(summary: Summary, curve: str, column: str) -> tuple[list[float], list[float]]:
    """Rates and means of a curve, in rising rate, from the summary's table."""
    rows = sorted((row for row in summary.table.to_pylist() if row["curve"] == curve), key=lambda row: row["bpp_mean"])
    return [row["bpp_mean"] for row in rows], [row[f"{column}_mean"] for row in rows]


def test_bd_values_are_those_of_the_means(summarised: tuple[Index, Summary], comparisons: Comparisons) -> None:
    """WebP's BD-rate and BD-PSNR are what the package `bjontegaard` makes of the summary's means."""
    _, summary = summarised
    anchor, webp = (points(summary, curve, "psnr_rgb") for curve in ("jpeg", "webp"))
    found = comparisons.against["psnr_rgb"]["webp"]
    rate = bjontegaard.bd_rate(*anchor, *webp, method="pchip", require_matching_points=False, min_overlap=0)
    psnr = bjontegaard.bd_psnr(*anchor, *webp, method="pchip", require_matching_points=False, min_overlap=0)
    assert comparisons.anchor == "jpeg"
    assert found.bd_rate.value == pytest.approx(rate, abs=1e-6)
    assert found.bd_quality.value == pytest.approx(psnr, abs=1e-6)
    low, value, high = (_number(end) for end in (found.bd_rate.low, found.bd_rate.value, found.bd_rate.high))
    assert low < value < high


def test_a_curve_of_three_points_has_no_bd_value_and_says_so(comparisons: Comparisons) -> None:
    """It has a reason instead, and still its values at the anchor's rates."""
    found = comparisons.against["psnr_rgb"]["edge"]
    assert found.bd_rate.value is None
    assert "4 are needed" in found.bd_rate.reason
    assert len(found.at_its_rates) == 4


def test_single_points_are_not_compared(comparisons: Comparisons) -> None:
    """A setting without a rate parameter is on no curve."""
    assert set(comparisons.against["psnr_rgb"]) == {"webp", "edge"}


def test_another_anchor_can_be_named(summarised: tuple[Index, Summary]) -> None:
    """The named curve is the anchor; one that the run lacks is an error with those that it has."""
    found = compare_curves(*summarised, "webp")
    assert found is not None
    assert set(found.against["psnr_rgb"]) == {"jpeg", "edge"}
    with pytest.raises(UsageError, match=r"'gif' is not a curve of this run; its curves are: jpeg, webp, edge"):
        compare_curves(*summarised, "gif")


def test_files_hold_what_was_compared(comparisons: Comparisons) -> None:
    """Numbers read back from each CSV are exactly the results', and missing ones are empty beside their reason."""
    bd = {(row["column"], row["curve"], row["measure"]): row for row in rows_of(bd_csv(comparisons))}
    for column, curves in comparisons.against.items():
        for curve, found in curves.items():
            row = bd[column, curve, "BD-rate"]
            assert row["value"] == ("" if found.bd_rate.value is None else repr(found.bd_rate.value))
            assert bool(row["value"]) != bool(row["reason"])
    iso = [row for row in rows_of(iso_rate_csv(comparisons)) if (row["column"], row["curve"]) == ("ssim_rgb", "webp")]
    expected = comparisons.against["ssim_rgb"]["webp"].at_its_rates
    assert [(row["bpp"], row["value"]) for row in iso] == [
        (repr(each.rate), "" if each.value is None else repr(each.value)) for each in expected
    ]
    tasks = rows_of(task_rates_csv(comparisons))
    assert {row["curve"] for row in tasks} == {"jpeg", "webp", "edge"}
    assert all(row["source"] for row in tasks)


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text)))


def test_the_pages_tables_note_what_is_missing(summarised: tuple[Index, Summary], comparisons: Comparisons) -> None:
    """Every dash has a note that gives its reason, and every number stands under its column."""
    tables = list(page_tables(*summarised, comparisons))
    assert [table.title for table in tables[:3]] == [
        "BD-rate, %, against jpeg",
        "BD-quality, in the metric's unit, against jpeg",
        "Rate for the task, bpp",
    ]
    for table in tables:
        for _, cells in table.rows:
            assert len(cells) == len(table.columns)
            assert all(cell.notes or cell.value != "–" for cell in cells)
            assert all(number <= len(table.notes) for cell in cells for number in cell.notes)
    (curve, cells), *_ = tables[0].rows
    assert (curve, cells[0].value) == ("webp", f"{comparisons.against['psnr_rgb']['webp'].bd_rate.value:.1f}")


def test_what_concerns_every_value_is_said_once(tmp_path: Path) -> None:
    """With five people no value has an interval; the table says so below and not in each cell."""
    run, index = write_run(str(tmp_path), twelve_settings())
    found = compare_curves(index, summary := summarise(run, index))
    assert found is not None
    bd_rate: NotedTable = next(page_tables(index, summary, found))
    assert bd_rate.common == ("no interval: 5 identities, fewer than 20",)
    assert not any("identities" in note for note in bd_rate.notes)
    assert not any(cell.interval for _, cells in bd_rate.rows for cell in cells)


def test_nothing_to_compare_is_no_error(tmp_path: Path) -> None:
    """Single points alone, one curve alone, and settings that always fail give no values and no exception."""
    run, index = write_run(str(tmp_path / "points"), [setting("copy"), setting("edge")])
    assert compare_curves(index, summarise(run, index)) is None
    run, index = write_run(str(tmp_path / "one"), twelve_settings()[:4])
    alone = compare_curves(index, summary := summarise(run, index))
    assert alone is not None
    assert [table.title for table in page_tables(index, summary, alone)] == ["Rate for the task, bpp"]
    run, index = write_run(str(tmp_path / "failing"), twelve_settings(), alter=_fail)
    nothing = compare_curves(index, summarise(run, index))
    assert nothing is not None
    assert all(np.isnan(_number(each.bd_rate.value)) for each in nothing.against["psnr_rgb"].values())


def _fail(row: Row) -> None:
    fail(row, "crashed")


def _number(value: float | None) -> float:
    return float(np.nan) if value is None else value
