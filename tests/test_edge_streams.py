"""Stored streams of the edge codec: every machine and every later release reads the same out of them."""

from __future__ import annotations

import json

import pytest
from edge_streams import EXPECTED, FOLDER, contents

from vcmbench.codecs.edge import Edge
from vcmbench.codecs.edge.stream import read

STORED = json.loads(EXPECTED.read_text())


@pytest.mark.parametrize("name", STORED)
def test_a_stored_stream_is_read_as_when_it_was_written(name: str) -> None:
    """Strokes, points and the lengths of layers are to the bit what they were."""
    assert contents(read((FOLDER / f"{name}.edge").read_bytes())) == STORED[name]


@pytest.mark.parametrize("name", STORED)
def test_a_stored_stream_becomes_a_picture_of_its_size(name: str) -> None:
    """Every prefix that ends at a layer is decoded to the size that its header states."""
    bitstream = (FOLDER / f"{name}.edge").read_bytes()
    for end in read(bitstream).ends[1:]:
        assert [*Edge().decode(bitstream[:end]).shape] == [*STORED[name]["size"], 3]
