"""What a task asks of each metric column: the levels of the table "rate for the task".

A level is one of the mean over images, in the column's unit; NME and shares are fractions, so that 0.03 is 3 %. Few of them
are standards. Where a level is a choice, `source` says so, and with what in mind it was made; tables should print the level
beside the rate.

FID and KID have none, because their value depends on the number of images, and perceptual L and H have none, because their
scale is that of a network's activations and nobody has tied it to what people see.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """A level that a metric column has to reach, in its better direction; without one, to stay within ±`level`."""

    column: str
    level: float
    source: str


_WELSTEAD = "the lower end of what is typical of lossy coding: Welstead, Fractal and wavelet image compression, SPIE 1999"
_ZINNER = (
    "Zinner et al., Impact of frame rate and resolution on objective QoE metrics, QoMEX 2010, whose table maps it to MOS"
)
_LANDMARKS = "a choice: JPEG at 256×256 is at 3 % between quality 4 and 6, and at 2 % near 10 (docs/metrics/landmarks.md)"
_OUTER_EYES = "a choice: the same landmarks as of nme_box, whose unit of length is 1.7 times as long on our portraits"
_VERIFICATION = "a choice: 1 in 20 genuine pairs is lost; compare with the value of a lossless setting"
_LPIPS = "a choice; identical images have 0"

THRESHOLDS = (
    Threshold("psnr_rgb", 30, _WELSTEAD),
    Threshold("psnr_rgb", 33, f"good: {_ZINNER}"),
    Threshold("psnr_y", 30, "as psnr_rgb"),
    Threshold("psnr_y", 33, f"good: {_ZINNER}"),
    Threshold("ssim_rgb", 0.90, "a choice, above the 0.88 from which on images are fair by the next line's source"),
    Threshold("ssim_rgb", 0.95, f"good: {_ZINNER}"),
    Threshold("ssim_y", 0.90, "as ssim_rgb"),
    Threshold("ssim_y", 0.95, f"good: {_ZINNER}"),
    Threshold("ms_ssim", 0.95, "a choice: the level of ssim_y"),
    Threshold("ms_ssim", 0.98, "a choice: MS-SSIM is nearer to 1 than SSIM on the same images"),
    Threshold("lpips_alex", 0.10, _LPIPS),
    Threshold("lpips_alex", 0.05, "a choice: half of it"),
    Threshold("lpips_vgg", 0.20, "a choice: LPIPS is larger with VGG16 than with AlexNet on the same images"),
    Threshold("lpips_vgg", 0.10, "a choice: half of it"),
    Threshold("dists", 0.10, "a choice; identical images have 0"),
    Threshold("nme_box", 0.03, _LANDMARKS),
    Threshold("nme_box", 0.02, _LANDMARKS),
    Threshold("nme_interocular", 0.05, _OUTER_EYES),
    Threshold("nme_interocular", 0.035, _OUTER_EYES),
    Threshold("face_detected", 0.95, "a choice: 1 face in 20 is lost"),
    Threshold("face_detected", 0.99, "a choice: 1 face in 100 is lost"),
    Threshold("gender_agrees", 0.95, "a choice: the answer changes for 1 face in 20"),
    Threshold("gender_agrees", 0.99, "a choice: the answer changes for 1 face in 100"),
    Threshold(
        "identity_similarity", 0.90, "a choice, far above the 0.32 from which on DeepFace takes two photos for one person's"
    ),
    Threshold("tar_at_far_1e_2", 0.95, _VERIFICATION),
    Threshold("tar_at_far_1e_3", 0.95, _VERIFICATION),
    Threshold("memorability_delta", 0.02, "a choice: 1 in 50 people more or less remembers the image"),
    Threshold("memorability_delta", 0.01, "a choice: 1 in 100 people"),
)


def thresholds_of(column: str) -> tuple[Threshold, ...]:
    """Return a column's thresholds, the easiest first; none for a column without."""
    return tuple(threshold for threshold in THRESHOLDS if threshold.column == column)
