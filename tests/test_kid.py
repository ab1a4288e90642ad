"""KID on images, with Inception's features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pictures import ASTRONAUT, batch, noisy
from random_inception import write_random_inception
from random_weights import random_weights

from vcmbench import registry
from vcmbench.interfaces import Image, Setup, SetValue
from vcmbench.metrics.kid import Kid

METRIC = Kid(Setup(unverified=True))


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A random Inception in place of the pretrained one."""
    with random_weights(tmp_path_factory.mktemp("torch"), write_random_inception) as folder:
        yield folder


def test_more_noise_gives_a_larger_kid() -> None:
    """The value that the metric names is reached with its stored feature, and rises with noise in the images."""
    originals: list[Image] = [np.ascontiguousarray(ASTRONAUT[y : y + 128, 2 * y : 2 * y + 128]) for y in range(0, 100, 20)]
    extractor = METRIC.feature.extractor
    reference, *decoded = (
        extractor(batch(*(noisy(image, sigma) for image in originals))).numpy() for sigma in (0, 4, 16, 64)
    )
    values: list[SetValue] = [
        found["kid"] for found in registry.load(METRIC.value)(reference, decoded, [None] * len(originals))
    ]
    assert set(METRIC.set_columns) == {"kid"}
    numbers = [value.value for value in values if value.value is not None]
    assert len(numbers) == 3
    assert numbers == sorted(numbers)
    assert all("5 images" in value.note for value in values)
