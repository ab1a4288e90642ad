"""JPEG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from PIL import ImageFile

from vcmbench.codecs._pillow import PillowCodec
from vcmbench.interfaces import Image, Parameter


class Jpeg(PillowCodec):
    """JPEG (ITU-T T.81) with the quality scale of the Independent JPEG Group."""

    family = "jpeg"
    summary = "JPEG, by libjpeg-turbo"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "quality": Parameter(75, "scale of the quantisation tables, higher is finer", minimum=1, maximum=100),
        "subsampling": Parameter("4:2:0", "chroma subsampling", choices=("4:4:4", "4:2:2", "4:2:0")),
        "optimize": Parameter(default=False, help="Huffman tables made for the image instead of the standard's examples"),
        "progressive": Parameter(default=False, help="several scans, coarse to fine, always with optimised tables"),
    }
    rate_parameter = "quality"
    file_format = "JPEG"
    libraries: ClassVar[Mapping[str, str]] = {"libjpeg_turbo": "libjpeg-turbo", "jpg": "libjpeg"}
    longest_side = 65_500

    @property
    def options(self) -> Mapping[str, object]:
        """The parameters, which bear Pillow's names."""
        return self.params

    def encode(self, image: Image) -> bytes:
        """Code an H×W×3 uint8 array."""
        # With optimised tables libjpeg needs room for the whole stream, and Pillow gives it that of an ordinary picture.
        # Four bytes a sample are more than a coefficient's longest Huffman code and extra bits; the rest is for headers.
        ImageFile.MAXBLOCK = 4 * image.size + 65_536
        return super().encode(image)
