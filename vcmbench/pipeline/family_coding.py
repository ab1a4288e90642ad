"""One image for several settings of a family, which look at it once: what a codec process does for them."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from vcmbench.interfaces import Codec, Image
from vcmbench.pipeline.blocks import BlockName, open_block
from vcmbench.pipeline.coding import Coded, Encoded, Failure, decode_one, fault_of, raise_want_of_memory, to_send
from vcmbench.pipeline.processes import describe

Outcome: TypeAlias = Coded | Encoded | Failure


def shares_analysis(codec: Codec) -> bool:
    """Tell whether the codec's family has a way of its own to encode for several settings."""
    return type(codec).encode_many.__func__ is not Codec.encode_many.__func__  # type: ignore[attr-defined]  # of class methods


def code_family(
    codecs: Sequence[Codec],
    places: Sequence[int],
    source: BlockName,
    targets: Sequence[BlockName],
    *,
    with_bitstreams: bool = False,
) -> Iterator[list[Outcome]]:
    """Code the images in these places of a block for each setting, and decode them into the setting's own block.

    Yields, for each image, an outcome for each setting; the time of encoding is shared equally. Settings that fail together
    are tried one by one. What the worker is to decode is only encoded. Raises `MemoryError`, as `code_images` does.
    """
    originals = open_block(source, writable=False)
    decoded = [open_block(target, writable=True) for target in targets]
    decoders: list[Codec] = [pickle.loads(pickle.dumps(codec)) for codec in codecs]  # noqa: S301  # the codecs themselves
    for place in places:
        yield [
            to_send(decode_one(decoder, outcome, images[place]), with_bitstream=with_bitstreams)
            if isinstance(outcome, Encoded) and decoder.runs_in == "process"
            else outcome
            for decoder, outcome, images in zip(decoders, _encode(codecs, originals[place]), decoded, strict=True)
        ]


def code_alone(
    codec: Codec, places: Sequence[int], source: BlockName, target: BlockName, *, with_bitstreams: bool = False
) -> Iterator[Outcome]:
    """Do the same for one setting: yield an outcome for each image."""
    for (outcome,) in code_family([codec], places, source, [target], with_bitstreams=with_bitstreams):
        yield outcome


def _encode(codecs: Sequence[Codec], original: Image) -> list[Encoded | Failure]:
    count = len(codecs)
    try:
        start = time.perf_counter()
        bitstreams = list(type(codecs[0]).encode_many(original, codecs))
        encode_ms = 1e3 * (time.perf_counter() - start) / count
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything, and not all of it can be pickled
        raise_want_of_memory(error)
        if count == 1:
            return [Failure(f"{codecs[0].variant}: {describe(error)}")]
        return [outcome for codec in codecs for outcome in _encode([codec], original)]
    if len(bitstreams) != count:
        return [
            Failure(f"{codecs[0].family}: encode_many returned {len(bitstreams)} bitstreams for {count} settings")
        ] * count
    return [
        fault_of(codec, bitstream) or Encoded(bitstream, encode_ms)
        for codec, bitstream in zip(codecs, bitstreams, strict=True)
    ]
