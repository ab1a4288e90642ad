"""Batches of analysed pictures, the same for the same seed and step, loaded ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vcmbench.training.inputs import LAYERS, Samples, conditions, opened, original

SHARES = (0.2, 0.2, 0.12, 0.28, 0.1, 0.05, 0.05)
"""How often each of `LAYERS` is drawn: the low rates, for which a network is worth most, more often."""

_LOADERS = 4
_AHEAD = 8
_BRIGHTNESS, _TINT = 0.15, 0.08
"""Largest logarithms of the factors on all samples and on one colour's."""


@dataclass(frozen=True)
class Batches:
    """Draws a picture, its form, the number of points, a mirroring and a tint for each place of a batch."""

    files: Sequence[Sequence[Path]]
    """Of each picture, those of its forms."""
    size: int
    seed: int

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the step's B×8×H×W conditions and B×3×H×W originals."""
        random = np.random.default_rng([self.seed, step])
        shown, wanted = zip(*(self._example(random) for _ in range(self.size)), strict=True)
        return torch.from_numpy(np.stack(shown)), torch.from_numpy(np.stack(wanted))

    def _example(self, random: np.random.Generator) -> tuple[Samples, Samples]:
        forms = self.files[int(random.integers(len(self.files)))]
        planes = opened(forms[int(random.integers(len(forms)))])
        layer = int(random.choice(len(LAYERS), p=SHARES))
        shown, wanted = conditions(planes, layer), original(planes)
        if layer and random.random() < 0.5:
            shown, wanted = _tinted(shown, wanted, random)
        if random.random() < 0.5:
            shown, wanted = shown[..., ::-1], wanted[..., ::-1]
        return shown, wanted

    def ahead(self, first: int) -> Generator[tuple[Tensor, Tensor]]:
        """Yield the batches from the step `first` on, a few being loaded while others are used."""
        with ThreadPoolExecutor(_LOADERS) as pool:
            steps = count(first)
            loading = deque(pool.submit(self.at, next(steps)) for _ in range(_AHEAD))
            while True:
                yield loading.popleft().result()
                loading.append(pool.submit(self.at, next(steps)))


def _tinted(shown: Samples, wanted: Samples, random: np.random.Generator) -> tuple[Samples, Samples]:
    """Multiply every colour alike in all that has colours: diffusion is linear, and strokes would hardly change.

    No sample becomes brighter than white. Without points nothing would tell the tint.
    """
    factors = np.exp(random.uniform(-_BRIGHTNESS, _BRIGHTNESS) + random.uniform(-_TINT, _TINT, 3)).astype(np.float32)
    factors = np.minimum(factors, 1 / np.maximum(wanted.max((1, 2)), 1 / 255))[:, None, None]
    diffused, strokes, colours, mask = shown[:3], shown[3:4], shown[4:7], shown[7:]
    tinted = ((colours + 0.5) * factors - 0.5) * mask
    return np.concatenate([diffused * factors, strokes, tinted, mask]), wanted * factors
