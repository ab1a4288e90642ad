"""From an image file's bytes to the square 8-bit sRGB image that a codec is given.

`decode` turns any readable file into sRGB and says what it had to convert; `crop_square` places the crop; `prepare` does
both and resizes. A face box is in the pixels of the image as displayed, that is after its EXIF rotation.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import PIL
import PIL.Image
from PIL import ExifTags, ImageCms, features
from PIL.Image import Transpose

from vcmbench.interfaces import Image, ImageError, UsageError

Box: TypeAlias = tuple[float, float, float, float]
"""x and y of the upper left corner, width, height; in pixels."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM")
"""What is read, by Pillow's names; its other readers start foreign programs or are not for photographs."""

MAX_MEGAPIXELS = 100

TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation → the turn that displays the stored pixels upright (EXIF 2.32, tag 0x0112)."""

_warning_filters = threading.Lock()


@dataclass(frozen=True)
class Preparation:
    """The side of the prepared image in pixels, and of the crop as a multiple of the face box's longer side."""

    size: int = 256
    scale: float = 1.3

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"the prepared size must be at least 1 pixel, not {self.size}")
        if not 0 < self.scale < math.inf:
            raise UsageError(f"the crop scale must be a positive number, not {self.scale}")

    @property
    def identity(self) -> dict[str, object]:
        """Everything of this step that can change a pixel."""
        backend = f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"
        return {"version": "1", "size": self.size, "scale": self.scale, "backend": backend}


@dataclass(frozen=True)
class Prepared:
    """A prepared image, its face box in these pixels (which may reach over the border), and what was converted."""

    image: Image
    box: Box | None
    note: str


def prepare(data: bytes, box: Box | None, preparation: Preparation) -> Prepared:
    """Decode an image file, crop it to the face, and resize the crop with Pillow's Lanczos filter to a square.

    `box` is the face box in the displayed image, or None for the largest centred square. Raises `ImageError` for a file
    that cannot be used and for a box that is degenerate or outside the image.
    """
    image, note = _decode(data)
    left, top, side = crop_square(image.width, image.height, box, preparation.scale)
    area = (left, top, min(left + side, image.width), min(top + side, image.height))  # the sums may round past the border
    resized = image.resize((preparation.size, preparation.size), PIL.Image.Resampling.LANCZOS, box=area)
    return Prepared(np.array(resized), box and _inside(box, left, top, preparation.size / side), note)


def decode(data: bytes) -> tuple[Image, str]:
    """Decode an image file to 8-bit sRGB; also return what had to be converted, in words, or "".

    Raises `ImageError` for a file that is empty, truncated, damaged, of an unknown format or over 100 megapixels.
    """
    image, note = _decode(data)
    return np.array(image), note


def crop_square(width: int, height: int, box: Box | None, scale: float) -> tuple[float, float, float]:
    """Return left, top and side of the crop in an image of this size, in pixels and fractions of them.

    The square of side `scale` × the box's longer side is centred on the box, moved inside the image if it does not fit, and
    then shrunk to fit. Without a box it is the largest centred square. Raises `ImageError` for an unusable box.
    """
    if box is None:
        side = float(min(width, height))
        return (width - side) / 2, (height - side) / 2, side
    _check_box(box, width, height)
    x, y, box_width, box_height = box
    side = min(scale * max(box_width, box_height), width, height)
    left = min(max(x + (box_width - side) / 2, 0), width - side)
    top = min(max(y + (box_height - side) / 2, 0), height - side)
    return left, top, side


def _check_box(box: Box, width: int, height: int) -> None:
    x, y, box_width, box_height = box
    spelled = f"the face box x={x:g} y={y:g} width={box_width:g} height={box_height:g}"
    if not all(map(math.isfinite, box)):
        raise ImageError(f"{spelled} is not of finite numbers")
    if min(box_width, box_height) < 1:
        raise ImageError(f"{spelled} is smaller than a pixel")
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        raise ImageError(f"{spelled} is outside the image of {width}×{height} pixels")


def _inside(box: Box, left: float, top: float, zoom: float) -> Box:
    x, y, width, height = box
    return (x - left) * zoom, (y - top) * zoom, width * zoom, height * zoom


def _decode(data: bytes) -> tuple[PIL.Image.Image, str]:
    try:
        image, notes = _load(data)
        colour, conversions = _to_srgb(image)
    except ImageError:
        raise
    except Exception as error:  # on a damaged file Pillow's readers raise anything
        raise ImageError(f"the image is damaged: {error}") from error
    notes += conversions
    turn = TURNS.get(_orientation(image))
    if turn is not None:
        colour = colour.transpose(turn)
        notes.append("EXIF rotation applied")
    return colour, "; ".join(notes)


def _load(data: bytes) -> tuple[PIL.Image.Image, list[str]]:
    """Decode the first frame in its own colours, after a look at the size in the header."""
    if not data:
        raise ImageError("the file is empty")
    image = _open(data)
    if 0 in image.size:
        raise ImageError("the image has no pixels")
    if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
        raise _too_large()
    notes = ["first frame of an animation"] if getattr(image, "is_animated", False) else []
    if _has_deep_colours(image):
        notes.append("16-bit scaled")
    if image.format == "TIFF" and _orientation(image) in TURNS:  # Pillow itself turns this format while loading
        notes.append("EXIF rotation applied")
    image.load()
    return image, notes


def _has_deep_colours(image: PIL.ImageFile.ImageFile) -> bool:
    """Whether Pillow, while it loads, scales colours of more than 8 bits; grey samples it leaves as they are."""
    layouts = [tile.args for tile in image.tile]  # in the file: "RGB;16B", say, or mode and maximum in a PPM file
    deep_ppm = image.format == "PPM" and any(isinstance(layout, tuple) and layout[1] > 255 for layout in layouts)
    return not image.mode.startswith("I") and (deep_ppm or ";16" in str(layouts))


def _open(data: bytes) -> PIL.ImageFile.ImageFile:
    try:
        with _without_warnings():
            return PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.UnidentifiedImageError as error:
        raise ImageError(f"the file is not a whole image of a known format ({', '.join(FORMATS)})") from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_large() from error


def _too_large() -> ImageError:
    return ImageError(f"the image is over {MAX_MEGAPIXELS} megapixels; scale it down")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow on large sizes and odd headers, handled here; the lock, as `catch_warnings` is not made for threads."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation; broken metadata, on which Pillow raises anything, leaves the image as stored."""
    try:
        with _without_warnings():
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  # see above
        return 1


def _to_srgb(image: PIL.Image.Image) -> tuple[PIL.Image.Image, list[str]]:
    """Convert any mode to 8-bit RGB: depth first, then colour through the profile, then transparency."""
    profile = image.info.get("icc_profile")
    image, depth_note = _to_8_bits(image)
    colour, alpha = _split_alpha(image)
    colour, palette_note = _to_rgb(colour) if colour.mode == "P" else (colour, "")
    colour, profile_note = _through_profile(colour, profile)
    colour, mode_note = _to_rgb(colour)
    notes = [depth_note, palette_note, profile_note, mode_note]
    if alpha is not None:
        white = PIL.Image.new("RGB", colour.size, "white")
        white.paste(colour, mask=alpha)
        colour, notes = white, [*notes, "alpha over white"]
    return colour, [note for note in notes if note]


def _to_8_bits(image: PIL.Image.Image) -> tuple[PIL.Image.Image, str]:
    if image.mode == "F":
        raise ImageError("the image has floating-point samples, whose white is not defined; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image, ""
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > np.iinfo(np.uint16).max:
        raise ImageError("the image has samples of more than 16 bits; save it with 8 or 16 bits")
    scaled = samples.astype(np.uint32)  # and in place, as this may take most of all the memory that preparing takes
    scaled += 128
    scaled //= 257
    return PIL.Image.fromarray(scaled.astype(np.uint8)), "16-bit scaled"


def _split_alpha(image: PIL.Image.Image) -> tuple[PIL.Image.Image, PIL.Image.Image | None]:
    """Separate the colours, not yet blended with anything, from the transparency."""
    if not image.has_transparency_data:
        return image, None
    with_alpha = image.convert("RGBA")
    return with_alpha.convert("RGB"), with_alpha.getchannel("A")


def _through_profile(image: PIL.Image.Image, icc: bytes | None) -> tuple[PIL.Image.Image, str]:
    if not icc:
        return image, ""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return image, ""
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # broken, or made for other colour channels
        return image, "unusable colour profile ignored"
    return cast(PIL.Image.Image, converted), f"{_word(image)} converted to sRGB through its profile"


def _to_rgb(image: PIL.Image.Image) -> tuple[PIL.Image.Image, str]:
    if image.mode == "RGB":
        return image, ""
    return image.convert("RGB"), f"{_word(image)} converted to RGB"


def _word(image: PIL.Image.Image) -> str:
    return {"1": "black and white", "L": "grey", "P": "palette"}.get(image.mode, image.mode)
