"""What the edge codec's streams and its time are made of: bytes by layer, its rasters in JBIG1, milliseconds by stage."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vcmbench import codecs
from vcmbench.codecs.edge import stream
from vcmbench.codecs.edge.condition import condition
from vcmbench.codecs.edge.detection import detect
from vcmbench.codecs.edge.geometry import COUNTS, Raster
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import Image

Result = TypeVar("Result")


def edge_raster(bitstream: bytes) -> Raster:
    """Return the pixels on the strokes of a stream."""
    held = stream.read(bitstream)
    return rasterise(held.strokes, held.height, held.width)


def layer_bytes(images: Image) -> dict[str, float]:
    """Return the mean bytes of each layer of N×H×W×3 images, in the order of the stream."""
    codec = codecs.create("edge", points=COUNTS[-1])
    layers = [stream.read(codec.encode(image)).layer_bytes for image in images]
    return {name: float(np.mean([each[name] for each in layers])) for name in layers[0]}


# ----------------------------------------------------------------------------------------------------------- JBIG1


def jbig1_bpp(images: Image) -> npt.NDArray[np.float64] | None:
    """Return the rate at which JBIG1 codes each image's raster, an edge-only stream's; None where its coder is missing."""
    if shutil.which("pbmtojbg") is None:
        print("JBIG1 is not measured: pbmtojbg is missing; on Debian and Ubuntu, apt-get install jbigkit-bin")
        return None
    codec = codecs.create("edge", points=0)
    rasters = [edge_raster(codec.encode(image)) for image in images]
    return np.array([8 * jbig1_bytes(raster) / raster.size for raster in rasters])


def jbig1_bytes(raster: Raster) -> int:
    """Return the length of a raster's JBIG1 stream (ITU-T T.82): of one layer and one stripe, which is its shortest."""
    height, width = raster.shape
    bitmap = b"P4\n%d %d\n" % (width, height) + np.packbits(raster, axis=1).tobytes()
    command = ["pbmtojbg", "-q", "-s", str(height), "-"]
    return len(subprocess.run(command, input=bitmap, capture_output=True, check=True).stdout)


# ---------------------------------------------------------------------------------------------------------- stages


def stage_ms(images: Image, *, neural: bool) -> dict[str, float]:
    """Return the median milliseconds of each stage: of encoding all layers, then of decoding 122 points.

    The stages are called one after the other, as the codec calls them; the first image warms them up.
    """
    _stages(images[0], neural=neural)
    found = [_stages(image, neural=neural) for image in images]
    return {stage: float(np.median([each[stage] for each in found])) for stage in found[0]}


def _stages(image: Image, *, neural: bool) -> Mapping[str, float]:
    height, width, _ = image.shape
    ms: dict[str, float] = {}

    def timed(stage: str, call: Callable[[], Result]) -> Result:
        start = time.process_time()
        result = call()
        ms[stage] = 1e3 * (time.process_time() - start)
        return result

    timed("detect edges", lambda: detect(image))
    strokes = timed("trace and rank strokes", lambda: strokes_of(image))
    ms["trace and rank strokes"] -= ms["detect edges"]  # which it contains
    raster = timed("draw strokes", lambda: rasterise(strokes, height, width))
    points = timed("choose points", lambda: choose(image, raster, COUNTS[-1]))
    timed("write the stream", lambda: stream.write(height, width, strokes, points))
    bitstream = stream.write(height, width, strokes, points.first(122))
    held = timed("read the stream", lambda: stream.read(bitstream))
    drawn = timed("draw its strokes", lambda: rasterise(held.strokes, height, width))
    conditions = timed("diffuse", lambda: condition(drawn, held.points))
    if neural:
        from vcmbench.codecs.edge import network  # noqa: PLC0415  # where there are no weights yet, it has nothing to do

        timed("network", lambda: network.reconstruct([conditions]))
    return ms
