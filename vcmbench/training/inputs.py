"""Everything the network is shown, analysed once: each picture in several forms, as the encoder and diffusion see it.

Analysing a picture takes longer than a step of training with it, so that the results are kept on disk, a file each, and
mapped into memory.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from vcmbench.codecs.edge import Edge
from vcmbench.codecs.edge.colour import reconstruct
from vcmbench.codecs.edge.condition import in_cells
from vcmbench.codecs.edge.diffusion import diffuse
from vcmbench.codecs.edge.geometry import COUNTS
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.datasets.prepare import Box, Preparation, prepare
from vcmbench.datasets.selection import select
from vcmbench.interfaces import Image, ImageError, UsageError, digest
from vcmbench.progress import Progress
from vcmbench.training.augmentation import form
from vcmbench.training.recipe import Pictures

LAYERS = (0, *COUNTS)
"""Numbers of points that the network is trained for."""

Planes: TypeAlias = npt.NDArray[np.uint8]
"""C×H×W: the original (3 planes), the strokes (1), the colours of all points (3), in which layer a point comes, counted
from 1 (1; 0 where there is none), and the diffused picture of each of `LAYERS` (3 each)."""

Samples: TypeAlias = npt.NDArray[np.float32]

ORIGINAL, STROKES, COLOURS, LAYER, DIFFUSED = slice(0, 3), slice(3, 4), slice(4, 7), slice(7, 8), 8


def analyse(image: Image) -> Planes:
    """Return the planes of H×W×3 pixels."""
    height, width, _ = image.shape
    raster = rasterise(strokes_of(image), height, width)
    points = choose(image, raster, COUNTS[-1])
    colours = reconstruct(points.levels)
    layer = 1 + np.searchsorted(COUNTS, np.arange(len(points)), side="right")
    diffused = [diffuse(raster, points.cells[:count], colours[:count], height, width) for count in LAYERS]
    planes = [
        image,
        raster[..., None],
        in_cells(np.clip(colours, 0, 255), points, height, width),
        in_cells(layer[:, None], points, height, width),
        *(np.rint(picture) for picture in diffused),
    ]
    return np.ascontiguousarray(np.concatenate([plane.astype(np.uint8) for plane in planes], axis=2).transpose(2, 0, 1))


# ----------------------------------------------------------------------------------------------------------- on disk


def prepared_files(pictures: Pictures, folder: Path, workers: int) -> list[list[Path]]:
    """Return the files of each picture's forms, after analysing what the folder lacks in that many processes.

    Pictures that cannot be read or prepared are left out; raises `UsageError` where none is left. Other pictures, sizes or
    versions of the codec have files of their own.
    """
    folder /= digest({"pictures": repr(pictures.dataset), "size": pictures.preparation.identity, "codec": Edge.version})
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for batch in select(pictures.dataset.images(), pictures.selection) for row in batch.to_pylist()]
    # Not forked: a process that has run torch has threads, whose locks a fork would inherit.
    context = multiprocessing.get_context("spawn")
    usable = []
    with (
        Progress(len(rows), unit="pictures") as progress,
        ProcessPoolExecutor(workers, context, initializer=_keep_to_one_core) as pool,
    ):
        for done, files in enumerate(pool.map(partial(_files_of, pictures, folder), rows), start=1):
            progress.reach(done)
            if files:
                usable.append(files)
    if not usable:
        raise UsageError("none of the pictures can be read; check the data set")
    return usable


def _keep_to_one_core() -> None:
    """Several threads for each of several processes would wait for one another, ten times as long as they compute."""
    cv2.setNumThreads(1)
    threadpool_limits(1)


def _files_of(pictures: Pictures, folder: Path, row: dict[str, Any]) -> list[Path]:
    name = hashlib.md5(row["image"].encode(), usedforsecurity=False).hexdigest()
    files = [folder / f"{name}-{number}.npy" for number in range(pictures.forms)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if not missing:
        return files
    try:
        data = pictures.dataset.read(row["path"])
        for number in missing:
            image = _form(data, _box(row), pictures.preparation, name, number)
            partial_file = files[number].with_suffix(".partial")
            with partial_file.open("wb") as file:
                np.save(file, analyse(image))
            partial_file.replace(files[number])
    except (ImageError, OSError):
        return []
    return files


def _form(data: bytes, box: Box | None, preparation: Preparation, name: str, number: int) -> Image:
    if number == 0:
        return prepare(data, box, preparation).image
    return form(data, box, preparation, np.random.default_rng([number, int(name[:8], 16)]))


def _box(row: dict[str, Any]) -> Box | None:
    box = (row["box_x"], row["box_y"], row["box_width"], row["box_height"])
    return None if None in box else box


# ------------------------------------------------------------------------------------------------------- for training


def conditions(planes: Planes, layer: int) -> Samples:
    """Return the network's 8×H×W conditions with the points of the first `layer` layers, as `network.stack` makes them."""
    first = DIFFUSED + 3 * layer
    order = planes[LAYER]
    mask = ((order > 0) & (order <= layer)).astype(np.float32)
    diffused, colours = (_in_unit_range(planes[place]) for place in (slice(first, first + 3), COLOURS))
    return np.concatenate([diffused, planes[STROKES].astype(np.float32), (colours - np.float32(0.5)) * mask, mask])


def original(planes: Planes) -> Samples:
    """Return the picture itself, 3×H×W in [0, 1]."""
    return _in_unit_range(planes[ORIGINAL])


def _in_unit_range(planes: Planes) -> Samples:
    return planes.astype(np.float32) / np.float32(255)


def opened(file: Path) -> Planes:
    """Map a file of planes into memory."""
    return np.asarray(np.load(file, mmap_mode="r"))
