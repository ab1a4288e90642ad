"""The edge codec against JPEG, WebP and AVIF, each at full and half size, on portraits: every bar, and contact sheets.

Each setting codes, decodes and scores every portrait, one at a time on one core. Rates are those of the real bitstreams.
Means have 95 % bootstrap intervals over portraits; two settings are compared by the differences on the same portraits.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/edge.py [--portraits PATH] [--images 140]
        [--decoders diffusion neural] [--points 0 15 40 122 ...] [--opponents JPEG WebP ...]
        [--boxes dataset|detector] [--cache FILE]
    .venv/bin/python benchmarks/edge.py --contact-sheet FILE.png [--sheet-portraits 8] [--decoders neural]

The landmark network and the face detector are expected in `weights` beside the portraits. `--cache` keeps what the opponents
scored, which takes most of the time. Times are of the processor, so that a neighbour does not count. JBIG1 needs `pbmtojbg`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from edge_bars import HALF_WEBP, JPEG, WEBP, Bar, Results, Setting, bars
from edge_contact_sheet import contact_sheet
from edge_parts import jbig1_bpp, layer_bytes, stage_ms
from measuring import PORTRAITS, keep_to_cores, machine, print_table
from portrait_measures import MEASURES, Cache, Laboratory, interval
from portraits import load_portraits
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from vcmbench import codecs
from vcmbench.codecs.edge.geometry import COUNTS
from vcmbench.interfaces import Codec, Image

DECODERS = ("diffusion", "neural")
"""The last one that is measured is compared with the opponents."""
POINTS = (0, *COUNTS)


@dataclass(frozen=True)
class Curve:
    """A family and the qualities that span 0.05 to 0.3 bpp, lowest first."""

    family: str
    qualities: Sequence[int]
    options: Mapping[str, object] = field(default_factory=dict)

    def codec(self, quality: int) -> Codec:
        """Return the setting of that quality."""
        return codecs.create(self.family, quality=quality, **self.options)


OPPONENTS = {
    JPEG: Curve("jpeg", (1, 4, 6, 7, 11), {"optimize": True}),
    "half-size JPEG": Curve("downscale", (1, 8, 20, 50), {"codec": "jpeg", "optimize": True}),
    WEBP: Curve("webp", (0, 2, 5, 12)),
    HALF_WEBP: Curve("downscale", (0, 3, 5, 8, 10, 25, 75), {"codec": "webp"}),
    "AVIF": Curve("avif", (0, 10, 20, 30)),
    "half-size AVIF": Curve("downscale", (0, 12, 25, 40, 60), {"codec": "avif"}),
}


def measure_all(
    laboratory: Laboratory, curves: Sequence[str], decoders: Sequence[str], numbers: Sequence[int], cache: Cache
) -> Results:
    """Measure the opponents' curves, then the edge codec with each decoder and number of points."""
    opponents = {
        curve: [
            measure_opponent(laboratory, f"{curve} q{quality}", OPPONENTS[curve].codec(quality), cache)
            for quality in OPPONENTS[curve].qualities
        ]
        for curve in curves
    }
    edge = {decoder: {points: measure_edge(laboratory, decoder, points) for points in numbers} for decoder in decoders}
    return Results(edge, opponents, jbig1_bpp(laboratory.portraits.images) if decoders else None)


def measure_opponent(laboratory: Laboratory, name: str, codec: Codec, cache: Cache) -> Setting:
    """Measure a setting, unless that was done before."""
    identity = laboratory.identity(codec)
    measured = cache.get(identity, laboratory.portraits)
    if measured is None:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        measured = laboratory.measure(codec)
        cache.put(identity, laboratory.portraits, measured)
    return Setting(name, measured)


def measure_edge(laboratory: Laboratory, decoder: str, points: int) -> Setting:
    """Measure a setting of the edge codec, always anew."""
    name = f"{decoder} N={points}"
    print(f"measuring {name}", file=sys.stderr, flush=True)
    return Setting(name, laboratory.measure(codecs.create("edge", points=points, decoder=decoder)))


# ---------------------------------------------------------------------------------------------------------- report


def print_settings(results: Results) -> None:
    """Print one table of all settings."""
    header = ["setting", *(measure.title for measure in MEASURES.values()), "median NME, %", "encode, ms", "decode, ms"]
    edge = [setting for settings in results.edge.values() for setting in settings.values()]
    print_table(header, [_row(setting) for settings in (*results.opponents.values(), edge) for setting in settings])


def _row(setting: Setting) -> list[str]:
    cells = []
    for name, measure in MEASURES.items():
        values = getattr(setting.measured, name)
        low, high = interval(values)
        cells.append(f"{values.mean():{measure.form}} ±{(high - low) / 2:{measure.form}}")
    measured = setting.measured
    times = [f"{np.median(ms):.1f}" for ms in (measured.encode_ms, measured.decode_ms)]
    return [setting.name, *cells, f"{np.median(measured.nme):.2f}", *times]


def print_bars(lines: Sequence[Bar]) -> None:
    """Print one line for each bar, and how many are held."""
    rows = [[bar.what, bar.wanted, bar.measured, "held" if bar.held else "missed"] for bar in lines]
    print_table(["bar", "wanted", "measured", ""], rows)
    print(f"\n{sum(bar.held for bar in lines)} of {len(lines)} bars are held")


def print_parts(images: Image, *, neural: bool) -> None:
    """Print where the bytes and the milliseconds are."""
    print_table(["layer", "mean bytes"], [[layer, f"{size:.1f}"] for layer, size in layer_bytes(images).items()])
    print()
    stages = stage_ms(images, neural=neural)
    print_table(["stage", "median ms"], [[stage, f"{ms:.1f}"] for stage, ms in stages.items()])


def write_contact_sheet(file: Path, images: Image, count: int, decoder: str) -> None:
    """Draw portraits from all over the data set, beside three opponents in every quality that may be near."""
    shown = images[np.linspace(0, len(images) - 1, count).astype(int)]
    curves = {name: OPPONENTS[name] for name in (JPEG, WEBP, HALF_WEBP)}
    near = {name: [curve.codec(quality) for quality in range(curve.qualities[0], 31)] for name, curve in curves.items()}
    contact_sheet(shown, decoder, near).save(file)


def main() -> None:
    """Measure and print the tables, or draw a contact sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS, help="a folder in VGGFace2's layout")
    parser.add_argument("--images", type=int, default=140)
    parser.add_argument("--decoders", nargs="*", choices=DECODERS, default=DECODERS)
    parser.add_argument("--points", nargs="*", type=int, choices=POINTS, default=POINTS, help="the bars need 0 15 40 122")
    parser.add_argument("--opponents", nargs="*", choices=OPPONENTS, default=tuple(OPPONENTS))
    parser.add_argument(
        "--boxes", choices=("dataset", "detector"), default="dataset", help="whose face boxes NME is found in"
    )
    parser.add_argument("--cache", type=Path, help="where to keep what the opponents scored")
    parser.add_argument("--contact-sheet", type=Path, help="a PNG file to draw, of the last decoder, instead of measuring")
    parser.add_argument("--sheet-portraits", type=int, default=8)
    options = parser.parse_args()
    keep_to_cores(1)
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's BLAS counted the cores when it was imported

    portraits = load_portraits(options.portraits, options.images)
    if options.contact_sheet:
        write_contact_sheet(options.contact_sheet, portraits.images, options.sheet_portraits, options.decoders[-1])
        return
    print(machine("torch", "pillow", "numpy", "onnxruntime", "opencv-contrib-python-headless", "resmem"))
    laboratory = Laboratory(portraits, options.portraits.parent / "weights", options.boxes)
    results = measure_all(laboratory, options.opponents, options.decoders, options.points, Cache(options.cache))
    print(
        f"{len(portraits.images)} portraits at 256×256, one core; NME in the {options.boxes}'s face boxes of the originals;"
    )
    print("means ± half the width of their 95 % intervals, times are medians\n")
    print_settings(results)
    if options.decoders:
        print()
        print_parts(portraits.images, neural="neural" in options.decoders)
        print()
        print_bars(list(bars(results)))


if __name__ == "__main__":
    main()
