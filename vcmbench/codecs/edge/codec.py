"""The edge codec as a family of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import cv2
import numpy as np

from vcmbench.codecs._image import check_image
from vcmbench.codecs.edge import stream
from vcmbench.codecs.edge.condition import Condition, condition
from vcmbench.codecs.edge.geometry import COUNTS, LARGEST, SMALLEST, Points
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import DEFAULT_BUDGET, strokes_of
from vcmbench.interfaces import Codec, Image, ImageError, Parameter, ParameterError

NUMBERS = (0, *COUNTS)
NO_POINTS = Points(np.zeros((0, 2), np.int32), np.zeros((0, 3), np.int32))


class Edge(Codec):
    """A sparse edge map and N key reference pixels, after Yang et al., "Towards Coding for Human and Machine Vision" (2021).

    The bitstream is scalable: that of fewer points is the beginning of that of more, so that any prefix which ends at a
    layer is a bitstream. How many points it has is seen from the bytes, whatever setting decodes it.
    """

    family = "edge"
    summary = "the scalable face codec: a vectorised edge map, then key reference pixels"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "points": Parameter(122, f"key reference pixels: {', '.join(map(str, NUMBERS))}", minimum=0, maximum=NUMBERS[-1]),
        "decoder": Parameter("neural", "what makes a picture of them", choices=("diffusion", "neural")),
        "edge_budget": Parameter(DEFAULT_BUDGET, "thousandths of a bit per pixel for the edges", minimum=0, maximum=500),
    }
    rate_parameter: str | None = "points"
    scalable = True

    def __init__(self, **params: object) -> None:
        """Resolve the defaults; raise `ParameterError` for a number of points at which no layer ends."""
        super().__init__(**params)
        self.points, self.edge_budget = (cast(int, self.params[name]) for name in ("points", "edge_budget"))
        if self.points not in NUMBERS:
            raise ParameterError(f"edge: points must be one of {', '.join(map(str, NUMBERS))}, not {self.points}")
        self.is_neural = self.params["decoder"] == "neural"
        self.runs_in = "both" if self.is_neural else "process"

    def backend(self) -> str:
        """Name OpenCV and NumPy, by which edges and points are found, and what the network runs on."""
        classical = f"OpenCV {cv2.__version__}, NumPy {np.__version__}"
        if not self.is_neural:
            return classical
        from vcmbench.codecs.edge import network  # noqa: PLC0415  # needs torch

        return f"{classical}, {network.backend()}"

    def encode(self, image: Image) -> bytes:
        """Code H×W×3 uint8; raise `ImageError` for a side outside 32 to 1,024 pixels."""
        return self.encode_many(image, [self])[0]

    @classmethod
    def encode_many(cls, image: Image, settings: Sequence[Codec]) -> list[bytes]:
        """Code one image for several settings of this family, looking once for its strokes and points."""
        check_image(image)
        height, width, _ = image.shape
        if min(height, width) < SMALLEST or max(height, width) > LARGEST:
            raise ImageError(f"edge codes sides of {SMALLEST} to {LARGEST} pixels; the image is {width}×{height}")
        return _encoded(image, cast(Sequence[Edge], settings))

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the image; raise `BitstreamError` for bytes that do not end at a layer, or are none of this codec."""
        return self.decode_batch([bitstream])[0]

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Rebuild several images; those of the network together."""
        conditions = [_condition(bitstream) for bitstream in bitstreams]
        if not self.is_neural:
            return [np.rint(each.diffused).astype(np.uint8) for each in conditions]
        from vcmbench.codecs.edge import network  # noqa: PLC0415  # needs torch

        return network.reconstruct(conditions, self.device)


def _encoded(image: Image, settings: Sequence[Edge]) -> list[bytes]:
    """The settings of one budget share the strokes, and the points of the largest number."""
    height, width, _ = image.shape
    streams: dict[tuple[int, int], bytes] = {}
    for budget in {setting.edge_budget for setting in settings}:
        numbers = {setting.points for setting in settings if setting.edge_budget == budget}
        strokes = strokes_of(image, budget)
        points = choose(image, rasterise(strokes, height, width), max(numbers)) if any(numbers) else NO_POINTS
        streams |= {(budget, number): stream.write(height, width, strokes, points.first(number)) for number in numbers}
    return [streams[setting.edge_budget, setting.points] for setting in settings]


def _condition(bitstream: bytes) -> Condition:
    held = stream.read(bitstream)
    return condition(held.raster, held.points)
