"""PNG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vcmbench.codecs._pillow import PillowCodec
from vcmbench.interfaces import Parameter


class Png(PillowCodec):
    """PNG (ISO/IEC 15948), the lossless reference point."""

    family = "png"
    summary = "PNG, lossless, by zlib-ng or zlib"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "compress_level": Parameter(6, "zlib's effort, higher is slower and smaller", minimum=0, maximum=9),
        "optimize": Parameter(default=False, help="the smallest file; compress_level is then 9"),
    }
    rate_parameter = None
    file_format = "PNG"
    libraries: ClassVar[Mapping[str, str]] = {"zlib_ng": "zlib-ng", "zlib": "zlib"}

    @property
    def options(self) -> Mapping[str, object]:
        """The parameters, which bear Pillow's names."""
        return self.params
