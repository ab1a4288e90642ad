"""Reading images into a block, and coding one block into another: what a codec process does."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.interfaces import Codec, Dataset, Image, ImageError
from vcmbench.pipeline.blocks import BlockName, open_block

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Source:
    """One image to read: where it is, and its face box in the file's pixels."""

    path: str
    box: Box | None


@dataclass(frozen=True)
class Loaded:
    """One image that was read: its face box in the prepared pixels, and what was converted."""

    box: Box | None
    note: str


@dataclass(frozen=True)
class Coded:
    """One image × setting that was coded and decoded; the times are in milliseconds."""

    bytes: int
    encode_ms: float
    decode_ms: float
    bitstream_hash: str
    decoded_hash: str


@dataclass(frozen=True)
class Failure:
    """One image, or image × setting, that could not be done."""

    reason: str


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def load_images(
    dataset: Dataset,
    sources: Sequence[Source],
    places: Sequence[int],
    preparation: Preparation,
    target: BlockName,
    time_limit: float,
) -> list[Loaded | Failure]:
    """Read and prepare each source into its place of the block; an exception becomes a `Failure`."""
    images = open_block(target)
    outcomes: list[Loaded | Failure] = []
    for source, place in zip(sources, places, strict=True):
        with _time_limit(time_limit):
            try:
                prepared = prepare(dataset.read(source.path), source.box, preparation)
            except (OSError, ImageError) as error:
                outcomes.append(Failure(f"{source.path}: {error}"))
                continue
            except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything, and not all of it can be pickled
                outcomes.append(Failure(f"{source.path}: {type(error).__name__}: {error}"))
                continue
        images[place] = prepared.image
        outcomes.append(Loaded(prepared.box, prepared.note))
    return outcomes


def code_images(
    codec: Codec, places: Sequence[int], source: BlockName, target: BlockName, time_limit: float
) -> list[Coded | Failure]:
    """Code and decode the images in these places of a block into another; an exception becomes a `Failure`."""
    originals, decoded = _read_only(open_block(source)), open_block(target)
    outcomes: list[Coded | Failure] = []
    for place in places:
        with _time_limit(time_limit):
            outcomes.append(_code_one(codec, originals[place], decoded[place]))
    return outcomes


def _read_only(images: Image) -> Image:
    """A view, so that a codec that scribbles on its input does not change what the other settings are given."""
    view = images[:]
    view.flags.writeable = False
    return view


def _code_one(codec: Codec, original: Image, target: Image) -> Coded | Failure:
    try:
        start = time.perf_counter()
        bitstream = codec.encode(original)
        encoded = time.perf_counter()
        image = codec.decode(bitstream)
        decoded = time.perf_counter()
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything, and not all of it can be pickled
        return Failure(f"{codec.variant}: {type(error).__name__}: {error}")
    return _keep(codec, original, bitstream, image, target, 1e3 * (encoded - start), 1e3 * (decoded - encoded))


def _keep(
    codec: Codec, original: Image, bitstream: object, image: object, target: Image, encode_ms: float, decode_ms: float
) -> Coded | Failure:
    if not isinstance(bitstream, bytes) or not bitstream:
        return Failure(f"{codec.variant}: encode returned {_spell(bitstream)} instead of bytes")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != original.shape:
        wanted = "×".join(map(str, original.shape))
        return Failure(f"{codec.variant}: decode returned {_spell(image)} instead of a uint8 array of {wanted}")
    target[:] = image
    return Coded(len(bitstream), encode_ms, decode_ms, _hash(bitstream), _hash(np.ascontiguousarray(image).data))


def _hash(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _spell(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of {'×'.join(map(str, value.shape))}"
    return "no bytes" if value == b"" else f"a {type(value).__name__}"


def code_batch(codec: Codec, originals: Image, target: Image) -> list[Coded | Failure]:
    """Code and decode N×H×W×3 images at once in the worker, for networks; the times are the batch's, shared equally."""
    count = len(originals)
    originals = _read_only(originals)
    try:
        start = time.perf_counter()
        bitstreams = list(codec.encode_batch(list(originals)))
        encoded = time.perf_counter()
        images = list(codec.decode_batch(bitstreams))
        decoded = time.perf_counter()
    except Exception as error:  # noqa: BLE001  # a plug-in may raise anything
        if count == 1:
            return [Failure(f"{codec.variant}: {type(error).__name__}: {error}")]
        return [code_batch(codec, originals[i : i + 1], target[i : i + 1])[0] for i in range(count)]
    if len(bitstreams) != count or len(images) != count:
        reason = f"{codec.variant}: {len(bitstreams)} bitstreams and {len(images)} images came back for {count} images"
        return [Failure(reason)] * count
    encode_ms, decode_ms = 1e3 * (encoded - start) / count, 1e3 * (decoded - encoded) / count
    return [
        _keep(codec, original, bitstream, image, place, encode_ms, decode_ms)
        for original, bitstream, image, place in zip(originals, bitstreams, images, target, strict=True)
    ]
