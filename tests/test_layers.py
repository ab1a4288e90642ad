"""Layers of scalable codecs: what they weigh and gain."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from report_browser import Visit, reported
from synthetic_run import METRICS, Row, fail, twelve_settings, write_run
from test_report_page import HOSTILE

from vcmbench import codecs
from vcmbench.codecs.edge.stream import read
from vcmbench.reports.layers import LayeredCurve, layered_curves
from vcmbench.reports.summary import summarise
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index, SettingRecord

COLUMNS = [name for metric in METRICS for name, column in metric.columns.items() if column.dtype != "string"]


def settings() -> list[SettingRecord]:
    """Twelve, of which edge's are scalable."""
    return [each.model_copy(update={"scalable": each.family == "edge"}) for each in twelve_settings()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Index]:
    """A run of many people, in which one image lacks a value."""

    def alter(row: Row) -> None:
        if row["image"] == "image-005" and row["variant"] == "edge points=15":
            row.update(nme_box=None, metric_errors=[("nme_box", "no face found")])

    written, index = write_run(str(tmp_path_factory.mktemp("run")), settings(), images=40, people=None, alter=alter)
    return reported(written, index), index


@pytest.fixture(scope="module")
def curve(run: tuple[RunDirectory, Index]) -> LayeredCurve:
    """The only scalable curve."""
    (found,) = layered_curves(run[1], summarise(*run))
    return found


def test_layers_weigh_what_the_settings_differ_by(run: tuple[RunDirectory, Index], curve: LayeredCurve) -> None:
    """Bytes and bits per pixel are differences of means along the curve, and shares are of the longest."""
    rows = {row["variant"]: row for row in summarise(*run).table.to_pylist()}
    points = [rows[f"edge points={count}"] for count in (0, 15, 122)]
    assert curve.name == "edge"
    assert [layer.setting for layer in curve.layers] == [row["variant"] for row in points]
    for kind in ("bytes", "bpp"):
        sizes = [row[f"{kind}_mean"] for row in points]
        assert [getattr(layer, kind) for layer in curve.layers] == pytest.approx(np.diff(sizes, prepend=0).tolist())
    assert sum(layer.share for layer in curve.layers) == pytest.approx(1)


def test_gains_are_per_a_hundredth_of_a_bit(run: tuple[RunDirectory, Index], curve: LayeredCurve) -> None:
    """A metric's difference over the rate's, with bars relative to the largest; one that is not for the better is marked."""
    rows = {row["variant"]: row for row in summarise(*run).table.to_pylist()}
    points = [rows[f"edge points={count}"] for count in (0, 15, 122)]
    assert curve.layers[0].gains == [None] * len(COLUMNS)
    for place, column in enumerate(COLUMNS):
        expected = [
            (after[f"{column}_mean"] - before[f"{column}_mean"]) / (after["bpp_mean"] - before["bpp_mean"]) / 100
            for before, after in pairwise(points)
        ]
        gains = [layer.gains[place] for layer in curve.layers[1:]]
        assert [gain and gain.value for gain in gains] == pytest.approx(expected)
        assert max(gain.of_largest for gain in gains if gain) == 1.0
        better = {"nme_box": -1, "memorability": 0}.get(column, 1)
        assert [gain and gain.is_worse for gain in gains] == [better * value < 0 for value in expected]


def test_gains_have_paired_intervals(run: tuple[RunDirectory, Index], curve: LayeredCurve) -> None:
    """They are percentiles of the ratio in the same draws, and hold the value."""
    summary = summarise(*run)
    place = {setting.variant: place for place, setting in enumerate(run[1].settings)}
    before, after = place["edge points=0"], place["edge points=15"]
    rates, values = summary.replicates["bpp"], summary.replicates["psnr_rgb"]
    ratios = (values[:, after] - values[:, before]) / (rates[:, after] - rates[:, before]) / 100
    gain = curve.layers[1].gains[0]
    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.value < gain.high


def test_settings_without_a_rate_are_left_out_and_named(tmp_path: Path) -> None:
    """The next layer then counts from the last one with a rate; a curve without any has no layers."""
    for broken, layers, left_out in (
        ({"edge points=15"}, ["edge points=0", "edge points=122"], ["edge points=15"]),
        ({f"edge points={count}" for count in (0, 15, 122)}, [], ["edge points=0", "edge points=15", "edge points=122"]),
    ):
        run, index = write_run(
            str(tmp_path / str(len(broken))),
            settings(),
            images=2,
            alter=lambda row, broken=broken: fail(row, "no") if row["variant"] in broken else None,  # type: ignore[misc]  # a default
        )
        (found,) = layered_curves(index, summarise(run, index))
        assert [layer.setting for layer in found.layers] == layers
        assert sorted(found.left_out) == sorted(left_out)
        if layers:
            gain = found.layers[1].gains[0]
            assert gain is not None
            assert (gain.low, gain.high) == (None, None)  # two images


def test_equal_rates_and_missing_values_have_no_gain(tmp_path: Path) -> None:
    """A layer without bits, and a metric without values, are dashes and not infinities."""

    def alter(row: Row) -> None:
        if row["family"] == "edge":
            row.update(bpp=0.1, bytes=800, psnr_y=None)

    run, index = write_run(str(tmp_path), settings(), images=2, alter=alter)
    (found,) = layered_curves(index, summarise(run, index))
    assert [layer.bytes for layer in found.layers] == [800, 0, 0]
    assert all(gain is None for layer in found.layers for gain in layer.gains)


def test_the_layers_are_on_the_page(visit: Visit, run: tuple[RunDirectory, Index], curve: LayeredCurve) -> None:
    """The table has each number, and its bars are as long as the numbers say."""
    page = visit(run[0])
    rows = page.locator("table.layers tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    layer = curve.layers[1]
    gain = layer.gains[0]
    assert gain is not None
    assert rows[1][:4] == [layer.setting, f"{layer.bytes:.1f}", f"{layer.bpp:.4f}", f"{100 * layer.share:.1f}"]
    assert rows[1][4] == f"{gain.value:+#.3g}{gain.low:+#.3g} to {gain.high:+#.3g}"
    assert rows[0][4:] == ["–"] * len(COLUMNS)
    widths = page.locator("table.layers td:nth-child(4) .bar").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )
    shares = [each.share for each in curve.layers]
    assert np.array(widths) / max(widths) == pytest.approx(np.array(shares) / max(shares), abs=0.03)
    worse = sum(gain.is_worse for each in curve.layers for gain in each.gains if gain)
    assert page.locator("table.layers .bar.worse").count() == worse


def test_hostile_names_of_layers_are_text(visit: Visit, tmp_path: Path) -> None:
    """Markup in a scalable codec's name is shown."""
    named = [
        each.model_copy(update={"curve": HOSTILE, "variant": f"{HOSTILE} {each.variant}"})
        for each in settings()
        if each.scalable
    ]
    page = visit(reported(*write_run(str(tmp_path), named, images=2)))
    assert page.locator("section[aria-labelledby=layers] summary").text_content() == HOSTILE
    assert page.evaluate("window.hacked") is None


def test_a_run_without_scalable_codecs_has_no_such_section(visit: Visit, tmp_path: Path) -> None:
    """Nothing is said of layers that do not exist."""
    page = visit(reported(*write_run(str(tmp_path), twelve_settings(), images=2)))
    assert page.locator("section[aria-labelledby=layers]").count() == 0


def test_codecs_that_call_themselves_scalable_are() -> None:
    """Their streams are prefixes of one another, also at a lower resolution, and edge's differ by its layers."""
    image = skimage.data.astronaut()[:128, 128:256]  # type: ignore[no-untyped-call]  # scikit-image's
    points = (0, 15, 122)
    for wrap in ({}, {"factor": 2, "codec": "edge"}):
        family = "downscale" if wrap else "edge"
        found = [codecs.create(family, points=count, decoder="diffusion", **wrap) for count in points]
        assert all(SettingRecord.of(codec, {}).scalable for codec in found)
        streams = [codec.encode(image) for codec in found]
        assert all(longer.startswith(shorter) for shorter, longer in pairwise(streams))
        if not wrap:
            parts = list(read(streams[-1]).layer_bytes.values())
            assert [len(stream) for stream in streams[:2]] == np.cumsum(parts)[[1, 2]].tolist()
    assert not SettingRecord.of(codecs.create("jpeg", quality=4), {}).scalable
