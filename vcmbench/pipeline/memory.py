"""How much memory there is, here or in the container that we are in, and how libraries say that it was not enough."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vcmbench.pipeline.processes import describe

WANT_OF_MEMORY = re.compile(
    r"out ?of ?memory|allocate memory|insufficient memory|not enough memory|alloc_failed|bad_alloc", re.IGNORECASE
)
"""How torch, CUDA, cuDNN, OpenCV, Pillow, C++ and the system say what numpy and Python say with a `MemoryError`."""

LONGEST_CHAIN = 10
"""Exceptions raised from each other that are looked at."""


def total_memory(membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of the machine's memory, or of the share that control groups, of either version, leave of it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_group_limits(membership, mount)])


def _group_limits(membership: Path, mount: Path) -> Iterator[int]:
    """The limits of this process's groups and of all around them; those outside a container cannot be seen from inside."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = top / group.lstrip("/")
        for each in (folder, *folder.parents[: len(folder.parts) - len(top.parts)]):
            with contextlib.suppress(OSError, ValueError):  # there is no such file, or its word is "max"
                yield int((each / name).read_text(encoding="ascii"))


def is_want_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it was raised from, says that memory was wanting, each library in its own words."""
    link: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if link is None:
            return False
        if isinstance(link, MemoryError) or WANT_OF_MEMORY.search(describe(link)):
            return True
        link = link.__cause__ or link.__context__
    return False
