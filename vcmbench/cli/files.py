"""Single files, and the bitstreams that a run keeps."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import click

from vcmbench.cli.run_directories import finished
from vcmbench.interfaces import BitstreamError, ImageError, UsageError

LOSSLESS = {".png": "PNG", ".bmp": "BMP", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF"}
"""What `decode` writes: suffix → Pillow's name of the format."""


@click.command(epilog='Example: vcmbench encode --codec "jpeg quality=10" face.png face.bin')
@click.option("--codec", "words", required=True, metavar="SETTING", help='Family and parameters, e.g. "jpeg quality=10".')
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("bitstream", type=click.Path(path_type=Path))
def encode(words: str, image: Path, bitstream: Path) -> None:
    """Code an IMAGE file, at its own size, into a BITSTREAM file."""
    from vcmbench.config.codecs import parse_codec
    from vcmbench.datasets.prepare import decode as read_image

    codec = parse_codec(words)
    with _naming(image):
        pixels, note = read_image(_read(image))
        data = codec.encode(pixels)
    _write(bitstream, data)
    height, width, _ = pixels.shape
    click.echo(f"{codec.variant}: {width}×{height}, {len(data)} bytes, {8 * len(data) / (width * height):.4f} bpp")
    if note:
        click.echo(f"note: {note}", err=True)


@click.command(epilog='Example: vcmbench decode --codec "jpeg quality=10" face.bin decoded.png')
@click.option("--codec", "words", required=True, metavar="SETTING", help="The setting it was coded with.")
@click.argument("bitstream", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
def decode(words: str, bitstream: Path, image: Path) -> None:
    """Decode a BITSTREAM file into an IMAGE file.

    The image's suffix names its format, PNG or another one that keeps every pixel.
    """
    from PIL import Image

    from vcmbench.config.codecs import parse_codec

    codec = parse_codec(words)
    if image.suffix.lower() not in LOSSLESS:
        raise UsageError(f"{image}: the suffix must be one of {', '.join(LOSSLESS)}, formats that keep every pixel")
    with _naming(bitstream):
        pixels = codec.decode(_read(bitstream))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, LOSSLESS[image.suffix.lower()])
    _write(image, file.getvalue())


@click.command(epilog='Example: vcmbench unpack runs/demo bitstreams --setting "jpeg quality=4"')
@click.argument("out")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--setting", "variants", multiple=True, metavar="SETTING", help="Only those of this setting; repeatable.")
def unpack(out: str, folder: Path, variants: tuple[str, ...]) -> None:
    """Write the bitstreams that the run directory OUT keeps into FOLDER/SETTING/IMAGE.bin."""
    from vcmbench.unpacking import not_kept
    from vcmbench.unpacking import unpack as write_files

    directory, index = finished(out)
    try:
        written = sum(1 for _ in write_files(directory, index, folder, variants))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error
    click.echo(f"{written} bitstreams in {folder}")
    if lacking := not_kept(index):
        click.echo(
            f"warning: {lacking} times a shard keeps none of a setting; "
            "running the job again with --set keep_bitstreams=true codes them",
            err=True,
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (ImageError, BitstreamError) as error:
        raise UsageError(f"{path}: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
