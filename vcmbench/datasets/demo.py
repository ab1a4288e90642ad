"""The built-in demo: two public-domain portraits that scikit-image and matplotlib carry, in two dozen views."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import cos, radians, sin
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import pyarrow as pa

from vcmbench.datasets.listing import COLUMNS
from vcmbench.datasets.prepare import Box
from vcmbench.interfaces import Dataset

FACES: dict[str, Box] = {"eileen_collins": (172, 62, 110, 128), "grace_hopper": (172, 122, 190, 208)}
"""Each person's face box in the portrait, set by hand."""


@dataclass(frozen=True)
class View:
    """A square cut out of a portrait around the face, as another photograph might frame it.

    Lengths are multiples of the face box's longer side: `side` of the square, `right` and `down` from the face's centre to
    the square's. `angle` turns the face clockwise, in degrees; `stops` doubles or halves the light.
    """

    side: float
    right: float = 0
    down: float = 0
    angle: float = 0
    stops: float = 0
    mirrored: bool = False


VIEWS = (
    View(1.6),
    View(1.6, mirrored=True),
    View(1.3, right=0.05),
    View(1.3, right=0.05, mirrored=True),
    View(1.15, down=0.03),
    View(1.4, angle=6),
    View(1.4, angle=-6, mirrored=True),
    View(1.5, angle=10, down=0.05),
    View(1.5, stops=-1),
    View(1.4, stops=0.5, mirrored=True),
    View(1.25, down=-0.04, angle=-4, stops=-0.5),
    View(1.5, right=-0.06, angle=4, stops=0.3, mirrored=True),
)

NAMED_VIEWS = {f"{number:02}.png": view for number, view in enumerate(VIEWS, start=1)}


@dataclass(frozen=True)
class Demo(Dataset):
    """Eileen Collins (NASA, from scikit-image) and Grace Hopper (US Navy, from matplotlib), each in twelve views."""

    kind: ClassVar[str] = "demo"
    summary: ClassVar[str] = "two public-domain portraits in two dozen views, always at hand"
    notice: ClassVar[str] = "two people, not a benchmark"

    def images(self) -> Iterator[pa.RecordBatch]:
        """List the 24 views; the label `gender` is "f" for both people."""
        columns = [*COLUMNS, pa.field("gender", pa.string())]
        rows = [
            (f"{person}/{name}", f"{person}/{name}", person, *face_box(FACES[person], view), "f")
            for person in FACES
            for name, view in NAMED_VIEWS.items()
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), columns, strict=True)]
        yield pa.record_batch(arrays, schema=pa.schema(columns))

    def read(self, path: str) -> bytes:
        """Render a view as a PNG file."""
        person, _, name = path.partition("/")
        if person not in FACES or name not in NAMED_VIEWS:
            raise FileNotFoundError(f"the demo has no view {path}")
        file = io.BytesIO()
        render(portrait(person), FACES[person], NAMED_VIEWS[name]).save(file, "PNG", compress_level=1)
        return file.getvalue()


def render(original: PIL.Image.Image, face: Box, view: View) -> PIL.Image.Image:
    """Cut a view out of a portrait with this face box, at the portrait's own resolution."""
    centre, side = _square(face, view)
    back = _turn(view).T
    x, y = centre - back @ (side / 2, side / 2)
    to_portrait = (back[0, 0], back[0, 1], x, back[1, 0], back[1, 1], y)
    turned = original.transform((side, side), PIL.Image.Transform.AFFINE, to_portrait, PIL.Image.Resampling.BICUBIC)
    return turned.point(exposure(view.stops) * 3)


def face_box(face: Box, view: View) -> Box:
    """Return the face box in the pixels of a view: its centre goes with the face; it keeps its size and stays upright."""
    centre, side = _square(face, view)
    x, y = side / 2 + _turn(view) @ (_centre(face) - centre)
    _, _, width, height = face
    return x - width / 2, y - height / 2, width, height


def _square(face: Box, view: View) -> tuple[npt.NDArray[np.float64], int]:
    """Return a view's centre in the portrait and its side, in pixels; an even side makes plain views exact copies."""
    unit = max(face[2:])
    return _centre(face) + np.array([view.right, view.down]) * unit, 2 * round(view.side * unit / 2)


def _centre(box: Box) -> npt.NDArray[np.float64]:
    x, y, width, height = box
    return np.array([x + width / 2, y + height / 2])


def _turn(view: View) -> npt.NDArray[np.float64]:
    """Return the orthogonal matrix that takes offsets in the portrait to offsets in the view, y down."""
    cosine, sine = cos(radians(view.angle)), sin(radians(view.angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.diag([-1, 1]) @ turn if view.mirrored else turn


def exposure(stops: float) -> list[int]:
    """Return the table that multiplies the light of 8-bit sRGB values by a power of two (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) * 2**stops
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    table: list[int] = np.clip(np.rint(encoded * 255), 0, 255).astype(int).tolist()
    return table


@lru_cache
def portrait(person: str) -> PIL.Image.Image:
    """Return a person's portrait from the package that carries it."""
    if person == "eileen_collins":
        import skimage.data  # noqa: PLC0415  # slow to import, and needed only here

        return PIL.Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]  # scikit-image has no hints
    from matplotlib import cbook  # noqa: PLC0415  # likewise

    return PIL.Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
