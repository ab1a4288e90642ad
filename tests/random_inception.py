"""A seeded random Inception in the format and under the name of pytorch-fid's weight file, which cannot be carried here."""

from __future__ import annotations

from pathlib import Path

import torch
from pictures import ASTRONAUT, tensor
from torch import nn

from vcmbench.torchvision_import import import_torchvision

FILE = "pt_inception-2015-12-05-6726825d.pth"


def write_random_inception(folder: Path) -> None:
    """Write the file into `folder`: random filters, and normalisations fitted to views of a picture.

    These shift every channel up: a random network that rectifies half of its activations would amplify rounding errors from
    layer to layer, as no trained one does, and without any fitting its features would hardly differ between images.
    """
    generator = torch.Generator().manual_seed(0)
    inception = import_torchvision().models.inception_v3(
        weights=None, num_classes=1008, aux_logits=False, init_weights=False
    )
    for module in inception.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # take the mean of all that is seen
            nn.init.uniform_(module.weight, 0.8, 1.2, generator=generator)
            nn.init.normal_(module.bias, mean=2, std=0.1, generator=generator)
    views = tensor(*(ASTRONAUT[y : y + 200, x : x + 200] for y, x in ((0, 80), (0, 300), (150, 0), (300, 200))))
    with torch.no_grad():
        inception.train()(views / 127.5 - 1)
    torch.save(inception.state_dict(), folder / FILE)
