"""What a training is to do; the job file is checked and turned into it by `vcmbench.config`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Dataset, Precision


@dataclass(frozen=True)
class Pictures:
    """Which pictures, how they are prepared, and in how many forms; the first form is the picture itself."""

    dataset: Dataset
    selection: Selection
    preparation: Preparation
    forms: int = 1


@dataclass(frozen=True)
class Weights:
    """How much each loss counts beside the mean absolute difference of the samples in [0, 1]; 0 leaves a loss out."""

    gradient: float = 1.0
    structural: float = 0.0
    perceptual: float = 0.0
    adversarial: float = 0.0
    adversarial_from: int = 0
    """The step from which the discriminator is trained and heard."""


@dataclass(frozen=True)
class Recipe:
    """A whole training."""

    out: Path
    """Where checkpoints, weights, validation pictures and the analysed pictures are kept."""
    pictures: Pictures
    validation: Pictures | None
    steps: int
    batch: int
    learning_rate: float
    losses: Weights
    average: float
    """The decay per step of the moving average of the weights, which is what is shipped."""
    precision: Precision
    """Of the networks' passes; weights and losses are fp32."""
    seed: int
    initial: Path | None
    """Weights to begin with."""
    checkpoint_every: int
    validate_every: int
    workers: int
    """Processes that analyse pictures."""

    @property
    def checkpoint(self) -> Path:
        """What the training goes on from."""
        return self.out / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """The weights, as the package ships them."""
        return self.out / "decoder.safetensors"

    @property
    def inputs(self) -> Path:
        """The folder of analysed pictures."""
        return self.out / "inputs"
