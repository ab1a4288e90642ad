"""A folder of 300 damaged and unusual files, the same at every call, and what a run should make of each."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image
from pictures import PORTRAIT
from PIL import ImageCms

FILES = 300
SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "PPM": ".ppm",
}
OTHER_SUFFIXES = (".jpeg", ".tiff", ".pgm")
PHOTO = np.ascontiguousarray(PORTRAIT[30:78, 130:170])
"""Part of a portrait, 48 rows by 40 columns."""
NAMES = (
    "with space.png",
    " leading space.png",
    "-rf.png",
    "new\nline.png",
    "tab\t.png",
    "quotes\"'.png",
    "per%20cent.png",
    "hash#1.png",
    "query?a=b.png",
    "star*[0]{a,b}.png",
    "back\\slash.png",
    "~home$HOME;ls.png",
    "chained::zip.png",
    "b\u00e9b\u00e9.png",
    "be\u0301be\u0301.png",
    "\u4eba\u7269.png",
    "\U0001f600.png",
    "right to \u202eleft.png",
    "UPPER.PNG",
    "n" * 251 + ".png",
)
"""What a shell, a URL or a table could trip over."""


@dataclass(frozen=True)
class Expected:
    """What a run should make of a file: rows of this status, of either, or none as it is not listed."""

    status: Literal["ok", "error", "either", "unlisted"]
    words: str = ""
    """What the note of an ok row says, or the reason of an error row."""


def write_damaged_files(folder: Path) -> dict[str, Expected]:
    """Fill a new folder; return what is expected of each file, by its path there."""
    folder.mkdir(parents=True)
    expected = dict(_not_regular(folder))
    regular = chain(_unusual(), _unreadable(), _truncated(), _overwritten())
    for name, content, status in islice(regular, FILES - len(expected)):
        (folder / name).write_bytes(content)
        expected[name] = status
    return expected


_File = tuple[str, bytes, Expected]


def saved(image: npt.NDArray[Any] | PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


# -------------------------------------------------------------------------------------------------------- damaged


def _truncated() -> Iterator[_File]:
    """Every format, cut off at several places."""
    for kind, suffix in SUFFIXES.items():
        whole = saved(PHOTO, kind)
        for percent in (1, 10, 40, 70, 90):
            yield f"cut at {percent}%{suffix}", whole[: len(whole) * percent // 100], Expected("error")


def _overwritten() -> Iterator[_File]:
    """Every format in turn, with a few bits flipped, or a stretch of zeros; without end."""
    random = np.random.default_rng(0)
    for number, (kind, suffix) in zip(count(), cycle(SUFFIXES.items())):
        content = np.frombuffer(saved(PHOTO, kind), np.uint8).copy()
        if number % 4 == 3:
            start = random.integers(len(content))
            content[start : start + 50] = 0
            yield f"zeroed {number}{suffix}", content.tobytes(), Expected("either")
            continue
        places = random.integers(len(content), size=1 + number % 3)
        content[places] ^= np.uint8(1) << random.integers(8, size=len(places)).astype(np.uint8)
        yield f"flipped {number}{suffix}", content.tobytes(), Expected("either")


def _unreadable() -> Iterator[_File]:
    """What is no image at all, under every suffix, and images that are refused for what they hold."""
    random = np.random.default_rng(1)
    unknown = Expected("error", "not a whole image of a known format")
    for suffix in [*SUFFIXES.values(), *OTHER_SUFFIXES]:
        yield f"empty{suffix}", b"", Expected("error", "the file is empty")
        yield f"zeros{suffix}", bytes(3000), unknown
        yield f"random{suffix}", random.bytes(3000), unknown
        yield f"text{suffix}", b"<html><body>404 Not Found</body></html>\n", unknown
    for name, magic in {
        "pdf": b"%PDF-1.7\n",
        "zip": b"PK\3\4",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "svg": b"<svg/>",
    }.items():
        yield f"{name}.jpg", magic + bytes(100), unknown
    yield "icon.png", saved(PHOTO, "ICO"), unknown
    yield "film.avif", b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41" + bytes(100), unknown
    large = Expected("error", "over 100 megapixels")
    yield "bomb.png", _flat_png(20_000, 20_000), large
    yield "large header.jpg", _with_size(saved(PHOTO, "JPEG"), 65_500, 65_500), large
    yield "large header.gif", b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + saved(PHOTO, "GIF")[10:], large
    yield "large header.bmp", saved(PHOTO, "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + saved(PHOTO, "BMP")[26:], large
    yield "no pixels.png", _png(0, 0, 8, 2, b""), Expected("error")
    yield (
        "float.tif",
        saved(np.linspace(0, 9, 64, dtype=np.float32).reshape(8, 8), "TIFF"),
        Expected("error", "floating-point"),
    )
    yield "32 bits.tif", saved(np.full((8, 8), 70_000, np.int32), "TIFF"), Expected("error", "more than 16 bits")
    baseline = saved(PHOTO, "JPEG")
    yield "12 bits.jpg", baseline.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), Expected("error")
    yield "lossless.jpg", baseline.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x08"), Expected("error")
    yield "arithmetic.jpg", baseline.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc9\0\x11\x08"), Expected("either")


def _flat_png(width: int, height: int) -> bytes:
    """Return a black PNG of one bit per pixel, a thousandth of the size of its pixels."""
    compressor = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    return _png(width, height, 1, 0, b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush())


def _png(width: int, height: int, depth: int, colour: int, compressed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", compressed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_png(samples: npt.NDArray[np.uint16]) -> bytes:
    """Return H×W×C samples of 16 bits, of 2 to 4 channels, as a PNG file, which Pillow does not write."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.tobytes() for row in samples.astype(">u2"))
    return _png(width, height, 16, {2: 4, 3: 2, 4: 6}[channels], zlib.compress(rows))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_size(jpeg: bytes, width: int, height: int) -> bytes:
    frame = jpeg.index(b"\xff\xc0")
    return jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]


# -------------------------------------------------------------------------------------------------------- unusual


def _unusual() -> Iterator[_File]:
    """Whole images, most of which need a conversion."""
    for name in NAMES:
        yield name, saved(PHOTO), Expected("ok")
    for (kind, _), (_, suffix) in zip(SUFFIXES.items(), islice(cycle(SUFFIXES.items()), 1, None), strict=False):
        yield f"truly {kind}{suffix}", saved(PHOTO, kind), Expected("ok")
    for kind, suffix in SUFFIXES.items():
        yield f"trailing bytes{suffix}", saved(PHOTO, kind) + b"trailing" * 9, Expected("either" if kind == "AVIF" else "ok")
    yield from _of_unusual_size()
    yield from _of_unusual_samples()
    yield from _of_unusual_colours()
    yield from _with_metadata()
    yield from _of_unusual_coding()


def _of_unusual_size() -> Iterator[_File]:
    for width, height in [(1, 1), (1, 4000), (4000, 1), (3, 2)]:
        pixels = np.resize(PHOTO, (height, width, 3))
        yield f"{width}x{height}.png", saved(pixels), Expected("ok")
        yield f"{width}x{height}.jpg", saved(pixels, "JPEG"), Expected("ok")
    yield "large.png", _flat_png(9_000, 9_000), Expected("ok", "black and white converted to RGB")


def _of_unusual_samples() -> Iterator[_File]:
    grey = PHOTO[:, :, 1]
    to_rgb, scaled = Expected("ok", "converted to RGB"), Expected("ok", "16-bit")
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000"):
        note = Expected("ok") if kind in {"WEBP", "AVIF"} else to_rgb  # these formats have no grey
        yield f"grey{SUFFIXES[kind]}", saved(grey, kind), note
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        yield f"one bit{SUFFIXES[kind]}", saved(grey > 127, kind), to_rgb
    palette = PIL.Image.fromarray(PHOTO).quantize(16)
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        yield f"palette{SUFFIXES[kind]}", saved(palette, kind), Expected("ok", "palette converted to RGB")
    deep = grey.astype(np.uint16) * 257
    for kind in ("PNG", "TIFF", "PPM", "JPEG2000"):
        yield f"16-bit grey{SUFFIXES[kind]}", saved(deep, kind), scaled
    for samples in (np.dstack([grey, 255 - grey]), PHOTO, np.dstack([PHOTO, 255 - grey])):
        yield f"16-bit of {samples.shape[-1]} channels.png", deep_png(samples * np.uint16(257)), scaled
    yield "16-bit rgb.ppm", b"P6 40 48 65535\n" + np.repeat(PHOTO.reshape(-1), 2).tobytes(), scaled
    yield "plain text.ppm", b"P3 2 1 255\n255 0 0 0 0 255\n", Expected("ok")


def _of_unusual_colours() -> Iterator[_File]:
    over_white, plainly = Expected("ok", "alpha over white"), Expected("ok", "CMYK converted to RGB")
    transparent = np.dstack([PHOTO, 255 - PHOTO[:, :, 1]])
    for kind in ("PNG", "WEBP", "AVIF", "TIFF", "JPEG2000"):
        yield f"alpha{SUFFIXES[kind]}", saved(transparent, kind), over_white
    yield "grey alpha.png", saved(transparent[:, :, 2:]), over_white
    palette = PIL.Image.fromarray(PHOTO).quantize(16)
    yield "transparent palette.png", saved(palette, transparency=bytes(range(0, 256, 16))), over_white
    yield "transparent palette.gif", saved(palette, "GIF", transparency=3), over_white
    yield "transparent colour.png", saved(PHOTO, transparency=tuple(map(int, PHOTO[5, 5]))), over_white
    cmyk = PIL.Image.fromarray(PHOTO).convert("CMYK")
    adobe = saved(cmyk, "JPEG")
    marker = adobe.index(b"\xff\xee")
    yield "cmyk.tif", saved(cmyk, "TIFF"), plainly
    yield "cmyk inverted by Adobe.jpg", adobe, plainly
    yield "cmyk.jpg", adobe[:marker] + adobe[marker + 16 :], plainly
    yield "ycck.jpg", adobe[: marker + 15] + b"\2" + adobe[marker + 16 :], plainly
    yield "lab.tif", saved(PIL.Image.new("LAB", (8, 8), (200, 140, 120)), "TIFF"), Expected("ok", "LAB converted to RGB")


def _with_metadata() -> Iterator[_File]:
    for orientation in range(1, 10):
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        turned = Expected("ok", "EXIF rotation applied" if 1 < orientation < 9 else "")
        yield f"orientation {orientation}.jpg", saved(PHOTO, "JPEG", exif=exif), turned
    for number, broken in enumerate([b"garbage", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\1\x01\x12"]):
        yield f"broken exif {number}.jpg", saved(PHOTO, "JPEG", exif=b"Exif\0\0" + broken), Expected("ok")
    profile = _wide_gamut_profile()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        converted = Expected("ok", "RGB converted to sRGB through its profile")
        ignored = Expected("ok", "unusable colour profile ignored")
        yield f"wide gamut{SUFFIXES[kind]}", saved(PHOTO, kind, icc_profile=profile), converted
        yield f"broken profile{SUFFIXES[kind]}", saved(PHOTO, kind, icc_profile=profile[:200]), ignored


def _wide_gamut_profile() -> bytes:
    """Return sRGB's profile with the primaries of Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132]), 12):
        tag, start = bytes(profile[entry : entry + 4]), int.from_bytes(profile[entry + 4 : entry + 8])
        if tag in primaries:
            profile[start + 8 : start + 20] = struct.pack(">3i", *(round(65536 * value) for value in primaries[tag]))
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))


def _of_unusual_coding() -> Iterator[_File]:
    frames = [PIL.Image.fromarray(np.roll(PHOTO, shift, axis=0)) for shift in (0, 9, 18)]
    for kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        animated = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        yield f"animation{SUFFIXES[kind]}", animated, Expected("ok", "first frame of an animation")
    yield "progressive.jpg", saved(PHOTO, "JPEG", progressive=True), Expected("ok")
    yield "rgb.jpg", saved(PHOTO, "JPEG", keep_rgb=True), Expected("ok")
    yield "restarts.jpg", saved(PHOTO, "JPEG", restart_marker_blocks=1), Expected("ok")
    yield "lossless.webp", saved(PHOTO, "WEBP", lossless=True), Expected("ok")
    yield "codestream.jp2", saved(PHOTO, "JPEG2000", no_jp2=True), Expected("ok")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"{compression}.tif", saved(PHOTO, "TIFF", compression=compression), Expected("ok")
    yield "fax.tif", saved(PHOTO[:, :, 1] > 127, "TIFF", compression="group4"), Expected("ok", "black and white")
    yield "big.tif", saved(PHOTO, "TIFF", big_tiff=True), Expected("ok")


# ------------------------------------------------------------------------------------------------- not regular files


def _not_regular(folder: Path) -> Iterator[tuple[str, Expected]]:
    """Folders, links, a pipe and a socket with the names of images, and what a listing passes over."""
    (folder / "folder.jpg").mkdir()
    yield "folder.jpg", Expected("unlisted")
    (folder / "album.png").mkdir()
    (folder / "album.png" / "inside.jpg").write_bytes(saved(PHOTO, "JPEG"))
    yield "album.png/inside.jpg", Expected("ok")
    (folder / "link.png").symlink_to(NAMES[0])
    yield "link.png", Expected("ok")
    (folder / "dangling.png").symlink_to("nowhere")
    yield "dangling.png", Expected("error")
    (folder / "circle.png").symlink_to("circle.png")
    yield "circle.png", Expected("error")
    (folder / "album.png" / "round").symlink_to("..")
    yield "album.png/round", Expected("unlisted")
    (folder / "device.png").symlink_to(os.devnull)
    yield "device.png", Expected("error")
    os.mkfifo(folder / "pipe.png")
    yield "pipe.png", Expected("error", "not a regular file")
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)
    yield "socket.png", Expected("error", "not a regular file")
    with (folder / "sparse.png").open("wb") as sparse:
        sparse.truncate(2**40)
    yield "sparse.png", Expected("error")
    for name in (".hidden.png", "notes.txt", "no suffix", "archive.png.zip"):
        (folder / name).write_bytes(saved(PHOTO))
        yield name, Expected("unlisted")
