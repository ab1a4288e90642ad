"""The rate–performance table, read back from each of its forms."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import METRICS, PSNR, Row, fail, setting, twelve_settings, write_run

from vcmbench.reports.summary import Summary, summarise
from vcmbench.reports.table_files import as_csv, as_latex, as_markdown
from vcmbench.reports.table_text import as_text
from vcmbench.reports.tables import rate_performance
from vcmbench.run_index import ColumnRecord, Index

TITLES = [
    "bpp",
    "PSNR RGB (dB) ⇑",
    "PSNR Y (dB) ⇑",
    "SSIM RGB ⇑",
    "MS-SSIM ⇑",
    "Landmark NME (%) ⇓",
    "Face detected ⇑",
    "Memorability",
    "n",
]
SOURCES = ["bpp", "psnr_rgb", "psnr_y", "ssim_rgb", "ms_ssim", "nme_box", "face_detected", "memorability"]


@pytest.fixture(scope="module")
def summarised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Summary]:
    """A run of three curves and a single point, in which one setting always fails."""
    run, index = write_run(
        str(tmp_path_factory.mktemp("run")),
        twelve_settings(),
        alter=_fail_fewest_points,
        missing_shards=[1],
        notice="two people, not a benchmark",
    )
    return index, summarise(run, index)


def _fail_fewest_points(row: Row) -> None:
    if row["variant"] == "edge points=0":
        fail(row, "timed out")
    elif row["variant"] == "webp quality=0" and row["image"] == "image-002":
        row["nme_box"] = None


def markdown_rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, unescaped and without emphasis."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [
            re.sub(r"\\(.)", r"\1", cell.strip().removeprefix("**").removesuffix("**"))
            for cell in re.split(r"(?<!\\)\|", line)[1:-1]
        ]
        for line in lines
        if not line.startswith("| :--")
    ]


def test_markdown_reads_back_as_the_summary(summarised: tuple[Index, Summary]) -> None:
    """Every cell is the summary's mean in the column's decimals, under a title with unit and direction."""
    titles, *rows = markdown_rows(as_markdown(*summarised))
    assert [title.replace("\N{NO-BREAK SPACE}", " ") for title in titles] == ["Setting", *TITLES]
    digits = [3, 2, 2, 4, 4, 3, 4, 4]
    for row in summarised[1].table.to_pylist():
        means = [row[f"{source}_mean"] for source in SOURCES]
        spelled = ["–" if mean is None else f"{mean:.{places}f}" for mean, places in zip(means, digits, strict=True)]
        assert [row["variant"], *spelled, str(row["common"])] in rows
    assert len(rows) == 12


def test_rows_stand_by_curve_in_rising_rate(summarised: tuple[Index, Summary]) -> None:
    """Curves keep the job's order, their points rise in bpp, and a setting without a rate comes last."""
    assert [row.variant for row in rate_performance(*summarised).rows] == [
        *(f"jpeg quality={quality}" for quality in (4, 10, 20, 40)),
        *(f"webp quality={quality}" for quality in (0, 10, 30, 60)),
        *(f"edge points={points}" for points in (15, 122, 0)),
        "copy lossless=true",
    ]


def test_csv_has_full_precision(summarised: tuple[Index, Summary]) -> None:
    """Numbers read back from the CSV are exactly the summary's, and missing ones are empty."""
    rows = {row["setting"]: row for row in csv.DictReader(io.StringIO(as_csv(*summarised)))}
    for expected in summarised[1].table.to_pylist():
        row = rows[expected["variant"]]
        assert row["curve"] == expected["curve"]
        assert [float(row[source]) if row[source] else None for source in SOURCES] == [
            expected[f"{source}_mean"] for source in SOURCES
        ]
        assert int(row["n"]) == expected["common"]


def test_the_best_of_each_column_is_bold(tmp_path: Path) -> None:
    """The best mean is bold in every form, with a setting that is better on some identities and worse on others."""
    gains = {"jpeg quality=4": 0, "jpeg quality=10": 2, "jpeg quality=20": 2, "jpeg quality=40": 1}

    def alter(row: Row) -> None:
        sways = row["variant"] == "jpeg quality=20"
        row["psnr_rgb"] = 30 + gains[row["variant"]] + sways * (-1) ** int(row["image"][-1]) * 0.3 - sways * 0.01

    settings = [setting("jpeg", "quality", quality) for quality in (4, 10, 20, 40)]
    run, index = write_run(str(tmp_path), settings, alter=alter, people=None)
    summary = summarise(run, index)
    assert _bold(index, summary) == {"jpeg quality=10", "jpeg quality=20"}
    assert as_markdown(index, summary).count("**32.00**") == 1
    assert as_latex(index, summary).count(r"\textbf{31.99}") == 1
    without_intervals = replace(summary, replicates={})
    assert _bold(index, without_intervals) == {"jpeg quality=10"}


def _bold(index: Index, summary: Summary) -> set[str]:
    """The settings whose PSNR is bold."""
    return {row.variant for row in rate_performance(index, summary).rows if row.best[1]}


def test_nothing_is_best_among_one_setting_or_without_a_direction(tmp_path: Path) -> None:
    """A single setting is not bold, nor are rates, numbers of images and columns in which neither way is better."""
    run, index = write_run(str(tmp_path), twelve_settings())
    table = rate_performance(index, summarise(run, index))
    plain = {column.name for place, column in enumerate(table.columns) if not any(row.best[place] for row in table.rows)}
    assert plain == {"bpp", "memorability", "n"}
    alone = index.model_copy(update={"settings": index.settings[:1]})
    assert not any(any(row.best) for row in rate_performance(alone, summarise(run, alone)).rows)


def test_latex_has_the_numbers_of_markdown(summarised: tuple[Index, Summary]) -> None:
    """Rows are separated by curve, arrows are commands, and every number is that of the Markdown table."""
    latex = as_latex(*summarised)
    assert latex.count(r"\midrule") == 4
    assert r"PSNR RGB (dB)~$\Uparrow$" in latex
    body = [line.removesuffix(r" \\") for line in latex.splitlines() if line.endswith(r"\\")][1:]
    rows = [[re.sub(r"\\textbf\{(.*)\}", r"\1", cell).replace("--", "–") for cell in line.split(" & ")] for line in body]
    assert rows == markdown_rows(as_markdown(*summarised))[1:]


def test_the_caption_says_what_the_numbers_are(summarised: tuple[Index, Summary]) -> None:
    """Notice, shards, images, identities, smaller supports, errors and notes are stated in every form for people."""
    caption = (
        "Two people, not a benchmark.",
        "Partial run: 2 of 3 shards complete.",
        "Means are over the images that every compared setting coded: 16 of 16 (identities: 5).",
        "Bold: the best mean of a column, and those whose difference from it is 0 within the paired 95 % interval.",
        "Means over fewer images, because a setting lacks a value on the others: Landmark NME 15.",
        "Error rows: 16 of 192.",
        "No image could be coded with edge points=0: left out of the common support.",
    )
    assert rate_performance(*summarised).caption == caption
    for sentence in caption:
        assert f"- {sentence}" in as_markdown(*summarised).splitlines()
        assert sentence in as_text(*summarised).splitlines()


def test_a_complete_run_without_faults_has_a_short_caption(tmp_path: Path) -> None:
    """Where there is nothing to warn of, only the images and the meaning of bold are stated."""
    run, index = write_run(str(tmp_path), twelve_settings())
    assert len(rate_performance(index, summarise(run, index)).caption) == 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_text_is_aligned_and_fits_the_terminal(summarised: tuple[Index, Summary], width: int) -> None:
    """No line is wider than asked for, and each setting's numbers stand on its lines, in order."""
    lines = as_text(*summarised, width=width).splitlines()
    assert max(map(len, lines)) <= width
    for row, spelled in zip(markdown_rows(as_markdown(*summarised))[1:], _text_values(lines), strict=True):
        assert row == spelled


def _text_values(lines: list[str]) -> list[list[str]]:
    """Per setting, its name and its numbers, put together from every block of the text."""
    found: dict[str, list[str]] = {}
    for line in lines:
        name, *numbers = re.split(r" {2,}", line)
        if numbers and re.fullmatch(r"\w+ \w+=\w+", name):
            found.setdefault(name, [name]).extend(numbers)
    return list(found.values())


def test_a_common_table_fits_beside_one_another(summarised: tuple[Index, Summary]) -> None:
    """Seven metric columns need one block of 120 characters."""
    assert sum("Setting" in line for line in as_text(*summarised).splitlines()) == 1


def test_names_cannot_break_a_table_or_steer_a_terminal(tmp_path: Path) -> None:
    """Pipes, backticks, line breaks, HTML and escape sequences in names stay inside their cell."""
    hostile = "a|b `c` *d* [e](f) <g> \\ ~h~ _i_ \x1b[31m\r\nj \u2028 \u202e"
    printable = hostile.translate(dict.fromkeys(map(ord, "\x1b\n\r\u2028\u202e"), "�"))
    run, index = write_run(str(tmp_path), [setting(hostile), setting("jpeg")], notice=hostile)
    summary = summarise(run, index)
    markdown = as_markdown(index, summary)
    assert markdown_rows(markdown)[1][0] == printable
    assert {len(row) for row in markdown_rows(markdown)} == {10}
    assert not re.search(r"(?<!\\)[<`*_\[]", re.sub(r"\*\*([\d.]+)\*\*", r"\1", markdown))
    assert {line.count(" & ") for line in as_latex(index, summary).splitlines() if line.endswith(r"\\")} == {9}
    assert {character for character in as_text(index, summary) if not character.isprintable()} <= {
        "\n",
        "\N{NO-BREAK SPACE}",
    }
    assert list(csv.reader(io.StringIO(as_csv(index, summary), newline="")))[1][1] == hostile


@pytest.mark.parametrize(
    ("factor", "spelled"),
    [
        (1e-4, r"0\.0000\d{4}"),
        (0.01, r"0\.00\d{4}"),
        (1, r"0\.\d{4}"),
        (10, r"\d\.\d{3}"),
        (100, r"\d\d\.\d\d"),
        (1e5, r"\d{5}"),
    ],
)
def test_decimals_follow_the_size_of_the_numbers(tmp_path: Path, factor: float, spelled: str) -> None:
    """A metric of any scale is shown with four significant digits."""
    metric = PSNR.model_copy(
        update={"columns": {"memorability": ColumnRecord(title="M", better=None, dtype="float", unit="")}},
    )
    run, index = write_run(
        str(tmp_path), [setting("jpeg")], [metric], alter=lambda row: row.update(memorability=factor * row["memorability"])
    )
    cell = markdown_rows(as_markdown(index, summarise(run, index)))[1][2]
    assert re.fullmatch(spelled, cell), cell


def test_tables_of_nothing_are_still_tables(tmp_path: Path) -> None:
    """No metric, no complete shard and no setting give a heading and a caption, not an error."""
    run, index = write_run(str(tmp_path), [setting("jpeg")], metrics=[])
    assert markdown_rows(as_markdown(index, summarise(run, index)))[0] == ["Setting", "bpp", "n"]
    wanted = index.model_copy(update={"metrics": METRICS})
    assert "0 of 3 shards complete" in as_text(wanted, summarise(run, wanted))
    empty = index.model_copy(update={"settings": ()})
    assert len(markdown_rows(as_markdown(empty, summarise(run, empty)))) == 1
    assert as_text(empty, summarise(run, empty)).startswith("Setting  bpp  n\n")
