"""Where weight files are looked for: a folder of the test's instead of the machine's own caches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vcmbench.metrics import networks
from vcmbench.weights import FOLDER


@contextmanager
def weights_in(home: Path) -> Iterator[Path]:
    """Let vcmbench, torch.hub and DeepFace look for weight files below `home` alone, and free the networks made before.

    Yields the folder in which vcmbench and torch.hub look; DeepFace's is in `home`, too, and vcmbench looks there as well.
    """
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER, raising=False)
        patch.setenv("TORCH_HOME", str(home))
        patch.setenv("DEEPFACE_HOME", str(home))
        networks.forget()
        try:
            yield folder
        finally:
            networks.forget()
