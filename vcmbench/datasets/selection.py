"""Which images of a listing a run takes, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import duckdb
import pyarrow as pa

from vcmbench.datasets.listing import load, repeated, stream, workspace
from vcmbench.interfaces import UsageError

ORDERED = """
SELECT *, CAST(least(box_width, box_height) AS FLOAT) AS face_size
FROM listing ORDER BY md5($seed || ':' || image) LIMIT $limit
"""

IDENTITIES = """
SELECT identity FROM listing WHERE identity IS NOT NULL GROUP BY identity ORDER BY md5($seed || ':' || identity)
"""


@dataclass(frozen=True)
class Selection:
    """What to take of a data set.

    `limit`: at most so many images. `identities`: only these, or the first so many in the seeded order. `min_face`: only
    faces whose box's shorter side has at least so many pixels of the source; above 0 it drops images without a box.
    `seed`: of the order.
    """

    limit: int | None = None
    identities: int | tuple[str, ...] | None = None
    min_face: float = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, not {self.limit}; leave it out to take every image")
        if self.identities == () or (isinstance(self.identities, int) and self.identities < 1):
            raise UsageError("identities must be names or a number of at least 1; leave it out to take every identity")
        if not 0 <= self.min_face < math.inf:
            raise UsageError(f"min_face must be a number of pixels from 0, not {self.min_face}")


def select(batches: Iterator[pa.RecordBatch], selection: Selection) -> Iterator[pa.RecordBatch]:
    """Take the selected images of a listing in the order of the hexadecimal md5("seed:image").

    That order is a fair shuffle and the same everywhere; a larger limit appends to what a smaller one took. The columns
    are the listing's and `face_size`, the box's shorter side in pixels of the source (float32, null without a box).
    Raises `UsageError` for two images of one name, for unknown identities, and when nothing is left.
    """
    first = next(batches, None)
    if first is None:
        raise UsageError("the data set lists no image; check its root")
    with workspace() as connection:
        load(connection, "listing", first.schema, chain([first], batches))
        twice = repeated(connection, "listing", "image")
        if twice is not None:
            raise UsageError(f"two images are called {twice}; every image needs a name of its own")
        if selection.identities is not None:
            _keep_identities(connection, selection.identities, selection.seed)
        if selection.min_face > 0:
            _keep_large_faces(connection, selection.min_face)
        yield from stream(connection, ORDERED, seed=selection.seed, limit=selection.limit)


def _keep_identities(connection: duckdb.DuckDBPyConnection, wanted: int | tuple[str, ...], seed: int) -> None:
    order = [identity for (identity,) in connection.execute(IDENTITIES, {"seed": seed}).fetchall()]
    if not order:
        raise UsageError("the data set names no identity; leave identities out")
    if isinstance(wanted, int):
        kept = order[:wanted]
    else:
        unknown = sorted(set(wanted) - set(order))
        if unknown:
            raise UsageError(
                f"no identity is called {', '.join(unknown)}; the data set has {len(order):,}, such as {min(order)}"
            )
        kept = list(wanted)
    connection.register("kept", pa.table({"identity": pa.array(kept, pa.string())}))
    connection.execute("DELETE FROM listing WHERE (identity IN (FROM kept)) IS NOT TRUE")


def _keep_large_faces(connection: duckdb.DuckDBPyConnection, min_face: float) -> None:
    counted = connection.execute("SELECT count(*), max(least(box_width, box_height)) FROM listing").fetchall()
    images, largest = counted[0]
    if largest is None:
        raise UsageError(f"min_face {min_face:g} leaves none of {images:,} images: none has a face box; leave min_face out")
    if largest < min_face:
        found = f"the largest face has {largest:g} pixels"
        raise UsageError(f"min_face {min_face:g} leaves none of {images:,} images: {found}; lower min_face")
    connection.execute("DELETE FROM listing WHERE (least(box_width, box_height) >= $size) IS NOT TRUE", {"size": min_face})
