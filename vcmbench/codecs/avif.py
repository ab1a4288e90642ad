"""AVIF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from PIL import AvifImagePlugin

from vcmbench.codecs._pillow import PillowCodec
from vcmbench.interfaces import Parameter

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the only way to keep Pillow's decoder from taking every core


class Avif(PillowCodec):
    """AVIF (AV1 Image File Format 1.1), coded by libaom on one thread and in one tile, full range."""

    family = "avif"
    summary = "AVIF, by libaom and dav1d"
    version = "1"
    parameters: Mapping[str, Parameter] = {
        "quality": Parameter(75, "scale of the quantiser, higher is finer", minimum=0, maximum=100),
        "speed": Parameter(6, "higher is faster and larger", minimum=0, maximum=10),
        "subsampling": Parameter("4:2:0", "chroma subsampling", choices=("4:4:4", "4:2:2", "4:2:0")),
    }
    rate_parameter = "quality"
    file_format = "AVIF"
    libraries: ClassVar[Mapping[str, str]] = {"avif": "libavif"}
    longest_side = 32_768

    @property
    def options(self) -> Mapping[str, object]:
        """The parameters, and one encoder, thread and tile wherever it runs."""
        return {**self.params, "codec": "aom", "max_threads": 1, "autotiling": False}

    def backend(self) -> str:
        """Name Pillow, libavif and the AV1 libraries under it, with their versions."""
        coders = (f"{name} {AvifImagePlugin.get_codec_version(name)}" for name in ("aom", "dav1d"))
        return ", ".join([super().backend(), *coders])
