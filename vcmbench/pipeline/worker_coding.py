"""Coding in the worker itself, for networks: a batch at once, and image by image where that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from vcmbench.interfaces import Codec, Image
from vcmbench.pipeline.coding import Coded, Encoded, Failure, fault_of, keep
from vcmbench.pipeline.memory import is_want_of_memory
from vcmbench.pipeline.processes import describe

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Waiting: TypeAlias = tuple[Encoded, Image]
"""A bitstream, and the place of the image that it is decoded to."""


def code_batch(codec: Codec, originals: Image, target: Image) -> list[Coded | Failure]:
    """Code and decode N×H×W×3 images at once; the times are the batch's, shared equally.

    A batch that fails, for want of memory or otherwise, is tried again image by image.
    """
    originals = originals[:]
    originals.flags.writeable = False  # a codec that scribbles on its input must not change what the others are given
    encoded: list[Encoded | Failure] = _each_or_all(codec, partial(_encode, codec), list(originals))
    return decode_encoded(codec, encoded, target)


def decode_encoded(codec: Codec, outcomes: Sequence[Coded | Encoded | Failure], target: Image) -> list[Coded | Failure]:
    """Decode at once what is only encoded so far, likewise; the i-th image lands in the i-th place of N×H×W×3 ones."""
    waiting = [(outcome, image) for outcome, image in zip(outcomes, target, strict=True) if isinstance(outcome, Encoded)]
    decoded = iter(_each_or_all(codec, partial(_decode, codec), waiting) if waiting else ())
    return [next(decoded) if isinstance(outcome, Encoded) else outcome for outcome in outcomes]


def _each_or_all(
    codec: Codec, code: Callable[[Sequence[Item]], list[Outcome | Failure]], items: Sequence[Item]
) -> list[Outcome | Failure]:
    try:
        return code(items)
    except KeyboardInterrupt:  # in the worker, it is the user's
        raise
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything
        failure = Failure(f"{codec.variant}: {describe(error)}", transient=is_want_of_memory(error))
    if len(items) == 1:
        return [failure]
    # Not in the handler: the exception would keep the tensors of the whole batch in memory.
    return [outcome for item in items for outcome in _each_or_all(codec, code, [item])]


def _encode(codec: Codec, images: Sequence[Image]) -> list[Encoded | Failure]:
    count = len(images)
    start = time.perf_counter()
    bitstreams = list(codec.encode_batch(images))
    encode_ms = 1e3 * (time.perf_counter() - start) / count
    if len(bitstreams) != count:
        return [Failure(f"{codec.variant}: encode_batch returned {len(bitstreams)} bitstreams for {count} images")] * count
    return [fault_of(codec, bitstream) or Encoded(bitstream, encode_ms) for bitstream in bitstreams]


def _decode(codec: Codec, waiting: Sequence[Waiting]) -> list[Coded | Failure]:
    count = len(waiting)
    start = time.perf_counter()
    images = list(codec.decode_batch([encoded.bitstream for encoded, _ in waiting]))
    decode_ms = 1e3 * (time.perf_counter() - start) / count
    if len(images) != count:
        return [Failure(f"{codec.variant}: decode_batch returned {len(images)} images for {count} bitstreams")] * count
    return [
        keep(codec, encoded.bitstream, image, target, encoded.encode_ms, decode_ms)
        for (encoded, target), image in zip(waiting, images, strict=True)
    ]
