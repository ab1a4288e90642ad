"""What a run was computed with: software versions and hardware, and nothing that names the host or its user."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import vcmbench

DEPENDENCIES = (
    "click",
    "duckdb",
    "fsspec",
    "jinja2",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "ray",
    "scikit-image",
    "matplotlib",
    "safetensors",
    "scipy",
    "threadpoolctl",
    "torch",
    "tqdm",
    "resmem",
    "torchvision",
    "lpips",
    "DISTS-pytorch",
    "pytorch-fid",
    "face-alignment",
    "deepface",
    "onnxruntime",
    "opencv-python",
    "opencv-contrib-python-headless",
    "s3fs",
    "botocore",
)
"""The direct dependencies, optional ones included. They are spelled out because code that Ray ships to a worker is not
installed there and has no metadata to read them from."""


def environment() -> dict[str, object]:
    """Describe this process's software and hardware as JSON-like values for `provenance.json`.

    Keys: `time` (UTC, ISO 8601), `vcmbench`, `git` (commit and dirty flag of the checkout, or None), `python`, `os`, `cpu`
    (model and logical count), `memory_bytes`, `cuda` and `gpus` (None and empty without one), `packages` (name → version).
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "vcmbench": vcmbench.__version__,
        "git": checkout(Path(vcmbench.__file__).parents[1]),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        **_cuda(),
        "packages": {name: version for name in DEPENDENCIES if (version := _version(name))},
    }


def checkout(root: Path) -> dict[str, object] | None:
    """The git commit of the checkout at `root` and whether its package differs from it; None where there is no checkout.

    Files outside the package, such as results written beside it, do not make the checkout dirty.
    """
    if not (root / ".git").exists():  # an installed package may lie inside the checkout of another project
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "vcmbench")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, no commit yet, or somebody else's checkout
        return None
    return finished.stdout.strip()


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _cuda() -> dict[str, object]:
    with contextlib.suppress(ImportError, OSError):  # a broken torch must not hide the rest
        import torch  # noqa: PLC0415  # takes a second

        if torch.cuda.is_available():
            devices = [torch.cuda.get_device_properties(device) for device in range(torch.cuda.device_count())]
            gpus = [{"name": device.name, "memory_bytes": device.total_memory} for device in devices]
            return {"cuda": torch.version.cuda, "gpus": gpus}
    return {"cuda": None, "gpus": []}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
