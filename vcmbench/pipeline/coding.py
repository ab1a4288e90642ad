"""Reading images into a block, and coding one block into another: what a codec process does."""

from __future__ import annotations

import errno
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
import PIL

from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.interfaces import Codec, Dataset, Image, ImageError, content_hash
from vcmbench.pipeline.blocks import BlockName, open_block
from vcmbench.pipeline.memory import is_want_of_memory
from vcmbench.pipeline.processes import describe, message_of

Box: TypeAlias = tuple[float, float, float, float]
Bitstream: TypeAlias = bytes
Outcome = TypeVar("Outcome")

LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, PIL.UnidentifiedImageError)
LASTING_NUMBERS = {errno.ELOOP, errno.ENAMETOOLONG}
"""How an `OSError` says that a file will be no better next time; any other may be the network's or the disk's doing."""


@dataclass(frozen=True)
class Source:
    """One image to read: where it is, and its face box in the file's pixels."""

    path: str
    box: Box | None


@dataclass(frozen=True)
class Loaded:
    """One image that was read: its face box in the prepared pixels, what was converted, and a hash of these pixels."""

    box: Box | None
    note: str
    source_hash: str


@dataclass(frozen=True)
class Coded:
    """One image × setting that was coded and decoded; the times are in milliseconds."""

    bytes: int
    encode_ms: float
    decode_ms: float
    bitstream_hash: str
    decoded_hash: str
    bitstream: Bitstream | None = None
    """None where it stayed in the codec process, since the run does not keep it."""

    def without_bitstream(self) -> Coded:
        """The same, to be sent to the worker."""
        return replace(self, bitstream=None)


@dataclass(frozen=True)
class Encoded:
    """One image × setting that is encoded, and that the worker is to decode."""

    bitstream: bytes
    encode_ms: float


@dataclass(frozen=True)
class Failure:
    """One image, or image × setting, that could not be done."""

    reason: str
    transient: bool = False
    """Whether trying again may help: the cause was a want of time or memory, or the way to the file."""


def load_images(
    dataset: Dataset, sources: Sequence[Source], places: Sequence[int], preparation: Preparation, target: BlockName
) -> Iterator[Loaded | Failure]:
    """Read and prepare each source into its place of the block; an exception becomes a `Failure`.

    Raises `MemoryError`, in which the other images have no part.
    """
    images = open_block(target, writable=True)
    for source, place in zip(sources, places, strict=True):
        yield _load_one(dataset, source, preparation, images[place])


def _load_one(dataset: Dataset, source: Source, preparation: Preparation, target: Image) -> Loaded | Failure:
    try:
        data = dataset.read(source.path)
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything, and not all of it can be pickled
        return _unread(source, error)
    if not isinstance(data, bytes):
        return Failure(f"{source.path}: read returned {_spell(data)} instead of bytes")
    try:
        prepared = prepare(data, source.box, preparation)
    except BaseException as error:  # noqa: BLE001  # see above
        return _unread(source, error)
    target[:] = prepared.image
    return Loaded(prepared.box, prepared.note, content_hash(target.data))


def _unread(source: Source, error: BaseException) -> Failure:
    """What became of an image whose bytes could not be read or prepared."""
    raise_want_of_memory(error)
    if isinstance(error, ImageError):
        return Failure(f"{source.path}: {message_of(error)}")
    if isinstance(error, OSError):
        lasting = isinstance(error, LASTING) or error.errno in LASTING_NUMBERS
        return Failure(f"{source.path}: {message_of(error)}", transient=not lasting)
    return Failure(f"{source.path}: {describe(error)}")


def code_images(
    codec: Codec, places: Sequence[int], source: BlockName, target: BlockName, *, with_bitstreams: bool = False
) -> Iterator[Coded | Failure]:
    """Code and decode the images in these places of a block into another; an exception becomes a `Failure`.

    Another copy of the codec decodes, so that nothing but the bitstream can tell it what was coded. Raises `MemoryError`,
    in which the other images have no part.
    """
    originals, decoded = open_block(source, writable=False), open_block(target, writable=True)
    decoder: Codec = pickle.loads(pickle.dumps(codec))  # noqa: S301  # the codec itself
    for place in places:
        yield to_send(_code_one(codec, decoder, originals[place], decoded[place]), with_bitstream=with_bitstreams)


def to_send(outcome: Outcome, *, with_bitstream: bool) -> Outcome | Coded:
    """What a codec process tells the worker of an outcome."""
    return outcome.without_bitstream() if isinstance(outcome, Coded) and not with_bitstream else outcome


def _code_one(encoder: Codec, decoder: Codec, original: Image, target: Image) -> Coded | Failure:
    try:
        start = time.perf_counter()
        bitstream = encoder.encode(original)
        encode_ms = 1e3 * (time.perf_counter() - start)
    except BaseException as error:  # noqa: BLE001  # a plug-in may raise anything, and not all of it can be pickled
        raise_want_of_memory(error)
        return Failure(f"{encoder.variant}: {describe(error)}")
    return fault_of(encoder, bitstream) or decode_one(decoder, Encoded(bitstream, encode_ms), target)


def decode_one(codec: Codec, encoded: Encoded, target: Image) -> Coded | Failure:
    """Decode a bitstream into its place; an exception becomes a `Failure`, but a want of memory is raised."""
    try:
        start = time.perf_counter()
        image = codec.decode(encoded.bitstream)
        decode_ms = 1e3 * (time.perf_counter() - start)
    except BaseException as error:  # noqa: BLE001  # see above
        raise_want_of_memory(error)
        return Failure(f"{codec.variant}: {describe(error)}")
    return keep(codec, encoded.bitstream, image, target, encoded.encode_ms, decode_ms)


def fault_of(codec: Codec, bitstream: object) -> Failure | None:
    """Return what is wrong with a bitstream; of a type derived from bytes, it could carry more than its bytes."""
    if type(bitstream) is not bytes or not bitstream:
        return Failure(f"{codec.variant}: encode returned {_spell(bitstream)} instead of bytes")
    return None


def keep(
    codec: Codec, bitstream: bytes, image: object, target: Image, encode_ms: float, decode_ms: float
) -> Coded | Failure:
    """Put what was decoded in its place, if it is an image of the right size."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != target.shape:
        wanted = "×".join(map(str, target.shape))
        return Failure(f"{codec.variant}: decode returned {_spell(image)} instead of a uint8 array of {wanted}")
    target[:] = image
    return Coded(len(bitstream), encode_ms, decode_ms, content_hash(bitstream), content_hash(target.data), bitstream)


def _spell(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of {'×'.join(map(str, value.shape))}"
    return "no bytes" if type(value) is bytes and not value else f"a {type(value).__name__}"


def raise_want_of_memory(error: BaseException) -> None:
    """End the task for a want of memory: what fills it may have leaked, and would be missing for the next image, too."""
    if is_want_of_memory(error):
        raise MemoryError from error
