"""Small job files, spelled as a user writes them."""

from __future__ import annotations

from pathlib import Path

LINES = {
    "name": "demo",
    "dataset": "{kind: demo, limit: 4, size: 64}",
    "codecs": "[jpeg: {quality: [4, 40]}, png]",
    "metrics": "[psnr_y, ssim_y]",
    "out": "runs/demo",
}
"""Key → its value in YAML: four images, three settings."""


def job_text(**changes: str | None) -> str:
    """Return the small job with other or more values, in YAML; None leaves a key out."""
    lines = LINES | changes
    return "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)


def write_job(path: Path, **changes: str | None) -> Path:
    """Write the small job with these changes, and return the path."""
    path.write_text(job_text(**changes), encoding="utf-8")
    return path
