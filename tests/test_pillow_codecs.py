"""The families that Pillow codes: their options reach the stream, and only whole streams of the format are decoded."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import JpegImagePlugin, features
from skimage.data import astronaut

from vcmbench import registry
from vcmbench.codecs import create
from vcmbench.codecs.png import Png
from vcmbench.interfaces import BitstreamError, Image, ImageError, UsageError

FACE: Image = np.ascontiguousarray(astronaut()[20:220, 60:373])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
NOISE: Image = np.random.default_rng(0).integers(0, 256, (300, 301, 3), dtype=np.uint8)
FAMILIES = ("avif", "jpeg", "jpeg2000", "png", "webp")

each_family = pytest.mark.parametrize("family", FAMILIES)


def save(image: Image, file_format: str, **options: Any) -> bytes:
    """Write the image with Pillow directly."""
    stream = BytesIO()
    PIL.Image.fromarray(image).save(stream, file_format, **options)
    return stream.getvalue()


def open_picture(stream: bytes) -> PIL.Image.Image:
    """Read the stream with Pillow directly."""
    return PIL.Image.open(BytesIO(stream))


# --------------------------------------------------------------------------------------------------------- options


def test_a_jpeg_is_pillows_own() -> None:
    """The bytes are those that Pillow writes with the same options."""
    ours = create("jpeg", quality=10, optimize=True, subsampling="4:2:2").encode(FACE)
    assert ours == save(FACE, "JPEG", quality=10, optimize=True, subsampling="4:2:2")


def test_an_avif_has_one_tile() -> None:
    """An image large enough for several tiles is coded in one, as Pillow does without automatic tiling."""
    large = np.tile(FACE, (6, 4, 1))
    tiled, whole = (save(large, "AVIF", quality=50, speed=10, autotiling=flag, max_threads=1) for flag in (True, False))
    assert create("avif", quality=50, speed=10).encode(large) == whole
    assert whole != tiled


@each_family
def test_opencv_decodes_the_same_pixels(family: str) -> None:
    """An independent reader of the format finds the pixels that we find, in the same channel order."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    codec = create(family)
    stream = codec.encode(FACE)
    theirs = cv2.imdecode(np.frombuffer(stream, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(theirs.astype(int) - codec.decode(stream)).max() <= 2


@pytest.mark.parametrize(("subsampling", "code"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_jpeg_subsampling_is_the_streams(subsampling: str, code: int) -> None:
    """The frame header holds the chroma subsampling that was asked for, at the highest quality too."""
    stream = create("jpeg", quality=100, subsampling=subsampling).encode(FACE)
    assert JpegImagePlugin.get_sampling(open_picture(stream)) == code


@pytest.mark.parametrize(("subsampling", "bits"), [("4:4:4", 0b00), ("4:2:2", 0b10), ("4:2:0", 0b11)])
def test_avif_subsampling_is_the_streams(subsampling: str, bits: int) -> None:
    """The av1C box holds the chroma subsampling that was asked for, horizontal bit first."""
    stream = create("avif", subsampling=subsampling).encode(FACE)
    third_byte = stream[stream.index(b"av1C") + 6]
    assert third_byte >> 2 & 0b11 == bits


@pytest.mark.parametrize("flag", ["optimize", "progressive"])
def test_jpeg_flags_save_bytes_and_keep_pixels(flag: str) -> None:
    """Optimised tables and progressive scans are other entropy codes of the same coefficients."""
    plain, flagged = create("jpeg"), create("jpeg", **{flag: True})
    assert len(flagged.encode(FACE)) < len(plain.encode(FACE))
    assert np.array_equal(flagged.decode(flagged.encode(FACE)), plain.decode(plain.encode(FACE)))


@pytest.mark.parametrize("flag", ["optimize", "progressive"])
@pytest.mark.parametrize("quality", [90, 100])
def test_jpeg_codes_noise(flag: str, quality: int) -> None:
    """Pictures that need more bytes than pixels are coded with optimised tables too."""
    codec = create("jpeg", quality=quality, subsampling="4:4:4", **{flag: True})
    assert codec.decode(codec.encode(NOISE)).shape == NOISE.shape


@pytest.mark.parametrize(("family", "params"), [("png", {}), ("png", {"optimize": True}), ("webp", {"lossless": True})])
@pytest.mark.parametrize("image", [FACE, NOISE], ids=["face", "noise"])
def test_lossless_settings_keep_every_pixel(family: str, params: dict[str, Any], image: Image) -> None:
    """PNG and lossless WebP give the original back and are single points, not curves."""
    codec = create(family, **params)
    assert np.array_equal(codec.decode(codec.encode(image)), image)
    assert codec.rate_parameter is None
    assert codec.curve == codec.variant


def test_webp_quality_is_spelled_only_where_it_is_not_the_default_effort() -> None:
    """The quality of a lossless WebP is effort, a parameter like any other."""
    assert create("webp", lossless=True).variant == "webp lossless=true"
    assert create("webp", lossless=True, quality=100).variant == "webp quality=100 lossless=true"


@pytest.mark.parametrize(
    ("family", "params", "other"),
    [("webp", {"method": 0}, {"method": 6}), ("avif", {"speed": 10}, {"speed": 4}), ("png", {"compress_level": 1}, {})],
)
def test_effort_saves_bytes(family: str, params: dict[str, Any], other: dict[str, Any]) -> None:
    """More effort gives a smaller stream."""
    assert len(create(family, **other).encode(FACE)) < len(create(family, **params).encode(FACE))


@pytest.mark.parametrize("bpp", [0.1, 0.25, 0.5, 1, 2, 4])
def test_jpeg2000_meets_its_target(bpp: float) -> None:
    """The whole stream, headers included, takes the target rate to within five percent."""
    height, width, _ = FACE.shape
    rate = 8 * len(create("jpeg2000", bpp=bpp).encode(FACE)) / (height * width)
    assert rate == pytest.approx(bpp, rel=0.05)


@pytest.mark.parametrize(
    ("family", "ladder"),
    [("avif", (5, 25, 50, 75, 95)), ("jpeg", (4, 10, 25, 50, 75, 95)), ("webp", (0, 10, 30, 60, 80, 95))],
)
def test_rate_and_quality_rise_along_a_ladder(family: str, ladder: tuple[int, ...]) -> None:
    """Between neighbouring qualities of an ordinary ladder the bytes rise and the error falls."""
    codecs = [create(family, quality=quality) for quality in ladder]
    streams = [codec.encode(FACE) for codec in codecs]
    decoded = [codec.decode(stream) for codec, stream in zip(codecs, streams, strict=True)]
    assert all(np.diff([len(stream) for stream in streams]) > 0)
    assert all(np.diff([np.mean((FACE.astype(float) - image) ** 2) for image in decoded]) < 0)


@each_family
def test_no_metadata_is_in_the_stream(family: str) -> None:
    """The stream carries no EXIF, XMP, colour profile, resolution or program's signature."""
    picture = open_picture(create(family).encode(FACE))
    assert not {"exif", "xmp", "icc_profile", "photoshop", "dpi", "Software"} & picture.info.keys()
    assert not picture.info.get("comment", b"").strip()


# ----------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(("family", "side"), [("webp", 16_383), ("jpeg", 65_500), ("avif", 32_768)])
def test_a_side_that_the_format_cannot_hold_is_refused(family: str, side: int) -> None:
    """The longest side is coded; one pixel more is an error that names the limit."""
    longest = np.zeros((2, side, 3), np.uint8)
    assert create(family).decode(create(family).encode(longest)).shape == longest.shape
    with pytest.raises(ImageError, match=rf"{side + 1}×2.*{side}"):
        create(family).encode(np.zeros((2, side + 1, 3), np.uint8))


@each_family
def test_more_than_a_hundred_megapixels_are_not_coded(family: str) -> None:
    """A giant image is refused before any work, with its size."""
    giant = np.broadcast_to(np.uint8(0), (10_001, 10_000, 3))
    with pytest.raises(ImageError, match="10000×10001"):
        create(family).encode(giant)


def jpeg_declaring(height: int, width: int) -> bytes:
    """A JPEG of the face whose frame header declares another size."""
    stream = bytearray(create("jpeg").encode(FACE))
    frame = stream.index(b"\xff\xc0")
    stream[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(stream)


def png_declaring(height: int, width: int) -> bytes:
    """A PNG of the face whose header declares another size."""
    stream = create("png").encode(FACE)
    header = b"IHDR" + struct.pack(">II", width, height) + stream[24:29]
    return stream[:12] + header + struct.pack(">I", zlib.crc32(header)) + stream[33:]


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
def test_a_giant_that_a_header_declares_is_not_decoded(size: tuple[int, int]) -> None:
    """A header of more than a hundred megapixels is refused before memory is taken."""
    for family, stream in (("jpeg", jpeg_declaring(*size)), ("png", png_declaring(*size))):
        with pytest.raises(BitstreamError, match="pixels"):
            create(family).decode(stream)


# ------------------------------------------------------------------------------------------------------ bad streams


@pytest.mark.parametrize(
    ("family", "params"),
    [(family, {}) for family in FAMILIES] + [("jpeg", {"progressive": True}), ("webp", {"lossless": True})],
)
def test_every_truncation_is_refused(family: str, params: dict[str, Any]) -> None:
    """A stream cut anywhere before its last pixels is an error, never a partly grey image."""
    codec = create(family, **params)
    stream = codec.encode(FACE[:48, :64])
    ancillary = 21 if family == "png" else 0  # checksum and end chunk hold no pixels
    for length in range(0, len(stream) - ancillary, 7):
        with pytest.raises(BitstreamError):
            codec.decode(stream[:length])


def test_a_jpeg2000_of_headers_alone_is_refused() -> None:
    """A codestream cut just before its first tile is an error, not a black image."""
    stream = create("jpeg2000").encode(FACE)
    with pytest.raises(BitstreamError, match="end marker"):
        create("jpeg2000").decode(stream[: stream.index(b"\xff\x90")])


@each_family
def test_another_familys_stream_is_refused(family: str) -> None:
    """A family decodes its own format only."""
    for other in set(FAMILIES) - {family}:
        with pytest.raises(BitstreamError, match=family):
            create(family).decode(create(other).encode(FACE))


@pytest.mark.parametrize(
    ("file_format", "mode"), [("jpeg", "L"), ("jpeg", "CMYK"), ("png", "RGBA"), ("png", "P"), ("webp", "RGBA")]
)
def test_a_stream_of_other_colours_is_refused(file_format: str, mode: str) -> None:
    """The codecs write RGB, so a stream of grey, palette, CMYK or transparent colours is none of theirs."""
    stream = BytesIO()
    PIL.Image.new(mode, (8, 8), 1).save(stream, file_format)
    with pytest.raises(BitstreamError, match=f"{mode}, not RGB"):
        create(file_format).decode(stream.getvalue())


@each_family
def test_a_message_does_not_depend_on_the_process(family: str) -> None:
    """The same bad stream gives the same message, so error rows of two runs are equal."""
    messages = set()
    for _ in range(2):
        with pytest.raises(BitstreamError) as refusal:
            create(family).decode(b"no image" * 10)
        messages.add(str(refusal.value))
    assert len(messages) == 1
    assert "0x" not in messages.pop()


# -------------------------------------------------------------------------------------------------------- libraries


@pytest.mark.parametrize(
    ("family", "libraries"),
    [
        ("avif", ("libavif", "aom", "dav1d")),
        ("jpeg", ("libjpeg",)),
        ("jpeg2000", ("OpenJPEG",)),
        ("png", ("zlib",)),
        ("webp", ("libwebp",)),
    ],
)
def test_the_backend_names_every_library_and_version(family: str, libraries: tuple[str, ...]) -> None:
    """The backend reads "Pillow 13.0.0, libwebp 1.6.0": every library with a version."""
    parts = create(family).backend().split(", ")
    assert [part.split(" ")[0].partition("-")[0] for part in parts] == ["Pillow", *libraries]
    assert all(part.split(" ")[1][0].isdigit() for part in parts)


def test_a_pillow_without_the_library_is_named() -> None:
    """A family whose library Pillow was built without cannot be made, and the error says what to install."""
    if features.check("libimagequant"):
        pytest.skip("this Pillow was built with every library")

    class Unavailable(Png):
        """A format by a library that Pillow's wheels do not carry."""

        family = "unavailable"
        libraries = {"libimagequant": "libimagequant"}  # noqa: RUF012 - never changed

    with pytest.raises(UsageError, match="without libimagequant; install"):
        Unavailable()


# ---------------------------------------------------------------------------------------------------- documentation


@pytest.mark.parametrize("family", [*FAMILIES, "downscale"])
def test_the_documentation_has_every_parameter(family: str) -> None:
    """docs/codecs.md has one row for each parameter, with the default, range and help that the code states."""
    documentation = (Path(__file__).resolve().parents[1] / "docs" / "codecs.md").read_text(encoding="utf-8")
    found = registry.codecs.get(family)
    for name, parameter in found.parameters.items():
        rate = " (rate)" if name == found.rate_parameter else ""
        default = (
            str(parameter.default).lower()
            if isinstance(parameter.default, bool)
            else f"{parameter.default}".removesuffix(".0")
        )
        assert f"| `{name}`{rate} | {default} | {parameter.allowed} | {parameter.help} |" in documentation
