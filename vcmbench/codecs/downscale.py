"""Any other codec at a lower resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import PIL
import PIL.Image

from vcmbench import registry
from vcmbench.codecs._image import MAXIMUM_PIXELS, check_image
from vcmbench.interfaces import BitstreamError, Codec, Image, Parameter, ParameterError, ParameterValue


class Downscale(Codec):
    """Another family at 1/2 or 1/4 of the resolution, the usual baseline at very low rates.

    The bitstream is one byte of header, then the wrapped codec's bitstream of the small image. The header holds the factor
    (high four bits) and the rows and columns that were repeated at the lower and right edge to make both sides multiples
    of it (two bits each). The wrapped codec's parameters stand beside `factor` and `codec`.
    """

    family = "downscale"
    summary = "any other family at 1/2 or 1/4 of the resolution, Lanczos both ways"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "factor": Parameter(2, "divisor of width and height, 2 or 4", minimum=2, maximum=4),
        "codec": Parameter("webp", "any other family; its parameters follow"),
    }
    rate_parameter: str | None = None

    def __init__(self, **params: object) -> None:
        """Make the wrapped codec; raise `UsageError` for an unknown family or a parameter that does not fit."""
        super().__init__(**{name: params.pop(name) for name in Downscale.parameters if name in params})
        self.factor = cast(int, self.params["factor"])
        if self.factor not in {2, 4}:
            raise ParameterError(f"{self.family}: factor must be 2 or 4, not {self.factor}")
        self.wrapped = _wrapped_class(cast(str, self.params["codec"]))(**params)
        self.params |= self.wrapped.params
        self.parameters = {**Downscale.parameters, **self.wrapped.parameters}
        self.rate_parameter = self.wrapped.rate_parameter
        self.runs_in = self.wrapped.runs_in
        self.scalable = self.wrapped.scalable

    @property
    def defaults(self) -> Mapping[str, ParameterValue]:
        """The wrapped family's; `factor` and `codec` are always spelled."""
        return self.wrapped.defaults

    @property
    def identity(self) -> dict[str, object]:
        """This codec's and the wrapped codec's identity."""
        return {**super().identity, "wrapped": self.wrapped.identity}

    def backend(self) -> str:
        """Name what the wrapped codec names, and Pillow, which resamples."""
        return f"{self.wrapped.backend()}; resampled by Pillow {PIL.__version__}"

    def encode(self, image: Image) -> bytes:
        """Code an H×W×3 uint8 array of any size."""
        stream = self.wrapped.encode(_shrink(image, self.factor))
        return _header(image, self.factor) + stream

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the image in its original size; raise `BitstreamError` for a stream of another factor or codec."""
        rows, columns = _read_header(bitstream, self.factor)
        return _enlarge(self.wrapped.decode(bitstream[1:]), self.factor, rows, columns)

    def encode_batch(self, images: Sequence[Image]) -> list[bytes]:
        """Code several images in one batch of the wrapped codec."""
        streams = self.wrapped.encode_batch([_shrink(image, self.factor) for image in images])
        return [_header(image, self.factor) + stream for image, stream in zip(images, streams, strict=True)]

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Decode several bitstreams in one batch of the wrapped codec."""
        paddings = [_read_header(bitstream, self.factor) for bitstream in bitstreams]
        smalls = self.wrapped.decode_batch([bitstream[1:] for bitstream in bitstreams])
        return [_enlarge(small, self.factor, *padding) for small, padding in zip(smalls, paddings, strict=True)]


def _wrapped_class(family: str) -> type[Codec]:
    found = registry.codecs.get(family)
    for name in Downscale.parameters:
        if name in found.parameters:
            raise ParameterError(f"downscale: codec cannot be {family!r}: both have a parameter {name!r}")
    return found


def _header(image: Image, factor: int) -> bytes:
    rows, columns = _padding(image, factor)
    return bytes([factor << 4 | rows << 2 | columns])


def _read_header(bitstream: bytes, factor: int) -> tuple[int, int]:
    if not bitstream:
        raise BitstreamError("downscale: the bitstream is empty")
    header = bitstream[0]
    rows, columns = header >> 2 & 3, header & 3
    if header >> 4 != factor or max(rows, columns) >= factor:
        raise BitstreamError(f"downscale: not a bitstream of factor {factor}")
    return rows, columns


def _padding(image: Image, factor: int) -> tuple[int, int]:
    height, width, _ = image.shape
    return -height % factor, -width % factor


def _shrink(image: Image, factor: int) -> Image:
    check_image(image)
    rows, columns = _padding(image, factor)
    padded = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
    height, width, _ = padded.shape
    return _resize(padded, height // factor, width // factor)


def _enlarge(image: Image, factor: int, rows: int, columns: int) -> Image:
    height, width = image.shape[0] * factor, image.shape[1] * factor
    if height * width > MAXIMUM_PIXELS:
        raise BitstreamError(f"downscale: the bitstream declares {width}×{height} pixels")
    return _resize(image, height, width)[: height - rows, : width - columns].copy()


def _resize(image: Image, height: int, width: int) -> Image:
    return np.array(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.LANCZOS))
