"""MS-SSIM against pytorch-msssim, its smallest image, and its reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_msssim
import torch
from pictures import ASTRONAUT, PORTRAIT, batch, flat, jpeg, noisy, tensor
from torch import Tensor

from vcmbench.interfaces import Image, Missing
from vcmbench.metrics.ms_ssim import MsSsim

CASES = {
    "jpeg": (PORTRAIT, jpeg(PORTRAIT, 10)),
    "noise": (PORTRAIT, noisy(PORTRAIT, 30)),
    "negative": (PORTRAIT, 255 - PORTRAIT),
    "square": (ASTRONAUT[:256, 100:356], jpeg(np.ascontiguousarray(ASTRONAUT[:256, 100:356]), 4)),
    "smallest, odd at each scale": (PORTRAIT[:161, :175], noisy(PORTRAIT[:161, :175], 10)),
    "white and light grey": (flat(255), flat(200)),
    "bright and faintly noisy": (flat(250), noisy(flat(250), 3)),
}


def ms_ssim(reference: Image, decoded: Image) -> object:
    return MsSsim().score(batch(reference), batch(decoded))["ms_ssim"][0]


def expected(reference: Image, decoded: Image, window: Tensor | None = None) -> float:
    """pytorch-msssim's value, computed in float64."""
    images = tensor(reference).double(), tensor(decoded).double()
    return float(pytorch_msssim.ms_ssim(*images, data_range=255, win=window))


@pytest.mark.parametrize(("reference", "decoded"), CASES.values(), ids=CASES)
def test_ms_ssim_equals_pytorch_msssim(reference: Image, decoded: Image) -> None:
    """The value equals pytorch-msssim's, whose own window is rounded to float32 and is therefore given to it exactly."""
    window = torch.exp(-torch.arange(-5, 6, dtype=torch.float64).square() / (2 * 1.5**2))
    exact = expected(reference, decoded, (window / window.sum()).expand(3, 1, 1, 11))
    assert ms_ssim(reference, decoded) == pytest.approx(exact, abs=1e-9)


def test_ms_ssim_equals_pytorch_msssim_by_default() -> None:
    """As called by default, pytorch-msssim agrees to 1e-5, and does not on the swapped channels of one image."""
    decoded = jpeg(PORTRAIT, 10)
    assert ms_ssim(PORTRAIT, decoded) == pytest.approx(expected(PORTRAIT, decoded), abs=1e-5)
    assert ms_ssim(PORTRAIT, decoded) != pytest.approx(expected(PORTRAIT, decoded[..., ::-1]), abs=1e-3)


def test_bits_do_not_depend_on_batch_or_threads() -> None:
    """One image gives the same bits alone and in a batch, on one thread and on two."""
    images = [jpeg(PORTRAIT, 10), noisy(PORTRAIT, 5), flat(9), jpeg(PORTRAIT, 90)]
    together = MsSsim().score(batch(*[PORTRAIT] * 4), batch(*images))["ms_ssim"]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert [ms_ssim(PORTRAIT, image) for image in images] == together
    finally:
        torch.set_num_threads(threads)


def test_small_images_have_no_value() -> None:
    """An image with a side of 160 pixels has the reason why there is no value; one of 161×161 has a value."""
    reason = Missing("MS-SSIM needs at least 161×161 pixels, not 313×160")
    assert ms_ssim(PORTRAIT[:160], PORTRAIT[:160]) == reason
    assert ms_ssim(PORTRAIT[:161, :161], PORTRAIT[:161, :161]) == 1
