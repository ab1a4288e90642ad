"""Point layers as bits: which cells have a point, then their levels.

Everything here is in whole numbers, so that any machine reads the same points.
"""

from __future__ import annotations

import numpy as np

from vcmbench.codecs.edge import point_levels, point_places, priors
from vcmbench.codecs.edge.geometry import Points, Raster
from vcmbench.codecs.edge.point_places import Code
from vcmbench.codecs.edge.range_coder import Contexts, Decoder, Encoder

SHAPES = {"place": point_places.SHAPE, **point_levels.SHAPES}
"""The contexts of each group, in as many ways as they differ."""

_NO_CELLS = np.zeros((0, 2), np.int32)


def write_points(encoder: Encoder, layer: Points, earlier: Points, raster: Raster) -> None:
    """Code the points of a layer, in any order, given those of the earlier ones and the strokes (H×W)."""
    contexts = _contexts()

    def code(value: int, group: str, context: int) -> int:
        encoder.bit(value, contexts[group], context)
        return value

    code_points(code, layer, len(layer), earlier, raster)


def read_points(decoder: Decoder, count: int, earlier: Points, raster: Raster) -> Points:
    """Return the `count` points of a layer in reading order; raise `BitstreamError` for what cannot be."""
    contexts = _contexts()
    bit = decoder.bit

    def code(_: int, group: str, context: int) -> int:
        return bit(contexts[group], context)

    return code_points(code, None, count, earlier, raster)


def code_points(code: Code, layer: Points | None, count: int, earlier: Points, raster: Raster) -> Points:
    """Code the `count` points of a layer, known only when encoding; return them in reading order."""
    given = _NO_CELLS if layer is None else layer.cells
    cells = np.array(point_places.code_places(code, given, count, earlier, raster), np.int32)
    if layer is None:
        return Points(cells, point_levels.read_levels(code, cells, earlier, raster))
    levels = layer.levels[np.lexsort(given.T[::-1])]
    point_levels.write_levels(code, cells, levels, earlier, raster)
    return Points(cells, levels)


def _contexts() -> dict[str, Contexts]:
    return {group: Contexts(prior) for group, prior in priors.load("point").items()}
