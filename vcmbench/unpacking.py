"""Kept bitstreams as files, for other programs to read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from vcmbench.interfaces import UsageError
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

SUFFIX = ".bin"


def unpack(run: RunDirectory, index: Index, folder: Path, variants: Collection[str] = ()) -> Iterator[Path]:
    """Write the bitstreams that a run keeps into a folder, and yield the path of each: `path_of` says which.

    `variants` are settings such as "jpeg quality=10"; without any, all that the job asks for are written. Raises
    `UsageError` for another setting and where none is kept, `StorageError` for a damaged file, and `OSError`.
    """
    named = {setting.key: setting.variant for setting in index.settings}
    for variant in variants:
        if variant not in named.values():
            raise UsageError(f"{variant!r} is no setting of {run.url}; its settings are: {', '.join(named.values())}")
    wanted = {key: variant for key, variant in named.items() if not variants or variant in variants}
    files = [shard.bitstreams for shard in index.shards.values() if shard.bitstreams]
    if not files:
        raise UsageError(f"{run.url} keeps no bitstreams; run its job again with --set keep_bitstreams=true")
    for file in files:
        for kept in run.read_bitstreams(file):
            if kept.setting in wanted:
                path = folder / path_of(wanted[kept.setting], kept.image)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(kept.bitstream)
                yield path


def path_of(variant: str, image: str) -> PurePosixPath:
    """Return "setting/image.bin": what a path may not hold, or would lead out of the folder with, is percent-encoded."""
    return PurePosixPath(_part(variant, "= :,"), *(_part(part, " ") for part in (image + SUFFIX).split("/")))


def _part(text: str, safe: str) -> str:
    quoted = quote(text, safe=safe)
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E") or "%"


def not_kept(index: Index) -> int:
    """Return how many times a shard keeps no bitstreams of a setting that the job asks for."""
    wanted = {setting.key for setting in index.settings}
    return sum(len(wanted.difference(index.bitstreams_of(shard))) for shard in index.shards)
