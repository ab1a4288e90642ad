"""Contact sheets: which images and settings are on them, and what is drawn."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from pictures import ASTRONAUT
from synthetic_run import Row, fail, setting, twelve_settings, write_run

from vcmbench.feature_tables import ORIGINAL
from vcmbench.interfaces import Image, UsageError
from vcmbench.reports.contact_sheet import Sheet, Tile, machine_sheet
from vcmbench.reports.contact_sheet_drawing import Layout, draw, layout
from vcmbench.reports.contact_sheet_files import as_pdf, as_png
from vcmbench.reports.image_choice import choose_images, choose_settings
from vcmbench.reports.image_rows import Points, StoredImages
from vcmbench.reports.pictures import Picture
from vcmbench.reports.summary import summarise
from vcmbench.run_index import ColumnRecord, Index, MetricRecord

FACE: Image = np.ascontiguousarray(ASTRONAUT[:256, 96:352])
POINTS: Points = np.stack([np.linspace(60, 200, 68), np.linspace(100, 180, 68)], axis=1).astype(np.float32)
BLACK, WHITE, AMBER = (0, 0, 0), (255, 255, 255), (255, 200, 61)


def sheet(*tiles: Tile, titles: tuple[str, ...] = (), name: str = "astronaut", notes: tuple[str, ...] = ()) -> Sheet:
    """A sheet of one row."""
    return Sheet(256, titles or tuple(f"column {place}" for place in range(len(tiles))), ((name, tiles),), notes)


def drawn_tiles(drawn: Sheet) -> list[Image]:
    """The pixels of the tiles of a sheet's only row."""
    plan = layout(drawn)
    canvas = np.asarray(draw(drawn))
    found = _top(canvas, plan)
    return [
        canvas[found : found + plan.tile, plan.left(column) : plan.left(column) + plan.tile]
        for column in range(plan.columns)
    ]


def _top(canvas: Image, plan: Layout) -> int:
    """The first row of pixels in which the first tile is not white throughout, counted from where the tile's rows end."""
    first = (canvas[:, plan.left(0) : plan.left(0) + plan.tile] != 255).any(axis=2).sum(axis=1)
    return int(np.flatnonzero(first > plan.tile * 0.9)[0])


def test_pictures_are_drawn_pixel_for_pixel() -> None:
    """Outside the boxes of its labels a tile is the picture itself."""
    plain, labelled = drawn_tiles(sheet(Tile(Picture(FACE), None), Tile(Picture(FACE), 0.1234)))
    assert (plain == FACE).all()
    assert (labelled[:220] == FACE[:220]).all()
    assert (labelled[:, 128:] == FACE[:, 128:]).all()


def test_the_rate_is_in_a_black_box_at_the_lower_left() -> None:
    """The corner is black, with white letters in it."""
    [tile] = drawn_tiles(sheet(Tile(Picture(FACE), 0.1234)))
    assert tuple(tile[-1, 0]) == BLACK
    box = tile[-16:, :60].reshape(-1, 3)
    assert {BLACK, WHITE} <= set(map(tuple, box.tolist()))


def test_landmarks_are_white_circles_and_the_gender_is_at_the_lower_right() -> None:
    """Each landmark's pixel is white, with a dark rim; the lower right corner is a black box."""
    [tile] = drawn_tiles(sheet(Tile(Picture(FACE), None, POINTS, "Woman")))
    assert all(tuple(tile[round(float(y)), round(float(x))]) == WHITE for x, y in POINTS)
    assert tuple(tile[100, 57]) == BLACK
    assert tuple(tile[-1, -1]) == BLACK
    assert tuple(tile[-1, 0]) == tuple(FACE[-1, 0])


def test_a_picture_that_is_not_as_stored_is_marked() -> None:
    """Its upper right corner is amber, and the note says why."""
    marked, plain = drawn_tiles(sheet(Tile(Picture(FACE, "other pixels"), None), Tile(Picture(FACE), None)))
    assert tuple(marked[0, -1]) == AMBER
    assert (plain == FACE).all()


def test_a_missing_picture_is_a_grey_tile_with_the_reason() -> None:
    """The tile has letters and no picture."""
    tile, _ = drawn_tiles(sheet(Tile(Picture(FACE), None), Tile(Picture(None, "the file is empty"), None)))[::-1]
    assert tuple(tile[-1, -1]) == tuple(tile[0, 0]) == (228, 231, 235)
    assert (tile < 100).any()


def test_small_pictures_are_enlarged_and_large_sheets_scaled_down() -> None:
    """A pixel of a small picture becomes a square; a sheet of large pictures stays within some 60 megapixels."""
    small = Sheet(32, ("original",), (("x", (Tile(Picture(FACE[:32, :32]), None),)),), ())
    plan = layout(small)
    assert plan.tile == 160
    canvas = np.asarray(draw(small))
    top = canvas.shape[0] - plan.gap - plan.tile - plan.gap
    assert (canvas[top : top + 160, plan.gap : plan.gap + 160][::5, ::5] == FACE[:32, :32]).all()
    large = Sheet(4096, ("original",) * 11, (("x", ()),) * 6, ())
    assert layout(large, scale=2).tile ** 2 * 66 <= 60_000_000
    assert layout(large).down == 5


def test_hostile_texts_are_drawn() -> None:
    """Line breaks, very long words, letters of all scripts and of none change nothing about the size of the sheet."""
    hostile = "a\n\n\u202e<script>" + "x" * 3000 + "漢字🙂\x00"
    tiles = (Tile(Picture(FACE), None), Tile(Picture(None, hostile), 0.5, None, hostile))
    assert draw(sheet(*tiles, name=hostile)).size == draw(sheet(*tiles)).size
    assert draw(sheet(*tiles, titles=("original", hostile), notes=(hostile,))).width == draw(sheet(*tiles)).width


def test_the_pdf_has_the_pixels_of_the_sheet() -> None:
    """Its only image, taken out as a PDF reader does, is the sheet in twice its pixels; its cross-references are right."""
    drawn = sheet(Tile(Picture(FACE), 0.25, POINTS, "Woman"), Tile(Picture(None, "lost"), None), notes=("a note",))
    pdf = as_pdf(drawn)
    width, height = (int(re.findall(rb"/%s (\d+)" % side, pdf)[0]) for side in (b"Width", b"Height"))
    start = pdf.index(b"stream\n", pdf.index(b"/XObject /Subtype /Image")) + 7
    data = zlib.decompressobj().decompress(pdf[start:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # the predictors are PNG's, which Pillow undoes
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    assert (np.asarray(PIL.Image.open(io.BytesIO(png))) == np.asarray(draw(drawn, scale=2))).all()
    for number, place in enumerate(re.findall(rb"(\d{10}) 00000 n", pdf), 1):
        assert pdf[int(place) :].startswith(b"%d 0 obj" % number)
    assert pdf[int(re.findall(rb"startxref\n(\d+)", pdf)[0]) :].startswith(b"xref")


def test_the_png_has_the_pixels_of_the_sheet() -> None:
    """Reading the file gives what was drawn."""
    canvas = draw(sheet(Tile(Picture(FACE), 0.25)))
    assert (np.asarray(PIL.Image.open(io.BytesIO(as_png(canvas)))) == np.asarray(canvas)).all()


# ----------------------------------------------------------------------------------------------------- what machines see

GENDER = MetricRecord(
    key="gender-1",
    name="gender",
    kind="machine",
    version="1",
    summary="predicted gender",
    columns={"gender": ColumnRecord(title="Gender", better=None, dtype="string", unit="")},
)
LANDMARKS = GENDER.model_copy(update={"name": "landmarks", "columns": {}, "features": {"landmarks": 136}})


@pytest.mark.parametrize(("agrees", "expected"), [(True, "Woman"), (False, "Man"), (None, "")])
def test_the_originals_gender_follows_from_the_decoded_ones(agrees: bool | None, expected: str) -> None:
    """A label that agrees is the original's, another one tells the opposite, and without either there is none."""
    jpeg = setting("jpeg", "quality", 4)
    row = {"gender": "Woman", "gender_agrees": agrees}
    stored = StoredImages({}, {("astronaut", jpeg.key): row}, {("astronaut", ORIGINAL): POINTS})
    index = Index(name="x", notice="", settings=(jpeg,), metrics=(GENDER, LANDMARKS))
    drawn = machine_sheet(sheet(Tile(Picture(FACE), None), Tile(Picture(FACE), 0.2)), index, stored, [jpeg])
    assert drawn is not None
    [(_, (first, second))] = drawn.rows
    assert (first.gender, second.gender) == (expected, "Woman")
    assert first.landmarks is POINTS
    assert second.landmarks is None
    assert "1 pictures without landmarks" in " ".join(drawn.notes)


def test_a_run_without_such_metrics_has_no_such_sheet() -> None:
    """Only the sheet with the rates is made."""
    index = Index(name="x", notice="", settings=(), metrics=())
    assert machine_sheet(sheet(Tile(Picture(FACE), None)), index, StoredImages({}, {}, {}), []) is None


# ---------------------------------------------------------------------------------------------------------------- choice


def test_settings_are_spread_over_each_curves_rates() -> None:
    """Of 300 settings ten are shown, the ends of each curve first, and what is left out is told."""
    settings = [setting(family, "quality", quality) for family in ("jpeg", "webp", "edge") for quality in range(1, 101)]
    run, index = write_run("memory://choice", settings, images=2)
    shown = choose_settings(index, summarise(run, index), ())
    numbers = [(each.family, int(each.params["quality"])) for each in shown.settings]
    assert len(numbers) == 10
    by_family = {family: [number for other, number in numbers if other == family] for family in ("jpeg", "webp", "edge")}
    assert [len(each) for each in by_family.values()] == [4, 3, 3]
    assert all(each[0] < 10 and each[-1] > 80 for each in by_family.values())  # rates vary by image, so ends may swap
    assert shown.notes == (
        "jpeg: 4 of 100 settings shown",
        "webp: 3 of 100 settings shown",
        "edge: 3 of 100 settings shown",
    )


def test_of_more_curves_than_places_the_first_are_shown() -> None:
    """Each of the first ten curves has its middle setting, and the others are counted."""
    settings = [setting(f"codec{number}", "quality", quality) for number in range(20) for quality in (5, 50, 95)]
    run, index = write_run("memory://curves", settings, images=2)
    shown = choose_settings(index, summarise(run, index), ())
    assert [each.variant for each in shown.settings] == [f"codec{number} quality=50" for number in range(10)]
    assert shown.notes[0] == "codec0: 1 of 3 settings shown"
    assert shown.notes[-1] == "not shown: codec10, codec11, codec12, codec13, codec14 and 5 more"


def test_a_setting_that_coded_nothing_is_left_out() -> None:
    """What has no picture to show is not chosen, which is told; if nothing was coded, everything has its reasons shown."""

    def spoil(row: Row) -> None:
        if row["variant"] == "jpeg quality=40" or row["family"] == "copy":
            fail(row, "crashed")

    run, index = write_run("memory://nothing", twelve_settings(), images=2, alter=spoil)
    shown = choose_settings(index, summarise(run, index), ())
    assert len(shown.settings) == 10
    assert shown.notes == ("jpeg: 3 of 4 settings shown", "not shown: copy lossless=true")
    run, index = write_run("memory://errors", twelve_settings()[:2], images=2, alter=lambda row: fail(row, "crashed"))
    assert len(choose_settings(index, summarise(run, index), ()).settings) == 2


def test_wanted_settings_are_shown_in_their_order() -> None:
    """What the job names is shown, each once; an unknown name is refused with the known ones."""
    run, index = write_run("memory://wanted", twelve_settings(), images=2)
    summary = summarise(run, index)
    wanted = ["edge points=0", "jpeg quality=4", "edge points=0"]
    assert [each.variant for each in choose_settings(index, summary, wanted).settings] == wanted[:2]
    with pytest.raises(UsageError, match=r"report.settings: 'gif' is no setting of this run; its settings are: jpeg"):
        choose_settings(index, summary, ["gif"])


def test_images_are_evenly_spaced_and_of_different_people() -> None:
    """Six of many people; where there are fewer, images of the same ones; none beyond those with stored features."""
    everyone = np.ones(100, bool)
    assert choose_images(everyone, np.arange(100), 1000) == [0, 20, 40, 59, 79, 99]
    assert choose_images(everyone, np.arange(100) // 10, 1000) == [0, 20, 40, 50, 70, 90]
    assert choose_images(everyone, np.zeros(100, np.int64), 11) == [0, 2, 4, 6, 8, 10]


def test_images_that_every_setting_coded_are_preferred() -> None:
    """Images with errors are passed over, unless there are no others; a run without images has none."""
    coded = np.zeros(100, bool)
    coded[[3, 50]] = True
    assert choose_images(coded, np.arange(100), 10_000) == [3, 50]
    assert choose_images(coded, np.arange(100), 2) == [3, 50]
    assert len(choose_images(np.zeros(100, bool), np.arange(100), 10_000)) == 6
    assert choose_images(np.zeros(0, bool), np.zeros(0, np.int64), 10_000) == []
