"""The parts of `benchmarks/edge.py` on which its verdicts rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import ASTRONAUT, batch, jpeg
from torch import nn

from vcmbench import codecs
from vcmbench.interfaces import Batch, Image
from vcmbench.metrics import networks
from vcmbench.metrics.memorability import Memorability, preprocess, resmem

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from edge_bars import Results, Setting, bars
from edge_contact_sheet import TITLE_ROWS, contact_sheet
from edge_parts import edge_raster, jbig1_bytes
from portrait_measures import SETUP, Cache, Measured, feature_distances, interval
from portraits import Portraits

needs_resmem = pytest.mark.skipif(Memorability().unavailable() is not None, reason=str(Memorability().unavailable()))

FACE: Image = np.ascontiguousarray(ASTRONAUT[:256, 100:356])


# ----------------------------------------------------------------------------------------------------------- features


@needs_resmem
def test_the_feature_distance_is_what_its_definition_says() -> None:
    """It equals the relative mean squared difference that the layers before the last give; that of the image itself is 0."""
    decoded = jpeg(FACE, 10)
    network: Any = networks.loaded(resmem, SETUP).features
    pooled = nn.Sequential(*list(network.children())[:-1], nn.Flatten())
    with torch.no_grad():
        before, after = pooled(preprocess(batch(FACE, decoded).images)).double()
    expected = float((after - before).square().mean() / before.square().mean())
    same, other = feature_distances(batch(FACE, FACE), batch(FACE, decoded))
    assert same == 0
    assert other == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


@needs_resmem
def test_the_features_and_the_memorability_take_one_pass() -> None:
    """ResMem runs once on the originals and once on the decoded images, and its score is the metric's."""
    decoded = jpeg(FACE, 10)
    alone = Memorability().score(batch(FACE), batch(decoded))
    passes: list[int] = []
    hook = networks.loaded(resmem, SETUP).register_forward_hook(lambda _network, inputs, _output: passes.append(len(inputs)))
    try:
        reference = batch(FACE)
        coded = Batch(batch(decoded).images, None, reference)
        feature_distances(reference, coded)
        together = Memorability().score(reference, coded)
    finally:
        hook.remove()
    assert len(passes) == 2
    assert together == alone


# ---------------------------------------------------------------------------------------------------------- intervals


def test_the_interval_is_the_normal_one_where_values_are_normal() -> None:
    """For many normal values it lies 1.96 standard errors around the mean."""
    values = np.random.default_rng(1).normal(5, 2, size=400)
    error = values.std() / 20
    assert interval(values) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.1 * error)


def test_the_interval_of_a_difference_is_paired() -> None:
    """What is better on every portrait by the same is so without doubt, however much the portraits differ."""
    values = np.random.default_rng(1).normal(5, 2, size=140)
    assert interval(values + 0.1 - values) == pytest.approx((0.1, 0.1))


# --------------------------------------------------------------------------------------------------------------- bars


def measured(bpp: float = 0.1, psnr: float = 25.0, ssim: float = 0.7, nme: float = 2.0, features: float = 0.2) -> Measured:
    """A setting that does the same to each of ten portraits."""
    values = (bpp, psnr, ssim, ssim, nme, features, 0.01, 100.0, 30.0)
    return Measured(*(np.full(10, value) for value in values))


def results(edge: Mapping[int, Measured]) -> Results:
    """An edge codec with one decoder against opponents that are all alike."""
    opponent = Setting("theirs", replace(measured(bpp=0.12, nme=3.0, features=0.3), memorability=np.full(10, 0.02)))
    settings = {points: Setting(f"neural N={points}", each) for points, each in edge.items()}
    return Results({"neural": settings}, {curve: [opponent] for curve in ("JPEG", "half-size WebP")}, np.full(10, 0.1))


GOOD = {
    0: measured(0.059, 10.0, 0.4, 2.9, 0.5),
    15: measured(0.067, 19.1, 0.5, 2.5, 0.4),
    40: measured(0.075, 22.0, 0.6, 2.3, 0.3),
    122: measured(0.097, 24.6, 0.69, 2.2, 0.2),
}


def test_every_bar_is_held_by_a_codec_that_reaches_them() -> None:
    """None is missed where each limit is kept and each opponent beaten."""
    assert [bar for bar in bars(results(GOOD)) if not bar.held] == []


@pytest.mark.parametrize(
    ("points", "spoilt", "missed"),
    [
        (0, {"bpp": 0.0601}, ["neural N=0: bpp", "edge-only stream by JBIG1 of its raster"]),
        (122, {"psnr": 24.4}, ["neural N=122: PSNR, dB"]),
        (15, {"nme": 2.95}, ["neural N=15: NME, %", "neural, N = 0, 15, 40, 122: NME, %"]),
        (122, {"memorability": 0.03}, ["neural N=122: |Δ memorability|"] * 2),
        (122, {"features": 0.31}, ["neural N=122: features", "neural, N = 0, 15, 40, 122: features"]),
        (122, {"encode_ms": 151.0}, ["neural N=122: encode, median"]),
    ],
)
def test_what_is_worse_is_missed(points: int, spoilt: Mapping[str, float], missed: list[str]) -> None:
    """A value on the wrong side misses the bars that ask for it, and no other."""
    values: dict[str, Any] = {name: np.full(10, value) for name, value in spoilt.items()}
    edge = {**GOOD, points: replace(GOOD[points], **values)}
    assert sorted(bar.what for bar in bars(results(edge)) if not bar.held) == sorted(missed)


def test_a_difference_within_the_interval_makes_no_default() -> None:
    """The network must beat diffusion by more than chance, while a mean suffices against an opponent."""
    good = results(GOOD)
    luck = replace(GOOD[122], nme=GOOD[122].nme + np.where(np.arange(10) % 2, 1.0, -0.9))
    diffusion = {points: Setting("diffusion", each) for points, each in {**GOOD, 122: luck}.items()}
    both = Results({"diffusion": diffusion, **good.edge}, good.opponents, good.jbig1_bpp)
    (bar,) = (bar for bar in bars(both) if "NME" in bar.what and "diffusion" in bar.wanted and "N=122" in bar.what)
    assert not bar.held


# -------------------------------------------------------------------------------------------------------------- cache


def test_the_cache_knows_each_portrait_of_a_setting(tmp_path: Path) -> None:
    """A later process finds what was stored, also for some of the portraits, but nothing for one that was not measured."""
    portraits = Portraits(np.stack([FACE, FACE[::-1], FACE[:, ::-1]]), np.zeros((3, 4)))
    stored = Measured(*np.random.default_rng(0).normal(size=(9, 2)))
    Cache(tmp_path / "cache").put("a", Portraits(portraits.images[:2], portraits.boxes[:2]), stored)
    later = Cache(tmp_path / "cache")
    second = later.get("a", Portraits(portraits.images[1:2], portraits.boxes[1:2]))
    assert second is not None
    assert [second.psnr, second.decode_ms] == [stored.psnr[1:], stored.decode_ms[1:]]
    assert later.get("a", portraits) is None
    assert later.get("b", portraits) is None


# -------------------------------------------------------------------------------------------------- rasters and sheets


@pytest.mark.skipif(shutil.which("pbmtojbg") is None, reason="pbmtojbg is not installed (apt-get install jbigkit-bin)")
def test_jbig1_codes_the_whole_raster(tmp_path: Path) -> None:
    """The stream that is counted decodes to the raster, also where the width is no multiple of 8."""
    raster = edge_raster(codecs.create("edge", points=0).encode(FACE))[:, :203]
    height, width = raster.shape
    bitmap = b"P4\n%d %d\n" % (width, height) + np.packbits(raster, axis=1).tobytes()
    (tmp_path / "raster.pbm").write_bytes(bitmap)
    subprocess.run(["pbmtojbg", "-q", "-s", "256", "raster.pbm", "raster.jbg"], cwd=tmp_path, check=True)
    subprocess.run(["jbgtopbm", "raster.jbg", "again.pbm"], cwd=tmp_path, check=True)
    assert jbig1_bytes(raster) == (tmp_path / "raster.jbg").stat().st_size
    assert (tmp_path / "again.pbm").read_bytes().endswith(np.packbits(raster, axis=1).tobytes())
    assert jbig1_bytes(raster) > jbig1_bytes(np.zeros_like(raster))


def test_a_contact_sheet_shows_each_opponent_at_the_rate_of_122_points() -> None:
    """Its columns are eight; each opponent's picture is of the setting whose bitstream is nearest in length."""
    length = len(codecs.create("edge", points=122).encode(FACE))
    settings = [codecs.create("downscale", codec="webp", quality=quality) for quality in (0, 10, 60)]
    streams = [codec.encode(FACE) for codec in settings]
    nearest = min(range(3), key=lambda place: abs(len(streams[place]) - length))
    sheet = np.array(contact_sheet([FACE], "diffusion", {"one": settings, "other": settings[::-1], "last": settings[2:]}))
    assert sheet.shape == (TITLE_ROWS + 256, 8 * 256, 3)
    upper = slice(TITLE_ROWS, TITLE_ROWS + 200)  # above the rate
    expected = settings[nearest].decode(streams[nearest])[:200]
    assert (sheet[upper, :256] == FACE[:200]).all()
    assert (sheet[upper, 5 * 256 : 6 * 256] == expected).all()
    assert (sheet[upper, 6 * 256 : 7 * 256] == expected).all()
    assert (sheet[upper, 7 * 256 :] == settings[2].decode(streams[2])[:200]).all()
