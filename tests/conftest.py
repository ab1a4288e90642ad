"""What several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from object_store import UnreliableWay, serve_objects, use_objects
from program import call
from report_browser import browser, visit

from vcmbench import storage

__all__ = ["browser", "call", "visit"]

torch.set_num_threads(1)  # as in a worker: torch's threads wait in busy loops, which a busy machine cannot afford


@pytest.fixture(scope="session")
def portraits() -> Path:
    """The real portraits in VGGFace2's layout; a test that needs them is skipped where they are absent."""
    root = Path(__file__).resolve().parents[2] / "shared" / "vggface2_mini"
    if not root.is_dir():
        pytest.skip("the portraits are not beside this checkout (../shared/vggface2_mini)")
    return root


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """A real S3-compatible server on loopback; yields its URL."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with serve_objects() as url:
        yield url


@pytest.fixture(scope="module")
def opened_way(store: str) -> Iterator[UnreliableWay]:
    """A way to the server."""
    with UnreliableWay(store).opened() as way:
        yield way


@pytest.fixture
def way(opened_way: UnreliableWay) -> Iterator[UnreliableWay]:
    """A way to the server on which requests go wrong when told so."""
    yield opened_way
    opened_way.faults = iter(())


@pytest.fixture
def bucket(way: UnreliableWay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket behind that way."""
    return use_objects(way.url, tmp_path.name, monkeypatch)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage is tried three times without the real patience, and without any of botocore's own."""
    monkeypatch.setattr(storage, "WAITS", (0.01, 0.01))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
