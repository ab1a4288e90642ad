"""JPEG 2000."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from vcmbench.codecs._pillow import PillowCodec
from vcmbench.interfaces import BitstreamError, Image, Parameter

_END_OF_CODESTREAM = b"\xff\xd9"


class Jpeg2000(PillowCodec):
    """JPEG 2000 (ITU-T T.800): 9/7 wavelet, irreversible colour transform, one layer, a codestream without JP2 boxes."""

    family = "jpeg2000"
    summary = "JPEG 2000, by OpenJPEG"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "bpp": Parameter(1.0, "bits per pixel to aim at, headers included", minimum=0.05, maximum=24),
    }
    rate_parameter = "bpp"
    file_format = "JPEG2000"
    libraries: ClassVar[Mapping[str, str]] = {"jpg_2000": "OpenJPEG"}

    @property
    def options(self) -> Mapping[str, object]:
        """One quality layer at the compression ratio that gives the target, from 24 bits per pixel."""
        return {
            "quality_mode": "rates",
            "quality_layers": [24 / cast(float, self.params["bpp"])],
            "irreversible": True,
            "mct": 1,
            "no_jp2": True,
            "comment": " ",  # the shortest that Pillow passes on; without one OpenJPEG signs with its name and version
        }

    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the H×W×3 image; raise `BitstreamError` for anything but a whole RGB codestream."""
        # OpenJPEG takes a codestream that stops after its main header for a black image.
        if not bitstream.endswith(_END_OF_CODESTREAM):
            raise BitstreamError(f"{self.family}: not a whole codestream: the end marker is missing")
        return super().decode(bitstream)
