"""SSIM against scikit-image, also where float32 would fail, and what is computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from pictures import PORTRAIT, Recording, batch, flat, jpeg, noisy, tensor
from skimage.metrics import structural_similarity

from vcmbench.interfaces import Image, Metric, Missing
from vcmbench.metrics.features import rgb
from vcmbench.metrics.ms_ssim import MsSsim
from vcmbench.metrics.ssim import LocalMean, Similarities, SsimRgb, SsimY

HALF_DARKER = flat(255)
HALF_DARKER[:, 150:] = 150
CASES = {
    "jpeg": (PORTRAIT, jpeg(PORTRAIT, 10)),
    "noise": (PORTRAIT, noisy(PORTRAIT, 30)),
    "negative": (PORTRAIT, 255 - PORTRAIT),
    "saturated": (noisy(PORTRAIT, 200), noisy(PORTRAIT, 190)),
    "white and nearly white": (flat(255), flat(254)),
    "white and light grey": (flat(255), flat(200)),
    "white and grey": (flat(255), flat(105)),
    "white and black": (flat(255), flat(0)),
    "bright and faintly noisy": (flat(250), noisy(flat(250), 3)),
    "bright, both faintly noisy": (noisy(flat(253), 0.5), noisy(flat(254), 0.5)),
    "an edge that appears": (flat(255), HALF_DARKER),
}
each_case = pytest.mark.parametrize(("reference", "decoded"), CASES.values(), ids=CASES)


def expected_rgb(reference: Image, decoded: Image) -> float:
    """The mean of the channels' SSIM."""
    return expected(reference, decoded, channel_axis=2)


def expected_y(reference: Image, decoded: Image) -> float:
    """The SSIM of the luma."""
    return expected(luma(reference), luma(decoded), channel_axis=None)


def expected(reference: npt.NDArray[Any], decoded: npt.NDArray[Any], channel_axis: int | None) -> float:
    """Wang's SSIM as scikit-image documents it."""
    ssim = structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image has no type hints
        reference,
        decoded,
        data_range=255,
        channel_axis=channel_axis,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(ssim)


def luma(image: Image) -> npt.NDArray[np.float64]:
    """Full-range BT.601, from its definition."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


@each_case
def test_ssim_rgb_equals_scikit_image(reference: Image, decoded: Image) -> None:
    """The mean of the channels' SSIM equals scikit-image's over the valid part, on flat bright areas, too."""
    score = SsimRgb().score(batch(reference), batch(decoded))["ssim_rgb"][0]
    assert score == pytest.approx(expected_rgb(reference, decoded), abs=1e-8)


@each_case
def test_ssim_y_equals_scikit_image(reference: Image, decoded: Image) -> None:
    """The luma's SSIM equals scikit-image's over the valid part, on flat bright areas, too."""
    score = SsimY().score(batch(reference), batch(decoded))["ssim_y"][0]
    assert score == pytest.approx(expected_y(reference, decoded), abs=1e-8)


def test_swapped_channels_are_noticed() -> None:
    """The parity would fail had red and blue been swapped, in one image for RGB or in both for the luma."""
    decoded = jpeg(PORTRAIT, 10)
    ssim_rgb = SsimRgb().score(batch(PORTRAIT), batch(decoded))["ssim_rgb"][0]
    ssim_y = SsimY().score(batch(PORTRAIT), batch(decoded))["ssim_y"][0]
    assert ssim_rgb != pytest.approx(expected_rgb(PORTRAIT, decoded[..., ::-1]), abs=1e-3)
    assert ssim_y != pytest.approx(expected_y(PORTRAIT[..., ::-1], decoded[..., ::-1]), abs=1e-3)


def test_real_portraits_equal_scikit_image(portraits: Path) -> None:
    """Files of real portraits, in their own sizes, score as with scikit-image."""
    for path in sorted((portraits / "test").glob("*/*.jpg"))[:3]:
        portrait = np.array(PIL.Image.open(path).convert("RGB"))
        decoded = jpeg(portrait, 6)
        score = SsimRgb().score(batch(portrait), batch(decoded))["ssim_rgb"][0]
        assert score == pytest.approx(expected_rgb(portrait, decoded), abs=1e-8)


@pytest.mark.parametrize("metric", [SsimRgb(), SsimY()], ids=lambda metric: metric.name)
def test_bits_do_not_depend_on_batch_or_threads(metric: Metric) -> None:
    """One image gives the same bits alone and in a batch, on one thread and on two."""
    images = [jpeg(PORTRAIT, 10), noisy(PORTRAIT, 5), flat(9), jpeg(PORTRAIT, 90)]
    together = metric.score(batch(*[PORTRAIT] * 4), batch(*images))[metric.name]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            alone = [metric.score(batch(PORTRAIT), batch(image))[metric.name][0] for image in images]
            assert alone == together
    finally:
        torch.set_num_threads(threads)


def test_the_smallest_image_is_one_window() -> None:
    """An image of 11×11 pixels has a value, and a smaller one has the reason why not, one per image."""
    assert SsimRgb().score(batch(PORTRAIT[:11, :11]), batch(PORTRAIT[:11, :11]))["ssim_rgb"] == [1.0]
    small = batch(PORTRAIT[:10, :40], PORTRAIT[10:20, :40])
    reason = Missing("SSIM needs at least 11×11 pixels, not 40×10")
    assert SsimRgb().score(small, small) == {"ssim_rgb": [reason, reason]}
    assert SsimY().score(small, small) == {"ssim_y": [reason, reason]}


def test_the_reference_is_filtered_once_for_all_settings() -> None:
    """Three settings compute the reference's local means once."""
    reference = Recording(tensor(PORTRAIT))
    for quality in (10, 40, 70):
        SsimRgb().score(reference, batch(jpeg(PORTRAIT, quality)))
    assert reference.computed.count(LocalMean(rgb)) == 1


def test_ms_ssim_reuses_the_full_scale_of_ssim() -> None:
    """After SSIM, MS-SSIM finds the comparison of the full scale, though features that it does not name were freed."""
    reference, decoded = batch(PORTRAIT), batch(jpeg(PORTRAIT, 10))
    SsimRgb().score(reference, decoded)
    full_scale = decoded.get(Similarities(rgb))[reference]
    decoded.release(keep=MsSsim.extractors)
    MsSsim().score(reference, decoded)
    assert decoded.get(Similarities(rgb))[reference] is full_scale


def test_a_decoded_batch_can_meet_two_references() -> None:
    """Scoring one batch against a second reference does not return the first one's value."""
    decoded = batch(jpeg(PORTRAIT, 10))
    first = SsimRgb().score(batch(PORTRAIT), decoded)
    second = SsimRgb().score(decoded, decoded)
    assert second["ssim_rgb"] == [1.0]
    assert first != second
