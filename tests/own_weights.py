"""Weight files of our own, and a home without any others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vcmbench import weights
from vcmbench.weights import Artefact

BODY = bytes(range(256)) * 1024 + b"end"  # a little more than whole chunks
HASH = hashlib.sha256(BODY).hexdigest()
OTHER = b"of another network" * 1000


def use_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave this test nothing but a folder of weights that is still to be made; return it."""
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME", "DEEPFACE_HOME", weights.UNVERIFIED):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(weights.FOLDER, str(tmp_path / "weights"))
    return tmp_path / "weights"


def artefact(*urls: str, name: str = "net", sha256: str = HASH) -> Artefact:
    """An artefact of our own."""
    return Artefact(
        name=name,
        file=f"{name}.pth",
        urls=urls,
        sha256=sha256,
        size=len(BODY),
        licence="ours",
        source="here",
        serves=("psnr",),
    )


def table(*artefacts: Artefact) -> weights.Table:
    """A table of them."""
    return {entry.name: entry for entry in artefacts}
