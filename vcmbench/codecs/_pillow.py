"""What the families that Pillow codes have in common."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from io import BytesIO
from typing import ClassVar

import numpy as np
import PIL
import PIL.Image
from PIL import features

from vcmbench.codecs._image import MAXIMUM_PIXELS, check_image
from vcmbench.interfaces import BitstreamError, Codec, Image, ImageError, UsageError


class PillowCodec(Codec):
    """A file format of Pillow; a subclass names the format, its library and the options of each setting.

    Pictures are made from the bare array, so nothing but its pixels can reach the bitstream.
    """

    file_format: ClassVar[str]
    """Pillow's name of the format; streams of other formats are refused."""
    libraries: ClassVar[Mapping[str, str]]
    """Pillow feature → library that codes the format, the preferred first."""
    longest_side: ClassVar[int] = MAXIMUM_PIXELS
    """Pixels that the format, or its library, allows along either side."""

    def __init__(self, **params: object) -> None:
        """Resolve the defaults; raise `UsageError` where Pillow was built without the format's library."""
        super().__init__(**params)
        self.library = self._find_library()

    @property
    @abstractmethod
    def options(self) -> Mapping[str, object]:
        """The keyword arguments of `PIL.Image.Image.save` that make this setting."""

    def backend(self) -> str:
        """Name Pillow and the library that codes, with their versions."""
        return f"Pillow {PIL.__version__}, {self.library}"

    def encode(self, image: Image) -> bytes:
        """Code an H×W×3 uint8 array; raise `ImageError` for a side that the format does not allow."""
        check_image(image)
        height, width, _ = image.shape
        if max(height, width) > self.longest_side:
            raise ImageError(f"{self.family}: the image is {width}×{height}; no side may exceed {self.longest_side}")
        stream = BytesIO()
        PIL.Image.fromarray(image).save(stream, self.file_format, **self.options)
        return stream.getvalue()

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the H×W×3 image; raise `BitstreamError` for anything but a whole RGB stream of the format."""
        try:
            return _read(bitstream, self.file_format)
        except PIL.UnidentifiedImageError as error:  # its own message holds a memory address
            raise BitstreamError(f"{self.family}: the {len(bitstream)} bytes are no {self.file_format} stream") from error
        except Exception as error:  # Pillow's formats report malformed streams in a dozen exception types
            raise BitstreamError(f"{self.family}: the bitstream cannot be decoded: {error}") from error

    def _find_library(self) -> str:
        for feature, library in self.libraries.items():
            if features.check(feature):
                return f"{library} {features.version(feature)}"
        raise UsageError(f"{self.family}: this Pillow was built without {library}; install Pillow's own wheel from PyPI")


def _read(bitstream: bytes, file_format: str) -> Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # MAXIMUM_PIXELS is the limit here
        picture = PIL.Image.open(BytesIO(bitstream), formats=[file_format])
    if picture.width * picture.height > MAXIMUM_PIXELS:
        raise ValueError(f"it declares {picture.width}×{picture.height} pixels")
    if picture.mode != "RGB":
        raise ValueError(f"its colours are {picture.mode}, not RGB")
    return np.array(picture)
