"""From polylines to pixels. Normative: encoder and decoder must agree on every pixel, so there are only whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcmbench.codecs.edge.geometry import Raster, Stroke


def rasterise(strokes: Sequence[Stroke], height: int, width: int) -> Raster:
    """Return the height×width pixels on the strokes, whose vertices must lie inside.

    A segment has one pixel for each step of its longer direction, as Bresenham's (1965) does: the one nearest to the
    line, and of two equally near ones that with the larger row or column. So a stroke's direction does not matter.
    """
    raster = np.zeros((height, width), np.bool_)
    if not strokes:
        return raster
    vertices = np.concatenate(strokes).astype(np.int64)
    goes_on = np.ones(len(vertices), np.bool_)
    goes_on[np.cumsum([len(stroke) for stroke in strokes]) - 1] = False
    starts = vertices[goes_on]
    spans = vertices[1:][goes_on[:-1]] - starts
    steps = np.abs(spans).max(axis=1)
    counts = steps + 1
    segment = np.repeat(np.arange(len(steps)), counts)
    step = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
    longer = steps[segment]
    for_each = (starts[segment].T, spans[segment].T)
    rows, columns = (start + (2 * step * span + longer) // (2 * longer) for start, span in zip(*for_each, strict=True))
    raster[rows, columns] = True
    return raster
