"""Plug-ins that go wrong on purpose, on images whose upper left pixel is red."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from vcmbench.interfaces import Batch, Codec, Column, Image, Metric, Parameter, Scores

RED = (255, 0, 0)
SALT_BYTES = 8


def is_marked(image: Image) -> bool:
    """Whether a fault is asked for."""
    return tuple(image[0, 0]) == RED


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
        if fault in ENDINGS and is_marked(image):
            ENDINGS[fault]()
        return bytes(SALT_BYTES) + image.tobytes()

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the image, or what the fault makes of it."""
        pixels = np.frombuffer(bitstream[SALT_BYTES:], np.uint8)
        side = math.isqrt(pixels.size // 3)
        image = pixels.reshape(side, side, 3)
        if not is_marked(image):
            return image
        if self.params["fault"] == "wrong shape":
            return image[:-1]
        if self.params["fault"] == "wrong type":
            return image.astype(np.float64)
        return image


def _raise() -> None:
    raise RuntimeError("no room for this face")


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    time.sleep(600)


def _print() -> None:
    for _ in range(200):
        os.write(1, b"x" * 65_536)


ENDINGS: dict[str, Callable[[], object]] = {
    "raise": _raise,
    "exit": lambda: os._exit(3),
    "segfault": _segfault,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "print": _print,
    "slow": lambda: time.sleep(0.1),
}


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
