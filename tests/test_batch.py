"""What a `Batch` promises to metrics: each feature is computed once, and kept as long as asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from pictures import PORTRAIT, batch
from torch import Tensor

from vcmbench.interfaces import Batch


@dataclass(frozen=True)
class Brightness:
    """A feature that counts how often it is computed; equal for equal channels."""

    channel: int
    calls: list[int] = field(default_factory=list, compare=False)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the mean of one channel, per image."""
        self.calls.append(self.channel)
        return batch.images[:, self.channel].float().mean((1, 2))


def test_a_feature_is_computed_once() -> None:
    """Asking twice for a feature computes it once and gives the same object."""
    images, brightness = batch(PORTRAIT), Brightness(0)
    assert images.get(brightness) is images.get(brightness)
    assert len(brightness.calls) == 1


def test_equal_extractors_share_a_feature() -> None:
    """An extractor that equals an earlier one finds its feature, and another one does not."""
    images, same, other = batch(PORTRAIT), Brightness(0), Brightness(1)
    red = images.get(Brightness(0))
    assert images.get(same) is red
    assert same.calls == []
    assert images.get(other).item() != red.item()
    assert len(other.calls) == 1


def test_release_keeps_what_is_named() -> None:
    """`release` frees every feature but the named ones."""
    images, kept, freed = batch(PORTRAIT), Brightness(0), Brightness(1)
    for extractor in (kept, freed):
        images.get(extractor)
    images.release(keep=[Brightness(0)])
    for extractor in (kept, freed):
        images.get(extractor)
    assert len(kept.calls) == 1
    assert len(freed.calls) == 2


def test_release_without_a_name_frees_all() -> None:
    """`release()` frees every feature."""
    images, brightness = batch(PORTRAIT), Brightness(0)
    images.get(brightness)
    images.release()
    images.get(brightness)
    assert len(brightness.calls) == 2


def test_the_length_is_the_number_of_images() -> None:
    """A batch is as long as it has images, none included."""
    assert len(batch(PORTRAIT, PORTRAIT)) == 2
    assert len(Batch(torch.empty(0, 3, 8, 8, dtype=torch.uint8))) == 0


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(torch.zeros(2, 3, 8, 8), id="float32"),
        pytest.param(torch.zeros(2, 3, 8, 8, dtype=torch.int32), id="int32"),
        pytest.param(torch.zeros(3, 8, 8, dtype=torch.uint8), id="one image"),
        pytest.param(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), id="channels last"),
        pytest.param(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), id="grey"),
    ],
)
def test_other_tensors_are_refused(images: Tensor) -> None:
    """A tensor that is not B×3×H×W uint8 is refused with its type and shape."""
    with pytest.raises(ValueError, match=r"B×3×H×W, not torch\.\w+ \("):
        Batch(images)
