"""An environment of its own for CompressAI, which needs an older numpy than vcmbench."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import PIL

import vcmbench.torchvision_import

LOCATION = Path(__file__).parents[1] / "build" / "compressai"
PYTHON = LOCATION / "bin" / "python"
PACKAGES = (
    "compressai==1.2.8",
    "pytorch-msssim==1.0.0",
    "torch==2.13.0",
    "torchvision==0.28.0",
    f"pillow=={PIL.__version__}",  # the same libraries code on both sides
)


def make_environment() -> None:
    """Install CompressAI unless that was done; takes a minute or a few and 1.5 GB.

    CompressAI is unchanged. Where torchvision's build does not match torch's, its import fails, so the environment declares
    the missing operators when Python starts, by the module that vcmbench has for it.
    """
    finished = LOCATION / "finished"
    if finished.exists():
        return
    print(f"Installing CompressAI in {LOCATION} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(LOCATION)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES], check=True)
    [packages] = LOCATION.glob("lib/python*/site-packages")
    shutil.copy(vcmbench.torchvision_import.__file__, packages / "torchvision_import.py")
    start = "import torchvision_import; torchvision_import.import_torchvision()\n"
    (packages / "torchvision_import.pth").write_text(start, encoding="utf-8")
    finished.touch()
