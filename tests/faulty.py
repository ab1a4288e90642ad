"""Plug-ins that go wrong on purpose, on images whose upper left pixel is red."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import PIL

from vcmbench.interfaces import Batch, Codec, Column, Dataset, Image, Metric, Parameter, Scores
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.processes import ONE_THREAD

if TYPE_CHECKING:
    import pyarrow as pa  # not in every codec process

RED = (255, 0, 0)
SALT_BYTES = 8
PADDING = 64 * 2**20


def is_marked(image: Image) -> bool:
    """Whether a fault is asked for."""
    return tuple(image[0, 0]) == RED


def block_of_images(count: int, size: int, marked: int) -> Block:
    """A block of seeded noise, of which one image is marked."""
    block = Block(count, size)
    block.images[:] = np.random.default_rng(7).integers(0, 250, block.images.shape, np.uint8)
    block.images[marked, 0, 0] = RED
    return block


class Faulty(Codec):
    """A dump of the pixels of a square image, except for its fault."""

    family = "faulty"
    summary = "goes wrong on purpose"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "fault": Parameter("none", "what goes wrong"),
        "level": Parameter(1, "tells settings apart", minimum=1, maximum=9),
    }
    rate_parameter = "level"

    def backend(self) -> str:
        """Need no library."""
        return "none"

    def encode(self, image: Image) -> bytes:
        """Dump the pixels after some salt, unless the fault comes first."""
        fault = str(self.params["fault"])
        if fault == "random":
            return os.urandom(SALT_BYTES) + image.tobytes()
        sound = bytes(SALT_BYTES) + image.tobytes()
        if not is_marked(image):
            return sound
        ENDINGS.get(fault, _nothing)()
        return STREAMS.get(fault, bytes)(sound)  # type: ignore[no-any-return]  # the fault

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the image, or what the fault makes of it."""
        fault = str(self.params["fault"])
        if len(bitstream) > PADDING:
            bitstream = bitstream[:-PADDING]
        pixels = np.frombuffer(bitstream[SALT_BYTES:], np.uint8)
        side = math.isqrt(pixels.size // 3)
        image = pixels.reshape(side, side, 3)
        return IMAGES.get(fault, np.asarray)(image) if is_marked(image) else image


def _nothing() -> None:
    pass


def _raise(error: BaseException) -> None:
    raise error


class WordlessError(Exception):
    """Raises another exception when it is asked what is wrong."""

    def __str__(self) -> str:
        raise WordlessError


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    time.sleep(600)


def _hang_in_c() -> None:
    ctypes.PyDLL(None).sleep(600)  # a PyDLL keeps the interpreter's lock


def _take_the_signals() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _hang_without_signals() -> None:
    _take_the_signals()
    _hang()


def _leave_an_alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: _raise(RuntimeError("an alarm that another image left")))
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def _leave_threads() -> None:
    for _ in range(4):
        threading.Thread(target=_hang).start()


def _leak() -> None:
    hoard: list[Image] = []
    while True:
        hoard.append(np.empty(32 * 2**20, np.uint8))


_leaked: list[Image] = []


def _leak_a_little() -> None:
    _leaked.append(np.empty(300 * 2**20, np.uint8))


_is_poisoned = False


def _poison() -> None:
    """Die of what the marked image before has done to this process."""
    global _is_poisoned  # noqa: PLW0603  # the fault
    if _is_poisoned:
        os.abort()
    _is_poisoned = True


def _fork() -> None:
    if os.fork() == 0:
        _hang()
        os._exit(0)


def _fork_and_exit() -> None:
    _fork()
    os._exit(3)


def _garble() -> None:
    """Write into every socket, as who closed a descriptor twice may do to its next owner."""
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\xff" * 100)
        except OSError:
            pass


def _print() -> None:
    for _ in range(100):
        os.write(1, b"x" * 65_536)
        os.write(2, b"x" * 65_536)


def _notice() -> None:
    """Take long enough for an alarm that another image left, and fail in the directory that another changed to."""
    time.sleep(0.1)
    if Path.cwd() == Path("/"):
        raise RuntimeError("not where it was")


ENDINGS: dict[str, Callable[[], object]] = {
    "raise": lambda: _raise(RuntimeError("no room for this face")),
    "raise KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "raise SystemExit": lambda: _raise(SystemExit(3)),
    "raise without words": lambda: _raise(WordlessError()),
    "raise with a megabyte of words": lambda: _raise(RuntimeError("x" * 2**20)),
    "raise MemoryError": lambda: _raise(MemoryError()),
    "exit": lambda: os._exit(3),
    "segfault": _segfault,
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kill its group": lambda: os.killpg(0, signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": _hang,
    "hang in C": _hang_in_c,
    "hang without signals": _hang_without_signals,
    "leak": _leak,
    "leak a little": _leak_a_little,
    "poison": _poison,
    "ask for a terabyte": lambda: np.ones(2**40, np.uint8),
    "close every file": lambda: os.closerange(0, 1024),
    "garble the connection": _garble,
    "fork and exit": _fork_and_exit,
    "fork": _fork,
    "take the signals": _take_the_signals,
    "leave an alarm": _leave_an_alarm,
    "leave threads": _leave_threads,
    "change directory": lambda: os.chdir("/"),
    "print": _print,
    "slow": lambda: time.sleep(0.1),
    "slower": lambda: time.sleep(1),
    "notice": _notice,
}
"""What happens in `encode`, before it returns."""


class Carrier(bytes):
    """Bytes that carry more than their bytes."""


STREAMS: dict[str, Callable[[bytes], Any]] = {
    "encode to nothing": lambda _: b"",
    "encode to None": lambda _: None,
    "encode to text": lambda _: "bits",
    "encode to a bytearray": bytearray,
    "encode to more than bytes": Carrier,
    "encode to a gigabyte": lambda _: bytes(2**30),
    "encode to 64 MiB": lambda sound: sound + bytes(PADDING),
}
"""What `encode` makes of the sound bitstream."""


IMAGES: dict[str, Callable[[Image], Any]] = {
    "wrong shape": lambda image: image[:-1],
    "wrong type": lambda image: image.astype(np.float64),
    "decode to a plane": lambda image: image[:, :, 0],
    "decode to NaN": lambda image: np.full(image.shape, math.nan),
    "decode to objects": lambda image: image.astype(object),
    "decode to a list": lambda image: image.tolist(),
    "decode to None": lambda _: None,
    "decode to bytes": lambda image: image.tobytes(),
}
"""What `decode` makes of the sound image."""


class Newer(Faulty):
    """The same codec in its next version."""

    version = "2"


class Remembering(Faulty):
    """Keeps the image to itself instead of coding it."""

    family = "remembering"

    def encode(self, image: Image) -> bytes:
        """Remember."""
        self.image = image.copy()
        return b"as before"

    def decode(self, bitstream: bytes) -> Image:
        """Recall."""
        del bitstream
        return self.image


class Asking(Faulty):
    """Says how it is kept."""

    family = "asking"

    def encode(self, image: Image) -> bytes:
        """Tell what the process may do."""
        del image
        score = Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip()
        threads = {os.environ[name] for name in ONE_THREAD}
        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        raise RuntimeError(f"{score} {threads} {limit} {'torch' in sys.modules}")


class InWorker(Faulty):
    """Runs in the worker itself, a batch at a time, as a network does."""

    family = "in worker"
    runs_in = "worker"


class Together(Faulty):
    """Codes all its settings at once."""

    family = "together"

    @classmethod
    def encode_many(cls, image: Image, settings: Sequence[Codec]) -> list[bytes]:
        """Encode for each setting; one may be lost."""
        bitstreams = super().encode_many(image, settings)
        losing = is_marked(image) and any(setting.params["fault"] == "lose a setting" for setting in settings)
        return bitstreams[1:] if losing else bitstreams


class TogetherInBoth(Together):
    """Is encoded in a process, and decoded in the worker."""

    family = "together in both"
    runs_in = "both"


class Unpickled(Faulty):
    """Cannot be brought into another process, as `fault` says."""

    family = "unpickled"

    def __getstate__(self) -> dict[str, object]:
        """Refuse, or leave a trap for `__setstate__`."""
        if self.params["fault"] == "refuse":
            raise ValueError("has no copy")
        return {**self.__dict__, "home": os.getpid()}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Fail in any other process."""
        self.__dict__.update(state)
        if os.getpid() != state["home"]:
            ENDINGS[str(self.params["fault"])]()


class Scribbling(Faulty):
    """Writes into its input."""

    family = "scribbling"

    def encode(self, image: Image) -> bytes:
        """Scribble."""
        image[:] = 0
        return super().encode(image)


class ScribblingInC(Faulty):
    """Writes into its input as native code does, which asks nobody."""

    family = "scribbling in C"

    def encode(self, image: Image) -> bytes:
        """Scribble."""
        ctypes.memset(image.ctypes.data, 0, image.nbytes)
        return super().encode(image)


class Panic(BaseException):
    """Not even an `Exception`, and impossible to unpickle, as what a native library throws may be."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


class Panicking(Faulty):
    """Throws a `Panic` on a marked image."""

    family = "panicking"

    def encode(self, image: Image) -> bytes:
        """Throw on a marked image."""
        if is_marked(image):
            raise Panic("encode", "no room")
        return super().encode(image)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "absent": lambda: FileNotFoundError(errno.ENOENT, "No such file"),
    "forbidden": lambda: PermissionError(errno.EACCES, "Permission denied"),
    "folder": lambda: IsADirectoryError(errno.EISDIR, "Is a directory"),
    "circle": lambda: OSError(errno.ELOOP, "Too many levels of symbolic links"),
    "no image": lambda: PIL.UnidentifiedImageError("cannot identify image file"),
    "damaged disk": lambda: OSError(errno.EIO, "Input/output error"),
    "no network": lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "slow network": lambda: TimeoutError("timed out"),
    "wrong call": lambda: TypeError("not like this"),
    "interrupt": KeyboardInterrupt,
}
"""What `Archive.read` may raise."""


@dataclass(frozen=True)
class Archive(Dataset):
    """A folder of which one image cannot be read, for a reason of `ERRORS` or `ENDINGS`."""

    kind: ClassVar[str] = "archive"
    summary: ClassVar[str] = "goes wrong on purpose"

    root: str
    fault: str
    at: str

    def images(self) -> Iterator[pa.RecordBatch]:
        """List nothing."""
        return iter(())

    def read(self, path: str) -> bytes:
        """Go wrong for one path."""
        if path != self.at:
            return (Path(self.root) / path).read_bytes()
        if self.fault in ERRORS:
            _raise(ERRORS[self.fault]())
        ENDINGS.get(self.fault, _nothing)()
        return "text"  # type: ignore[return-value]  # the fault that is left


class Failing(Metric):
    """Raises on a batch with a marked image, and yields NaN for a marked one in `nan_score`."""

    name = "failing"
    summary = "goes wrong on purpose"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"nan_score": Column("NaN score", "higher")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Give 1, or NaN for a marked image."""
        marked = (reference.images[:, 0, 0, 0] == 255) & (reference.images[:, 1, 0, 0] == 0)
        return {"nan_score": [math.nan if red else 1.0 for red in marked.tolist()][: len(decoded)]}


class Raising(Failing):
    """Raises always."""

    name = "raising"
    columns: ClassVar[Mapping[str, Column]] = {"raised": Column("Raised", "higher")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Raise."""
        raise RuntimeError(f"no value for {len(reference)} and {len(decoded)} images")


class Deadly(Metric):
    """Gives 1, and reads memory that is not there when a marked image comes."""

    name = "deadly"
    summary = "ends its process on purpose"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"deadly": Column("Deadly", "higher")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Score every image, or end the process."""
        if any(tuple(image[:, 0, 0].tolist()) == RED for image in reference.images):
            _segfault()
        return {"deadly": [1.0] * len(decoded)}
