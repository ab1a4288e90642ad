"""Seeded random networks where torch.hub, vcmbench and DeepFace look for the pretrained ones, as the tests write them.

They take as long as pretrained ones. What rounding does to their values is theirs, too.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where the writers are


CHECKPOINTS = Path("hub", "checkpoints")


def homes(folder: Path) -> dict[str, str]:
    """Return the environment variables under which the networks in a folder are found."""
    return {"TORCH_HOME": str(folder), "DEEPFACE_HOME": str(folder), "DEEPFACE_BACKEND_ENGINE": "pytorch"}


def write_networks(folder: Path, detector: Path) -> None:
    """Write every network, but the real BlazeFace, which is copied from the folder `detector`."""
    from random_deepface import (  # noqa: PLC0415  # imports deepface
        ARCFACE,
        FACENET512,
        write_random_gender,
        write_random_recogniser,
    )
    from random_fan import write_random_fan  # noqa: PLC0415  # likewise face_alignment
    from random_weights import write_alexnet, write_vgg16  # noqa: PLC0415  # likewise torchvision

    write_inception(folder)
    checkpoints = folder / CHECKPOINTS
    for write in (write_vgg16, write_alexnet):
        write(checkpoints)
    write_random_fan(folder)
    write_random_gender(folder)
    for recogniser in (ARCFACE, FACENET512):
        write_random_recogniser(recogniser, folder)
    for name in ("blazeface.pth", "anchors.npy"):
        shutil.copy(detector / name, checkpoints)


def write_inception(folder: Path) -> None:
    """Write FID's network alone."""
    from random_inception import write_random_inception  # noqa: PLC0415  # imports pytorch_fid

    checkpoints = folder / CHECKPOINTS
    checkpoints.mkdir(parents=True)
    write_random_inception(checkpoints)
