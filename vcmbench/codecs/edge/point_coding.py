"""Point layers as bits: which cells have a point, then their levels.

Everything here is in whole numbers, so that any machine reads the same points.
"""

from __future__ import annotations

import numpy as np

from vcmbench.codecs.edge import point_levels, point_places, priors
from vcmbench.codecs.edge.geometry import Points, Raster
from vcmbench.codecs.edge.point_places import Code
from vcmbench.codecs.edge.range_coder import Decoder, Encoder

_NO_CELLS = np.zeros((0, 2), np.int32)


def write_points(layer: Points, earlier: Points, raster: Raster) -> bytes:
    """Return a layer of points, which may be in any order, given those of the earlier ones and the strokes (H×W)."""
    encoder = Encoder(priors.of_contexts("point", point_levels.GROUPS))
    code_points(encoder.bit, layer, len(layer), earlier, raster)
    return encoder.finish()


def read_points(stream: bytes, start: int, count: int, earlier: Points, raster: Raster) -> tuple[Points, int]:
    """Return the `count` points, in reading order, of a layer that begins at a place in a stream, and where it ends.

    Raises `BitstreamError` for what cannot be.
    """
    decoder = Decoder(priors.of_contexts("point", point_levels.GROUPS), stream, start)
    return code_points(decoder.bit, None, count, earlier, raster), decoder.end


def code_points(code: Code, layer: Points | None, count: int, earlier: Points, raster: Raster) -> Points:
    """Code the `count` points of a layer, known only when encoding; return them in reading order."""
    given = _NO_CELLS if layer is None else layer.cells
    cells = np.array(point_places.code_places(code, given, count, earlier, raster), np.int32)
    if layer is None:
        return Points(cells, point_levels.read_levels(code, cells, earlier, raster))
    levels = layer.levels[np.lexsort(given.T[::-1])]
    point_levels.write_levels(code, cells, levels, earlier, raster)
    return Points(cells, levels)
