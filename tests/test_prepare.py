"""Preparing images: decoding any file to sRGB, cropping to the face, resizing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from damaged_files import deep_png
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from vcmbench.datasets.prepare import Box, Preparation, crop_square, decode, prepare
from vcmbench.interfaces import ImageError, UsageError

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (31, 20, 3), np.uint8)
"""Noise of an odd shape, so that no turn, mirror or swap of channels goes unseen."""


def encoded(image: PIL.Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends where its pixels should begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">II", zlib.crc32(header), 99) + b"IDAT"


def orientation(value: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    return exif


# ------------------------------------------------------------------------------------------------------------ crop


@given(
    *[st.integers(20, 400)] * 2,
    st.tuples(st.floats(-50, 390), st.floats(-50, 390), st.floats(1, 500), st.floats(1, 500)),
    st.floats(0.5, 3),
)
def test_the_crop_is_the_square_in_the_image_nearest_to_the_face(width: int, height: int, box: Box, scale: float) -> None:
    """The crop has the side asked for or all there is, lies inside, and leaves the face's centre only where it must."""
    x, y, box_width, box_height = box
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        return
    left, top, side = crop_square(width, height, box, scale)
    assert side == pytest.approx(min(scale * max(box_width, box_height), width, height))
    for start, length, centre in ((left, width, x + box_width / 2), (top, height, y + box_height / 2)):
        assert -1e-9 <= start <= length - side + 1e-9
        distances = [abs(start + move + side / 2 - centre) for move in (-0.5, 0, 0.5) if 0 <= start + move <= length - side]
        assert abs(start + side / 2 - centre) <= min(distances, default=np.inf) + 1e-9


def test_a_crop_that_does_not_fit_is_moved_then_shrunk() -> None:
    """Numbers by hand: a centred crop, one moved from the left border, one shrunk to the image's height, and none."""
    assert crop_square(300, 200, (100, 50, 40, 60), 1.5) == (75, 35, 90)
    assert crop_square(300, 200, (-10, 50, 40, 60), 1.5) == (0, 35, 90)
    assert crop_square(300, 200, (100, 20, 150, 160), 1.5) == (75, 0, 200)
    assert crop_square(300, 200, None, 1.5) == (50, 0, 200)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((float("nan"), 0, 10, 10), "x=nan .* not of finite numbers"),
        ((0, 0, float("inf"), 10), "width=inf .* not of finite numbers"),
        ((0, 0, 0, 10), "width=0 .* smaller than a pixel"),
        ((5, 5, 10, -4), "height=-4 .* smaller than a pixel"),
        ((20, 0, 10, 10), "x=20 .* outside the image of 20×31"),
        ((0, -10, 10, 10), "y=-10 .* outside the image of 20×31"),
    ],
)
def test_an_unusable_face_box_is_named(box: Box, reason: str) -> None:
    """A box that is not a box, or not in the image, is refused with its numbers."""
    with pytest.raises(ImageError, match=reason):
        prepare(encoded(PHOTO), box, Preparation())


def test_the_face_lies_in_the_prepared_box() -> None:
    """A red face on green is red just inside the box that comes with the prepared image, and green just outside."""
    image = np.zeros((200, 313, 3), np.uint8)
    image[:, :, 1] = 255
    image[60:140, 230:290] = (255, 0, 0)
    prepared = prepare(encoded(image), (230, 60, 60, 80), Preparation(size=256, scale=1.3))
    assert prepared.image.shape == (256, 256, 3)
    assert prepared.image.dtype == np.uint8
    assert prepared.box
    x, y, width, height = prepared.box
    assert (width, height) == pytest.approx((60 * 256 / 104, 80 * 256 / 104))
    inside = prepared.image[round(y) + 8 : round(y + height) - 8, round(x) + 8 : round(x + width) - 8]
    assert (inside == (255, 0, 0)).all()
    assert (prepared.image[:, : round(x) - 8] == (0, 255, 0)).all()
    assert (prepared.image[round(y + height) + 8 :] == (0, 255, 0)).all()


def test_a_crop_of_the_prepared_size_is_copied() -> None:
    """No pixel changes where nothing is resized, and without a box there is none."""
    prepared = prepare(encoded(PHOTO), (2, 8, 16, 16), Preparation(size=16, scale=1))
    assert (prepared.image == PHOTO[8:24, 2:18]).all()
    centred = prepare(encoded(PHOTO[:30]), None, Preparation(size=20))
    assert (centred.image == PHOTO[5:25]).all()
    assert centred.box is None
    assert centred.note == ""


def test_a_box_is_in_the_pixels_as_displayed() -> None:
    """The box of a photograph that is stored lying is found in the upright image."""
    prepared = prepare(encoded(PHOTO, exif=orientation(6)), (3, 2, 16, 16), Preparation(size=16, scale=1))
    assert (prepared.image == np.rot90(PHOTO, -1)[2:18, 3:19]).all()
    assert prepared.box == (0, 0, 16, 16)


def test_the_identity_tells_preparations_apart() -> None:
    """Size and scale are part of what a result depends on."""
    assert Preparation().identity == Preparation(256, 1.3).identity
    assert Preparation().identity != Preparation(size=128).identity
    assert Preparation().identity != Preparation(scale=1.5).identity


@pytest.mark.parametrize("options", [{"size": 0}, {"scale": 0}, {"scale": float("nan")}, {"scale": float("inf")}])
def test_an_impossible_preparation_is_refused(options: dict[str, Any]) -> None:
    """A size or scale that gives no image is a usage error."""
    with pytest.raises(UsageError, match="must be"):
        Preparation(**options)


# -------------------------------------------------------------------------------------------------- unusual images


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("value", UPRIGHT)
def test_exif_rotation_is_applied(kind: str, value: int) -> None:
    """Each of the eight orientations is displayed upright, once, and noted."""
    image, note = decode(encoded(PHOTO, kind, exif=orientation(value), **({"lossless": True} if kind == "WEBP" else {})))
    assert (image == UPRIGHT[value](PHOTO)).all()
    assert note == ("" if value == 1 else "EXIF rotation applied")


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12"]
)
def test_broken_exif_is_ignored(exif: bytes) -> None:
    """Metadata that cannot be read leaves the image as stored, without a warning."""
    assert (decode(encoded(PHOTO, exif=exif))[0] == PHOTO).all()


def test_grey_and_palette_become_rgb() -> None:
    """One channel is repeated, and a palette looked up, to the exact value."""
    grey, note = decode(encoded(PHOTO[:, :, 0]))
    assert (grey == PHOTO[:, :, :1]).all()
    assert note == "grey converted to RGB"
    few = (PHOTO // 128 * 200).astype(np.uint8)
    looked_up, note = decode(encoded(PIL.Image.fromarray(few).quantize(8)))
    assert (looked_up == few).all()
    assert note == "palette converted to RGB"
    bits, note = decode(encoded(PIL.Image.fromarray(PHOTO[:, :, 0] > 127)))
    assert (bits == 255 * (PHOTO[:, :, :1] > 127)).all()
    assert note == "black and white converted to RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled(kind: str) -> None:
    """The 8-bit value is 16-bit value / 257, rounded: white stays white and nothing is clipped."""
    deep = RNG.integers(0, 65536, (20, 31), np.uint16)
    deep[0, :3] = 0, 65535, 32896
    image, note = decode(encoded(deep, kind))
    assert (image == np.rint(deep / 257).astype(np.uint8)[:, :, None]).all()
    assert note == "16-bit scaled; grey converted to RGB"


@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_16_bit_colours_are_scaled(kind: str) -> None:
    """Each colour differs from value / 257 by a level at most, white stays white, and that is noted."""
    deep = RNG.integers(0, 65536, PHOTO.shape, np.uint16)
    deep[0, 0], deep[0, 1] = 0, 65535
    header = f"P6 {deep.shape[1]} {deep.shape[0]} 65535\n".encode()
    image, note = decode(deep_png(deep) if kind == "PNG" else header + deep.astype(">u2").tobytes())
    assert (image[0, :2] == [[0], [255]]).all()
    assert np.abs(image - deep / 257).max() < 1
    assert note == "16-bit scaled"
    assert decode(encoded(PHOTO, kind))[1] == ""


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.array([[0.5]], np.float32), "floating-point"),
        (np.array([[70000]], np.int32), "more than 16"),
        (np.array([[-1]], np.int32), "16"),
    ],
)
def test_samples_without_a_known_white_are_refused(samples: np.ndarray, reason: str) -> None:
    """Nobody can say what is white in a float or 32-bit image, so none is guessed."""
    with pytest.raises(ImageError, match=reason):
        decode(encoded(samples, "TIFF"))


def test_transparency_is_laid_over_white() -> None:
    """Alpha blends with white; a transparent palette entry and a transparent colour become white."""
    alpha = RNG.integers(0, 256, PHOTO.shape[:2], np.uint8)
    image, note = decode(encoded(np.dstack([PHOTO, alpha])))
    expected = 255 + (PHOTO.astype(float) - 255) * alpha[:, :, None] / 255
    assert np.abs(image - expected).max() <= 1
    assert note == "alpha over white"
    palette = PIL.Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) % 2, "L").convert("P")
    palette.putpalette([200, 0, 0, 0, 0, 200])
    assert (decode(encoded(palette, transparency=0))[0] == np.resize([[255, 255, 255], [0, 0, 200]], (2, 3, 3))).all()
    keyed = PIL.Image.new("RGB", (2, 2), (9, 8, 7))
    assert (decode(encoded(keyed, transparency=(9, 8, 7)))[0] == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    """Of several frames the first is taken, and that is noted."""
    frames = [PIL.Image.new("RGB", (20, 31), colour) for colour in ("red", "lime", "blue")]
    image, note = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 4  # lossy WebP
    assert note.startswith("first frame of an animation")


# --------------------------------------------------------------------------------------------------------- profiles


def swapped_profile() -> bytes:
    """An ICC profile that calls red blue and blue red: sRGB's, with the signatures of its primaries swapped."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def cmyk_profile(ink_lab: tuple[int, int, int]) -> bytes:
    """An ICC 2 profile of a printer whose coloured inks all print one colour, given as 8-bit Lab, on white paper."""

    def text(kind: bytes, words: bytes) -> bytes:
        return kind + bytes(4) + words

    ramp = bytes(range(256))
    paper, ink, black = bytes([255, 128, 128]), bytes(ink_lab), bytes([0, 128, 128])
    grid = paper + black + (ink + black) * 7  # the key changes fastest
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    tags = {
        b"desc": text(b"desc", struct.pack(">I", 6) + b"print\0" + bytes(78)),
        b"cprt": text(b"text", b"none\0"),
        b"wtpt": text(b"XYZ ", struct.pack(">3i", 63190, 65536, 54061)),
        b"A2B0": text(b"mft1", bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid + ramp * 3),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + len(table + body), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ", bytes(12), b"acsp"
    )
    return header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + table + body


def test_a_profile_is_converted_to_srgb() -> None:
    """With a profile that swaps red and blue, so does the conversion; sRGB's own profile changes no pixel."""
    image, note = decode(encoded(PHOTO, icc_profile=swapped_profile()))
    assert np.abs(image.astype(int) - PHOTO[:, :, ::-1]).max() <= 1
    assert note == "RGB converted to sRGB through its profile"
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (decode(encoded(PHOTO, icc_profile=own))[0] == PHOTO).all()


def test_a_profile_is_applied_under_transparency_and_to_palettes() -> None:
    """The colours of transparent and of palette images go through the profile too."""
    opaque = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    image, note = decode(encoded(opaque, icc_profile=swapped_profile()))
    assert np.abs(image.astype(int) - PHOTO[:, :, ::-1]).max() <= 1
    assert note == "RGB converted to sRGB through its profile; alpha over white"
    palette = PIL.Image.new("RGB", (4, 4), (200, 100, 0)).quantize(2)
    assert np.abs(decode(encoded(palette, icc_profile=swapped_profile()))[0].astype(int) - (0, 100, 200)).max() <= 1


def test_cmyk_is_converted_through_its_profile_or_plainly() -> None:
    """Cyan is what the profile says it is, here a red; without a profile it is cyan."""
    cyan = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    image, note = decode(encoded(cyan, "TIFF", icc_profile=cmyk_profile((136, 208, 195))))
    assert np.abs(image[0, 0].astype(int) - (255, 0, 0)).max() <= 12
    assert note == "CMYK converted to sRGB through its profile"
    image, note = decode(encoded(cyan, "JPEG", quality=100))
    assert np.abs(image[0, 0].astype(int) - (0, 255, 255)).max() <= 3
    assert note == "CMYK converted to RGB"


@pytest.mark.parametrize("profile", [b"broken", swapped_profile()[:200], cmyk_profile((136, 208, 195))])
def test_an_unusable_profile_is_ignored(profile: bytes) -> None:
    """A profile that is damaged, or for other channels, leaves the pixels alone and is noted."""
    image, note = decode(encoded(PHOTO, icc_profile=profile))
    assert (image == PHOTO).all()
    assert note == "unusable colour profile ignored"


# -------------------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 5000, "known format"),
        (b"<html>not found</html>", "known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "known format"),
        (png_header(10_001, 10_000), "100 megapixels"),
        (png_header(60_000, 60_000), "100 megapixels"),
        (png_header(0, 10), "no pixels|known format"),
        (png_header(9_900, 9_900), "damaged"),
    ],
    ids=["empty", "zeros", "page", "postscript", "large", "huge", "no pixels", "header only"],
)
def test_an_unusable_file_gives_its_reason(data: bytes, reason: str) -> None:
    """Empty, foreign and huge files are refused from the header on, without a warning of Pillow's."""
    with pytest.raises(ImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    """A file cut at any place gives an image error, whatever Pillow raised."""
    whole = encoded(np.kron(PHOTO, np.ones((4, 4, 1), np.uint8)), kind)
    for part in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(ImageError):
            decode(whole[: int(len(whole) * part)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM"])
def test_a_damaged_file_never_does_worse_than_an_image_error(kind: str) -> None:
    """With bytes overwritten at random a file still decodes to some image or is refused."""
    whole = np.frombuffer(encoded(PHOTO, kind), np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(40):
        damaged = whole.copy()
        places = rng.integers(0, len(whole), 3)
        damaged[places] = rng.integers(0, 256, 3)
        try:
            image, _ = decode(damaged.tobytes())
        except ImageError:
            continue
        assert image.ndim == 3
        assert image.dtype == np.uint8


def test_real_portraits_are_prepared(portraits: Path) -> None:
    """A JPEG photograph is decoded as Pillow does and its crop has the face in the middle."""
    data = (portraits / "test" / "n901001" / "0001_01.jpg").read_bytes()
    image, note = decode(data)
    assert note == ""
    assert (image == np.asarray(PIL.Image.open(io.BytesIO(data)))).all()
    prepared = prepare(data, (151, 135, 268, 268), Preparation())
    assert prepared.image.shape == (256, 256, 3)
    assert prepared.box
    assert 256 / 1.3 <= prepared.box[2] <= 256
