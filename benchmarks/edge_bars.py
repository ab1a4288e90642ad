"""What the edge codec is to reach, against limits and against its opponents: wanted, measured, held or missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from portrait_measures import MEASURES, Measured, Values, interval

COMPARED_POINTS = (0, 15, 40, 122)
JPEG, WEBP, HALF_WEBP = "JPEG", "WebP", "half-size WebP"


@dataclass(frozen=True)
class Setting:
    """One setting, as the table calls it, and what it does."""

    name: str
    measured: Measured


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    edge: Mapping[str, Mapping[int, Setting]]
    """Decoder → points → the setting; the last decoder is the one that opponents are compared with."""
    opponents: Mapping[str, Sequence[Setting]]
    """Curve → its settings."""
    jbig1_bpp: Values | None
    """Of the edge-only streams' rasters; None where there is no coder for it."""

    def nearest(self, curve: str, rate: float) -> Setting:
        """Return the setting of a curve whose mean rate in bpp is nearest."""
        return min(self.opponents[curve], key=lambda setting: abs(setting.measured.bpp.mean() - rate))


@dataclass(frozen=True)
class Bar:
    """One line of the report."""

    what: str
    wanted: str
    measured: str
    held: bool


def bars(results: Results) -> Iterator[Bar]:
    """Yield every bar that what was measured can tell of."""
    *_, best = results.edge
    yield from _rate_bars(results, best)
    for decoder, psnr, ssim in (("diffusion", 24.3, 0.65), ("neural", 24.5, 0.68)):
        if decoder in results.edge:
            yield _limit("psnr", results.edge[decoder][122], psnr)
            yield _limit("ssim", results.edge[decoder][122], ssim)
    if "neural" in results.edge:
        yield _limit("psnr", results.edge["neural"][15], 19.0)
    yield from _machine_bars(results, best)
    yield from _progress_bars(results, best)
    yield from _decoder_bars(results)
    yield from _time_bars(results)


def _rate_bars(results: Results, decoder: str) -> Iterator[Bar]:
    for points, limit in ((0, 0.060), (15, 0.068), (122, 0.098)):
        yield _limit("bpp", results.edge[decoder][points], limit)
    if results.jbig1_bpp is not None:
        share = results.edge[decoder][0].measured.bpp.mean() / results.jbig1_bpp.mean()
        yield Bar("edge-only stream by JBIG1 of its raster", "≤ 0.60", f"{share:.3f}", bool(share <= 0.60))


def _machine_bars(results: Results, decoder: str) -> Iterator[Bar]:
    edge = results.edge[decoder]
    rate = float(edge[122].measured.bpp.mean())
    yield _better("nme", edge[122], results.nearest(HALF_WEBP, rate))
    yield _better("nme", edge[122], results.nearest(JPEG, 2 * rate))
    yield _limit("nme", edge[15], 2.7)
    yield _better("nme", edge[0], results.opponents[JPEG][0])
    yield _limit("nme", edge[0], 4.3)
    yield _better("features", edge[122], results.nearest(JPEG, 0.2))
    yield _better("memorability", edge[122], results.nearest(JPEG, rate))
    yield _better("memorability", edge[122], results.nearest(HALF_WEBP, rate))


def _progress_bars(results: Results, decoder: str) -> Iterator[Bar]:
    for name in ("psnr", "ssim", "nme", "features"):
        measure = MEASURES[name]
        means = [float(getattr(results.edge[decoder][points].measured, name).mean()) for points in COMPARED_POINTS]
        held = all(_is_better(name, after - before) for before, after in pairwise(means))
        what = f"{decoder}, N = {', '.join(map(str, COMPARED_POINTS))}: {measure.title}"
        yield Bar(what, "each better than the one before", " → ".join(f"{mean:{measure.form}}" for mean in means), held)


def _decoder_bars(results: Results) -> Iterator[Bar]:
    if not {"diffusion", "neural"} <= set(results.edge):
        return
    for points in (0, 15, 122):
        for name in ("nme", "features"):
            yield _better(name, results.edge["neural"][points], results.edge["diffusion"][points], beyond_interval=True)


def _time_bars(results: Results) -> Iterator[Bar]:
    for decoder, settings in results.edge.items():
        most = settings[max(settings)]
        encode, decode = (float(np.median(ms)) for ms in (most.measured.encode_ms, settings[122].measured.decode_ms))
        yield Bar(f"{most.name}: encode, median", "≤ 150 ms", f"{encode:.1f} ms", encode <= 150)
        yield Bar(f"{decoder} N=122: decode, median", "≤ 40 ms", f"{decode:.1f} ms", decode <= 40)


def _limit(name: str, setting: Setting, limit: float) -> Bar:
    """The mean is as good as the limit, or better."""
    measure = MEASURES[name]
    values = getattr(setting.measured, name)
    mean, (low, high) = float(values.mean()), interval(values)
    sign = "≤" if measure.better == "lower" else "≥"
    held = mean == limit or _is_better(name, mean - limit)
    measured = f"{mean:{measure.form}} ({low:{measure.form}} to {high:{measure.form}})"
    return Bar(f"{setting.name}: {measure.title}", f"{sign} {limit:g}", measured, held)


def _better(name: str, ours: Setting, theirs: Setting, *, beyond_interval: bool = False) -> Bar:
    """The mean is better than the other's; if so asked, by more than the paired interval of the difference."""
    measure = MEASURES[name]
    one, other = getattr(ours.measured, name), getattr(theirs.measured, name)
    low, high = interval(one - other)
    means = f"{one.mean():{measure.form}} against {other.mean():{measure.form}}"
    difference = f"{one.mean() - other.mean():+{measure.form}} ({low:+{measure.form}} to {high:+{measure.form}})"
    judged = (low, high) if beyond_interval else (float((one - other).mean()),)
    rate = theirs.measured.bpp.mean()
    wanted = f"better than {theirs.name} at {rate:.3f} bpp" + (", beyond the interval" if beyond_interval else "")
    held = all(_is_better(name, value) for value in judged)
    return Bar(f"{ours.name}: {measure.title}", wanted, f"{means}: {difference}", held)


def _is_better(name: str, difference: float) -> bool:
    return difference < 0 if MEASURES[name].better == "lower" else difference > 0
