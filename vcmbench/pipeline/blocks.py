"""Blocks of images in memory that the worker and its codec processes share, so that pixels are never sent through a pipe."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from vcmbench.interfaces import Image


@dataclass(frozen=True)
class BlockName:
    """How another process finds a block: N×H×W×3 bytes."""

    name: str
    shape: tuple[int, int, int, int]


class Block:
    """Memory for N images of one size, made by the worker and seen by its codec processes."""

    def __init__(self, images: int, size: int) -> None:
        shape = (images, size, size, 3)
        self._memory = SharedMemory(create=True, size=int(np.prod(shape)))
        self.name = BlockName(self._memory.name, shape)
        self.images: Image = np.ndarray(shape, np.uint8, buffer=self._memory.buf)

    def close(self) -> None:
        """Give the memory back to the system, once every process has let go of it."""
        del self.images
        self._memory.unlink()
        with contextlib.suppress(BufferError):  # a tensor may still look at it; the system frees it with the last view
            self._memory.close()


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


@lru_cache(maxsize=64)
def _attached(name: str) -> SharedMemory:
    return SharedMemory(name)


def open_block(block: BlockName) -> Image:
    """Return, in a codec process, the images of a block made by the worker."""
    return np.ndarray(block.shape, np.uint8, buffer=_attached(block.name).buf)
