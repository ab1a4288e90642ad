"""WebP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vcmbench.codecs._pillow import PillowCodec
from vcmbench.interfaces import Parameter


class WebP(PillowCodec):
    """WebP (RFC 9649): VP8 intra frames, or its own lossless format."""

    family = "webp"
    summary = "WebP, by libwebp"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "quality": Parameter(80, "scale of the quantiser, higher is finer; effort if lossless", minimum=0, maximum=100),
        "method": Parameter(4, "effort, higher is slower and smaller", minimum=0, maximum=6),
        "lossless": Parameter(default=False, help="every pixel is kept"),
    }
    rate_parameter: str | None = "quality"
    file_format = "WEBP"
    libraries: ClassVar[Mapping[str, str]] = {"webp": "libwebp"}
    longest_side = 16_383

    def __init__(self, **params: object) -> None:
        """Resolve the defaults; a lossless setting is a single point, not one of a curve."""
        super().__init__(**params)
        if self.params["lossless"]:
            self.rate_parameter = None

    @property
    def options(self) -> Mapping[str, object]:
        """The parameters, which bear Pillow's names."""
        return self.params
