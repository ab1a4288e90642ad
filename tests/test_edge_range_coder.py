"""The edge codec's range coder: what is coded comes back, costs what it should, and ends where the decoder can tell."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcmbench.codecs.edge.range_coder import FAST, PRECISION, SLOW, STATE_BYTES, Coder, Decoder, Encoder
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
    encoder = Encoder([*PRIOR, *TREE_PRIOR])
    for symbol in coded:
        code(encoder, *symbol)
    return encoder.finish()


def decode(decoder: Decoder, coded: list[tuple[str, int, int]]) -> list[int]:
    """Decode as many symbols of the same kinds."""
    return [code(decoder, kind, 0, which) for kind, _, which in coded]


def code(coder: Coder, kind: str, value: int, which: int) -> int:
    """Code a symbol."""
    if kind == "bit":
        return coder.bit(value, which)
    if kind == "tree":
        return coder.tree(value, TREE_BITS, len(PRIOR) + (which << TREE_BITS))
    return coder.uniform(value, which)


def decoder_of(stream: bytes, start: int = 0) -> Decoder:
    """Return a decoder for what `encode` codes."""
    return Decoder([*PRIOR, *TREE_PRIOR], stream, start)


@given(symbols, st.binary(max_size=9), st.sampled_from([b"", b"\x00" * 9, b"\xff" * 9]))
def test_a_layer_comes_back_and_ends_by_itself(coded: list[tuple[str, int, int]], before: bytes, behind: bytes) -> None:
    """Whatever stands before and behind a layer, its symbols come back and its end is found."""
    layer = encode(coded)
    decoder = decoder_of(before + layer + behind, len(before))
    assert decode(decoder, coded) == [value for _, value, _ in coded]
    assert decoder.end == len(before) + len(layer)


@given(symbols)
def test_a_layer_costs_what_its_symbols_say(coded: list[tuple[str, int, int]]) -> None:
    """A layer has the bytes of its symbols' information and at most two more."""
    estimates = np.array([[*PRIOR, *TREE_PRIOR]] * 2)
    information = 0.0
    for kind, value, which in coded:
        if kind == "bit":
            information += cost(estimates, which, value)
        elif kind == "tree":
            node = 1
            for shift in reversed(range(TREE_BITS)):
                information += cost(estimates, len(PRIOR) + (which << TREE_BITS) + node, value >> shift & 1)
                node = 2 * node + (value >> shift & 1)
        else:
            information += math.log2(which)
    assert len(encode(coded)) <= information / 8 + 2.001


def cost(estimates: npt.NDArray[np.int_], context: int, value: int) -> float:
    """Return the information of a bit, and move the fast and the slow estimate of its context towards it."""
    zero = estimates[:, context].mean() / (1 << PRECISION)
    for row, shift in enumerate((FAST, SLOW)):
        if value:
            estimates[row, context] -= estimates[row, context] >> shift
        else:
            estimates[row, context] += (1 << PRECISION) - estimates[row, context] >> shift
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
    assert decode(decoder_of(layer), coded) == [value for _, value, _ in coded]


def test_a_long_mixture_comes_back() -> None:
    """A hundred thousand symbols of all probabilities come back."""
    random = np.random.default_rng(0)
    contexts = random.integers(0, len(PRIOR), 100_000).tolist()
    coded = [("bit", int(random.random() < (which + 1) / 6), which) for which in contexts]
    decoder = decoder_of(encode(coded))
    assert decode(decoder, coded) == [value for _, value, _ in coded]


def test_reading_on_behind_the_stream_is_refused() -> None:
    """A decoder that has used up its stream raises instead of inventing symbols for ever."""
    decoder = decoder_of(b"\x12\x34\x56")
    with pytest.raises(BitstreamError, match="ends inside a layer"):
        decode(decoder, [("bit", 0, 2)] * 1000)


def test_a_cut_layer_ends_behind_the_stream() -> None:
    """Without its last byte a layer is refused, or its end lies behind the stream."""
    coded = [("uniform", 123, 256)] * (2 * STATE_BYTES)
    stream = encode(coded)[:-1]
    decoder = decoder_of(stream)
    decode(decoder, coded)
    assert decoder.end > len(stream)
