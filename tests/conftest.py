"""What several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # as in a worker: torch's threads wait in busy loops, which a busy machine cannot afford


@pytest.fixture(scope="session")
def portraits() -> Path:
    """The real portraits in VGGFace2's layout; a test that needs them is skipped where they are absent."""
    root = Path(__file__).resolve().parents[2] / "shared" / "vggface2_mini"
    if not root.is_dir():
        pytest.skip("the portraits are not beside this checkout (../shared/vggface2_mini)")
    return root
