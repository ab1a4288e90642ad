"""The edge codec's range coder: what is coded comes back, costs what it should, and ends where the decoder can tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcmbench.codecs.edge.range_coder import PRECISION, STATE_BYTES, Contexts, Decoder, Encoder
from vcmbench.interfaces import BitstreamError

PRIOR = [1, 100, 1 << PRECISION - 1, (1 << PRECISION) - 100, (1 << PRECISION) - 1]
TREE_BITS = 3
TREE_PRIOR = [1 << PRECISION - 1] * (2 << TREE_BITS)

bits = st.tuples(st.just("bit"), st.integers(0, 1), st.integers(0, len(PRIOR) - 1))
trees = st.tuples(st.just("tree"), st.integers(0, (1 << TREE_BITS) - 1), st.integers(0, 1))
counts = st.integers(1, 1 << 16)
numbers = counts.flatmap(lambda count: st.tuples(st.just("uniform"), st.integers(0, count - 1), st.just(count)))
symbols = st.lists(st.one_of(bits, trees, numbers), max_size=300)


def encode(coded: list[tuple[str, int, int]]) -> bytes:
    """Code symbols of all kinds into one layer."""
    encoder, contexts, nodes = Encoder(), Contexts(PRIOR), Contexts(TREE_PRIOR)
    for kind, value, which in coded:
        if kind == "bit":
            encoder.bit(value, contexts, which)
        elif kind == "tree":
            encoder.tree(value, TREE_BITS, nodes, which << TREE_BITS)
        else:
            encoder.uniform(value, which)
    return encoder.finish()


def decode(decoder: Decoder, coded: list[tuple[str, int, int]]) -> list[int]:
    """Decode as many symbols of the same kinds."""
    contexts, nodes = Contexts(PRIOR), Contexts(TREE_PRIOR)
    values = []
    for kind, _, which in coded:
        if kind == "bit":
            values.append(decoder.bit(contexts, which))
        elif kind == "tree":
            values.append(decoder.tree(TREE_BITS, nodes, which << TREE_BITS))
        else:
            values.append(decoder.uniform(which))
    return values


@given(symbols, st.binary(max_size=9), st.sampled_from([b"", b"\x00" * 9, b"\xff" * 9]))
def test_a_layer_comes_back_and_ends_by_itself(coded: list[tuple[str, int, int]], before: bytes, behind: bytes) -> None:
    """Whatever stands before and behind a layer, its symbols come back and its end is found."""
    layer = encode(coded)
    decoder = Decoder(before + layer + behind, len(before))
    assert decode(decoder, coded) == [value for _, value, _ in coded]
    assert decoder.end == len(before) + len(layer)


@given(symbols)
def test_a_layer_costs_what_its_symbols_say(coded: list[tuple[str, int, int]]) -> None:
    """A layer has the bytes of its symbols' information and at most two more."""
    prior, nodes = Contexts(PRIOR), Contexts(TREE_PRIOR)
    information = 0.0
    for kind, value, which in coded:
        if kind == "bit":
            information += cost(prior, which, value)
        elif kind == "tree":
            node = 1
            for shift in reversed(range(TREE_BITS)):
                information += cost(nodes, (which << TREE_BITS) + node, value >> shift & 1)
                node = 2 * node + (value >> shift & 1)
        else:
            information += math.log2(which)
    assert len(encode(coded)) <= information / 8 + 2.001


def cost(contexts: Contexts, context: int, value: int) -> float:
    """Return the information of a bit, and adapt to it by coding it."""
    zero = (contexts.fast[context] + contexts.slow[context]) / (2 << PRECISION)
    Encoder().bit(value, contexts, context)
    return -math.log2(1 - zero if value else zero)


def test_contexts_learn() -> None:
    """A thousand equal bits cost far less than a bit each, in either value."""
    for value in (0, 1):
        assert len(encode([("bit", value, 2)] * 1000)) < 20


def test_a_carry_runs_through_full_bytes() -> None:
    """Thirds that close in on a half from below give 7f ff ff…; what then exceeds it carries into all of these bytes."""
    half, low, width = 1 << 8 * STATE_BYTES - 1, 0, (1 << 8 * STATE_BYTES) - 1
    coded: list[tuple[str, int, int]] = []
    while len(coded) < 200 or (half - low) // (width // 3) == 2:
        width //= 3
        third = (half - low) // width
        coded.append(("uniform", third, 3))
        low += third * width
        while width < 1 << 8 * (STATE_BYTES - 1):
            half, low, width = half << 8, low << 8, width << 8
    coded.append(("uniform", 2, 3))
    layer = encode(coded)
    assert layer.startswith(b"\x80" + b"\x00" * 30)
    assert decode(Decoder(layer, 0), coded) == [value for _, value, _ in coded]


def test_a_long_mixture_comes_back() -> None:
    """A hundred thousand symbols of all probabilities come back."""
    random = np.random.default_rng(0)
    contexts = random.integers(0, len(PRIOR), 100_000).tolist()
    coded = [("bit", int(random.random() < (which + 1) / 6), which) for which in contexts]
    decoder = Decoder(encode(coded), 0)
    assert decode(decoder, coded) == [value for _, value, _ in coded]


def test_reading_on_behind_the_stream_is_refused() -> None:
    """A decoder that has used up its stream raises instead of inventing symbols for ever."""
    decoder = Decoder(b"\x12\x34\x56", 0)
    with pytest.raises(BitstreamError, match="ends inside a layer"):
        decode(decoder, [("bit", 0, 2)] * 1000)


def test_a_cut_layer_ends_behind_the_stream() -> None:
    """Without its last byte a layer is refused, or its end lies behind the stream."""
    coded = [("uniform", 123, 256)] * (2 * STATE_BYTES)
    stream = encode(coded)[:-1]
    decoder = Decoder(stream, 0)
    decode(decoder, coded)
    assert decoder.end > len(stream)
