"""Streams of the edge codec that were written once and must be read alike for ever, and the command that writes them.

    .venv/bin/python tests/edge_streams.py

Write them again only where the codec's version is raised: a stream that anybody stored is decoded by this code, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from skimage.data import astronaut

from vcmbench.codecs.edge import Edge
from vcmbench.codecs.edge.stream import Stream, read
from vcmbench.interfaces import Image

FOLDER = Path(__file__).with_name("edge_streams")
EXPECTED = FOLDER / "expected.json"


def pictures() -> Mapping[str, Image]:
    """Faces and other pictures, of usual and unusual sizes."""
    photograph: Image = astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no type hints
    face = photograph[:256, 100:356]
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:97, :61]
    return {
        "face": face,
        "small": face[20:180:3, 40:200:3],
        "wide": photograph[150:190],
        "noise": generator.integers(0, 256, (64, 96, 3), np.uint8),
        "one_colour": np.full((40, 40, 3), (10, 200, 90), np.uint8),
        "rings": np.repeat((np.hypot(rows - 40, columns - 30)[..., None] // 6 * 8).astype(np.uint8), 3, 2),
    }


def contents(held: Stream) -> dict[str, object]:
    """Spell what a stream holds: its layers' lengths, and hashes of the whole numbers in it."""
    vertices = [
        np.array([len(held.strokes), *map(len, held.strokes)], ">i4"),
        *(each.astype(">i4") for each in held.strokes),
    ]
    points = (held.points.cells.astype(">i4"), held.points.levels.astype(">i4"))
    return {
        "size": [held.height, held.width],
        "layers": held.layer_bytes,
        "strokes": hashlib.sha256(b"".join(part.tobytes() for part in vertices)).hexdigest(),
        "points": hashlib.sha256(b"".join(part.tobytes() for part in points)).hexdigest(),
    }


def main() -> None:
    """Write a stream with all layers of each picture, and what it holds."""
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, picture in pictures().items():
        bitstream = Edge(points=1000).encode(np.ascontiguousarray(picture))
        (FOLDER / f"{name}.edge").write_bytes(bitstream)
        expected[name] = contents(read(bitstream))
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
