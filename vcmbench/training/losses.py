"""What the decoder is trained to make small."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""Of SSIM, for samples in [0, 1]."""


def gradient_difference(pictures: Tensor, originals: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels' differences (Mathieu et al., 2016), B×C×H×W both.

    It weighs contours and texture, on which an absolute difference of pixels alone is lenient.
    """
    error = pictures - originals
    return (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()) / 2


def structural_difference(pictures: Tensor, originals: Tensor) -> Tensor:
    """Return 1 − SSIM (Wang et al., 2004) of B×C×H×W pictures in [0, 1]; the mean over all squares of `_WINDOW` pixels.

    The index as published has a Gaussian window; even ones are as good to learn from, and much cheaper.
    """
    planes = torch.cat([pictures, originals, pictures.square() + originals.square(), pictures * originals], 1)
    rows = functional.avg_pool2d(planes, (_WINDOW, 1), stride=1)
    mean, wanted, squares, product = functional.avg_pool2d(rows, (1, _WINDOW), stride=1).chunk(4, 1)
    of_means, of_squares = mean * wanted, mean.square() + wanted.square()
    luminance = (2 * of_means + _C1) / (of_squares + _C1)
    structure = (2 * (product - of_means) + _C2) / (squares - of_squares + _C2)
    return 1 - (luminance * structure).mean()


class Perceptual(nn.Module):
    """Mean absolute difference of a network's activations (Johnson et al., 2016), as a share of the original's."""

    def __init__(self, stages: nn.ModuleList, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.stages = stages.requires_grad_(requires_grad=False).eval()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, pictures: Tensor, originals: Tensor) -> Tensor:
        """Compare B×3×H×W pictures in [0, 1] with their originals."""
        features, wanted = ((each - self.mean) / self.std for each in (pictures, originals))
        losses = []
        for stage in self.stages:
            features = stage(features)
            with torch.no_grad():
                wanted = stage(wanted)
            losses.append((features - wanted).float().abs().mean() / wanted.float().abs().mean())
        return torch.stack(losses).mean()


# -------------------------------------------------------------------------------------------------- adversarial loss


class Discriminator(nn.Module):
    """Judges each patch of a picture (PatchGAN: Isola et al., 2017; spectral normalisation: Miyato et al., 2018).

    It sees the strokes too, so that what is drawn where counts and not only how natural it looks.
    """

    def __init__(self, widths: tuple[int, ...] = (48, 96, 192)) -> None:
        super().__init__()
        ends = (4, *widths)
        strided = [nn.Conv2d(above, below, 4, stride=2, padding=1) for above, below in itertools.pairwise(ends)]
        plain = [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.Conv2d(widths[-1], 1, 3, padding=1)]
        self.layers = nn.ModuleList(nn.utils.parametrizations.spectral_norm(layer) for layer in [*strided, *plain])

    def forward(self, pictures: Tensor, strokes: Tensor) -> Tensor:
        """Return a score for each patch of B×3×H×W pictures in [0, 1] with B×1×H×W strokes."""
        features = torch.cat([2 * pictures - 1, strokes.to(pictures.dtype)], 1)
        *layers, last = self.layers
        for layer in layers:
            features = functional.leaky_relu(layer(features), 0.2)
        return last(features).float()  # type: ignore[no-any-return]  # a layer's result is untyped


def judge_loss(real: Tensor, made: Tensor) -> Tensor:
    """Return the discriminator's hinge loss (Lim and Ye, 2017) of the scores of originals and of decoded pictures."""
    return (functional.relu(1 - real).mean() + functional.relu(1 + made).mean()) / 2


def deceive_loss(made: Tensor) -> Tensor:
    """Return the decoder's share of the hinge loss."""
    return -made.mean()
