"""How the decoder does on pictures that it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vcmbench.codecs.edge.network import Decoder
from vcmbench.interfaces import Batch, Image
from vcmbench.metrics.psnr import PsnrRgb
from vcmbench.metrics.ssim import SsimRgb
from vcmbench.training.inputs import LAYERS, ORIGINAL, STROKES, Planes, conditions, opened

_SHOWN = (0, 15, 122)
"""Numbers of points in figures and pictures."""
_ROWS = 8
"""Pictures on a sheet."""


@dataclass(frozen=True)
class Validation:
    """Held-out pictures, as analysed."""

    files: Sequence[Path]
    device: str

    def figures(self, decoder: Decoder) -> Mapping[str, float]:
        """Return the mean PSNR in dB and SSIM of R, G and B for each number of points; nothing without pictures."""
        scores: dict[str, list[float]] = {}
        for planes in map(opened, self.files):
            original = Batch(torch.from_numpy(np.array(planes[ORIGINAL]))[None])
            for count in _SHOWN:
                decoded = Batch(self._decoded(decoder, planes, count)[None])
                for metric in (PsnrRgb(), SsimRgb()):
                    for column, values in metric.score(original, decoded).items():
                        scores.setdefault(f"{column}_{count}", []).extend(map(float, values))  # type: ignore[arg-type]  # these metrics give numbers
        return {name: float(np.mean(values)) for name, values in scores.items()}

    def sheet(self, decoder: Decoder) -> Image:
        """Return a row for each of the first pictures: the original, its strokes, and what more and more points give."""
        rows = [torch.cat(self._row(decoder, opened(file)), dim=2) for file in self.files[:_ROWS]]
        return torch.cat(rows, dim=1).permute(1, 2, 0).numpy()

    def _row(self, decoder: Decoder, planes: Planes) -> list[Tensor]:
        original = torch.from_numpy(np.array(planes[ORIGINAL]))
        strokes = torch.from_numpy(255 - 255 * planes[STROKES]).expand(original.shape)
        return [original, strokes, *(self._decoded(decoder, planes, count) for count in _SHOWN)]

    @torch.no_grad()
    def _decoded(self, decoder: Decoder, planes: Planes, count: int) -> Tensor:
        shown = torch.from_numpy(conditions(planes, LAYERS.index(count)))[None].to(self.device)
        decoded: Tensor = decoder(shown)[0]
        return (255 * decoded).round().clamp(0, 255).byte().cpu()
