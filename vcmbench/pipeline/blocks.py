"""Blocks of images in memory that the worker and its codec processes share, so that pixels are never sent through a pipe."""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vcmbench.interfaces import Image


@dataclass(frozen=True)
class BlockName:
    """How another process finds a block: N×H×W×3 bytes."""

    path: str
    serial: int
    """Tells apart two blocks that had the same path one after the other."""
    shape: tuple[int, int, int, int]


_serials = itertools.count()


class Block:
    """Memory for N images of one size, made by the worker and seen by its codec processes."""

    def __init__(self, images: int, size: int) -> None:
        shape = (images, size, size, 3)
        self._descriptor, path = _anonymous_file()
        os.truncate(self._descriptor, int(np.prod(shape)))
        self.name = BlockName(path, next(_serials), shape)
        self.images = _map(self._descriptor, shape)

    def close(self) -> None:
        """Give the memory back to the system, which frees it with the last array that looks at it."""
        del self.images
        os.close(self._descriptor)
        if not sys.platform.startswith("linux"):
            Path(self.name.path).unlink()


class BlockPool:
    """Blocks that are used again and again; a run needs only as many as are in flight at once."""

    def __init__(self, images: int, size: int) -> None:
        self._images, self._size = images, size
        self._free: list[Block] = []
        self._all: list[Block] = []

    def take(self) -> Block:
        """Return a block nobody uses."""
        if not self._free:
            block = Block(self._images, self._size)
            self._all.append(block)
            self._free.append(block)
        return self._free.pop()

    def give_back(self, block: Block) -> None:
        """Let the block be used again."""
        self._free.append(block)

    def close(self) -> None:
        """Free every block."""
        for block in self._all:
            block.close()


def open_block(block: BlockName, *, writable: bool) -> Image:
    """Return, in a codec process, the images of a block made by the worker; not even native code can write otherwise."""
    return _opened(block, writable)[:]


@cache
def _opened(block: BlockName, writable: bool) -> Image:
    descriptor = os.open(block.path, os.O_RDWR)
    try:
        return _map(descriptor, block.shape, mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _anonymous_file() -> tuple[int, str]:
    """A file in memory that vanishes with the processes that have it open, however they end; elsewhere a temporary file."""
    if sys.platform.startswith("linux"):
        descriptor = os.memfd_create("vcmbench-block")
        return descriptor, f"/proc/{os.getpid()}/fd/{descriptor}"
    return tempfile.mkstemp(prefix="vcmbench-block-")


def _map(descriptor: int, shape: tuple[int, int, int, int], access: int = mmap.ACCESS_WRITE) -> Image:
    return np.frombuffer(mmap.mmap(descriptor, int(np.prod(shape)), access=access), np.uint8).reshape(shape)
