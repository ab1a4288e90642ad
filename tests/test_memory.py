"""How much memory there is, with control groups of either version written down as Linux does."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from vcmbench.pipeline.memory import total_memory

GIB = 2**30


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    """Where nothing is written of a limit, all physical memory counts."""
    assert total_memory(tmp_path / "absent", tmp_path) == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/", {"memory.max": GIB}, GIB),
        ("0::/job/step", {"job/memory.max": GIB, "job/step/memory.max": "max"}, GIB),
        ("0::/job/step", {"job/memory.max": 2 * GIB, "job/step/memory.max": GIB}, GIB),
        ("0::/not/seen/here", {"memory.max": GIB}, GIB),
        ("5:cpu:/x\n4:memory:/job", {"memory/job/memory.limit_in_bytes": GIB, "cpu/x/memory.limit_in_bytes": 1}, GIB),
        ("4:cpu,memory:/not/seen", {"memory/memory.limit_in_bytes": GIB}, GIB),
        ("4:memory:/job", {"memory/job/memory.limit_in_bytes": 2**63 - 4096}, os.sysconf("SC_PHYS_PAGES") * 4096),
    ],
    ids=[
        "a container",
        "a job without a limit for its step",
        "the smaller of two",
        "a container that sees the path outside",
        "version 1",
        "a container of version 1",
        "version 1 without a limit",
    ],
)
def test_the_smallest_limit_around_this_process_counts(
    tmp_path: Path, membership: str, limits: dict[str, object], expected: int
) -> None:
    """The limit of a group counts for all within; where there is none, it is as if there were no group."""
    listing = tmp_path / "cgroup"
    listing.write_text(f"{membership}\n", encoding="utf-8")
    for name, value in limits.items():
        file = tmp_path / "mount" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n", encoding="ascii")
    assert total_memory(listing, tmp_path / "mount") == expected
