"""PSNR against scikit-image, its cap, and its reproducibility."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pictures import PORTRAIT, batch, flat, jpeg, noisy
from skimage.metrics import peak_signal_noise_ratio

from vcmbench.interfaces import Image
from vcmbench.metrics.psnr import CAP, PsnrRgb, PsnrY

DECODED = jpeg(PORTRAIT, 20)


def luma(image: Image) -> npt.NDArray[np.float64]:
    """Full-range BT.601, from its definition."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def psnr_rgb(reference: Image, decoded: Image) -> float:
    return PsnrRgb().score(batch(reference), batch(decoded))["psnr_rgb"][0]  # type: ignore[return-value]  # a float column


def psnr_y(reference: Image, decoded: Image) -> float:
    return PsnrY().score(batch(reference), batch(decoded))["psnr_y"][0]  # type: ignore[return-value]  # a float column


def expected(reference: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> float:
    """PSNR as scikit-image has it."""
    return float(peak_signal_noise_ratio(reference, decoded, data_range=255))  # type: ignore[no-untyped-call]  # untyped


@pytest.mark.parametrize("decoded", [DECODED, noisy(PORTRAIT, 40), jpeg(PORTRAIT, 1)], ids=["jpeg", "noise", "bad jpeg"])
def test_psnr_equals_scikit_image(decoded: Image) -> None:
    """RGB and luma PSNR equal scikit-image's, and on swapped channels they would not."""
    assert psnr_rgb(PORTRAIT, decoded) == pytest.approx(expected(PORTRAIT, decoded), abs=1e-9)
    assert psnr_rgb(PORTRAIT, decoded) != pytest.approx(expected(PORTRAIT, decoded[..., ::-1]), abs=1e-3)
    assert psnr_y(PORTRAIT, decoded) == pytest.approx(expected(luma(PORTRAIT), luma(decoded)), abs=1e-9)
    swapped = expected(luma(PORTRAIT[..., ::-1]), luma(decoded[..., ::-1]))
    assert psnr_y(PORTRAIT, decoded) != pytest.approx(swapped, abs=1e-3)


def test_the_range_is_0_to_100_decibels() -> None:
    """White for black gives 0 dB; identical images, and nearly identical lumas, give 100 dB."""
    assert psnr_rgb(flat(0), flat(255)) == 0
    assert psnr_y(flat(0), flat(255)) == 0
    assert psnr_rgb(PORTRAIT, PORTRAIT) == psnr_y(PORTRAIT, PORTRAIT) == CAP == 100
    almost = flat(0)
    almost[0, 0, 2] = 1
    assert psnr_y(flat(0), almost) == CAP


def test_one_level_of_difference_is_48_decibels() -> None:
    """A difference of one level everywhere gives 20 log₁₀ 255 = 48.13 dB."""
    assert psnr_rgb(flat(100), flat(101)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_y(flat(100), flat(101)) == pytest.approx(48.1308, abs=1e-4)


@pytest.mark.parametrize("metric", [PsnrRgb(), PsnrY()], ids=lambda metric: metric.name)
def test_bits_do_not_depend_on_batch_or_threads(metric: PsnrRgb | PsnrY) -> None:
    """One image gives the same bits alone and in a batch, on one thread and on two."""
    images = [DECODED, noisy(PORTRAIT, 5), flat(9), jpeg(PORTRAIT, 90)]
    together = metric.score(batch(*[PORTRAIT] * 4), batch(*images))[metric.name]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            alone = [metric.score(batch(PORTRAIT), batch(image))[metric.name][0] for image in images]
            assert alone == together
    finally:
        torch.set_num_threads(threads)


def test_different_sizes_are_refused() -> None:
    """Images of another size than their originals' are refused with both shapes."""
    with pytest.raises(ValueError, match="originals are 1 × 3 × 200 × 313 and the decoded images 1 × 3 × 100 × 100"):
        psnr_rgb(PORTRAIT, flat(0, (100, 100)))
