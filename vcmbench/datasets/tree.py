"""A folder of image files, on a local disk or behind an fsspec URL such as s3://bucket/faces."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from vcmbench.interfaces import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
"""What counts as an image file, in lower case."""


class Tree:
    """The files under one root; paths in it are relative, with `/`.

    `root` is absolute, so that it means the same to a worker with another working directory. Its methods raise
    `UsageError` when the root or a list in it cannot be read, but `read`, which reads images, raises `OSError`.
    """

    def __init__(self, root: str) -> None:
        try:
            self._filesystem, base = url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise UsageError(f"{root} cannot be opened: {error}") from error
        self._base = base.rstrip("/")
        self._local = isinstance(self._filesystem, LocalFileSystem)
        self.root = base if self._local else root

    def has_folder(self, path: str = "") -> bool:
        """Whether there is such a folder."""
        with self._reaching(path):
            return bool(self._filesystem.isdir(self._full(path)))

    def has_file(self, path: str) -> bool:
        """Whether there is such a file."""
        with self._reaching(path):
            return bool(self._filesystem.isfile(self._full(path)))

    def open(self, path: str) -> IO[bytes]:
        """Open a file, here or at an absolute path or URL, for reading bytes."""
        with self._reaching(path):
            elsewhere = "://" in path or PurePath(path).is_absolute()
            filesystem, full = url_to_fs(path) if elsewhere else (self._filesystem, self._full(path))
            file: IO[bytes] = filesystem.open(full, "rb")
            return file

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raise `OSError` when it cannot be read."""
        full = self._full(path)
        if self._local and not stat.S_ISREG(Path(full).stat().st_mode):  # a pipe would be waited for, a device read for ever
            raise FileNotFoundError(f"{path} is not a regular file")
        try:
            return bytes(self._filesystem.cat_file(full))
        except OSError:
            raise
        except Exception as error:  # a remote file system raises what its client library raises
            raise OSError(f"{path} cannot be read: {error}") from error

    def images(self, path: str = "") -> Iterator[str]:
        """List the image files under a folder in the order of their paths, skipping hidden ones, without opening any.

        Locally, links are followed but never round in a circle.
        """
        with self._reaching(path):
            top = self._full(path)
            yield from _walk(top, path and f"{path}/", {os.path.realpath(top)}) if self._local else self._find(top)

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base or "/"

    def _find(self, top: str) -> Iterator[str]:
        for full in sorted(self._filesystem.find(top)):
            path = full[len(self._base) + 1 :]
            if _is_image(path) and not any(part.startswith(".") for part in path.split("/")):
                yield path

    @contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a remote file system raises what its client library raises
            raise UsageError(f"{path or 'the folder'} (root {self.root}) cannot be read: {error}") from error


def _walk(folder: str, prefix: str, ancestors: set[str]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        visible = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    for name, is_folder in sorted(visible, key=lambda found: f"{found[0]}/" if found[1] else found[0]):
        if not is_folder:
            if _is_image(name):
                yield prefix + name
            continue
        real = os.path.realpath(f"{folder}/{name}")
        if real not in ancestors:
            yield from _walk(f"{folder}/{name}", f"{prefix}{name}/", ancestors | {real})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, say: whoever reads it will learn why it cannot be read
        return False


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)
