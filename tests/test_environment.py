"""The description of software and hardware in provenance.json."""

from __future__ import annotations

import getpass
import json
import platform
import re
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from vcmbench.pipeline.environment import DEPENDENCIES, checkout, environment

ROOT = Path(__file__).resolve().parents[1]


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "vcmbench").mkdir()
    (tmp_path / "vcmbench" / "codec.py").write_text("one\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_it_is_json_and_names_versions_and_hardware() -> None:
    """The description can be stored as JSON and holds the versions, processor, memory and time of this process."""
    described = json.loads(json.dumps(environment()))
    assert described["packages"]["numpy"] == version("numpy")
    assert described["packages"]["torch"] == version("torch")
    assert described["python"] == f"CPython {platform.python_version()}"
    assert described["cpu"]["count"] >= 1
    assert described["cpu"]["model"]
    assert described["memory_bytes"] > 2**28
    assert abs((datetime.now(UTC) - datetime.fromisoformat(described["time"])).total_seconds()) < 60


def test_it_tells_nothing_of_the_host_or_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither host name, user name, home, absolute paths nor environment variables appear in the description."""
    monkeypatch.setenv("VCMBENCH_SECRET", "sesame-4711")
    monkeypatch.setenv("LOGNAME", "somebody-4711")
    text = json.dumps(environment())
    assert getpass.getuser() == "somebody-4711"
    assert "4711" not in text
    assert platform.node() not in text.split('"')
    assert not re.search(r'[" ]/\w', text)


def test_every_dependency_is_listed() -> None:
    """The packages whose versions are recorded are those that pyproject.toml names for use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [wanted for extra, wanted in project["optional-dependencies"].items() if extra != "dev"]
    declared = {re.split(r"[\[<>=]", name)[0] for name in sum(extras, project["dependencies"])}
    assert set(DEPENDENCIES) == declared


def test_a_checkout_names_its_commit(repository: Path) -> None:
    """A clean checkout gives its commit and is not dirty, even with results beside the package."""
    (repository / "mlflow.db").write_text("results")
    assert checkout(repository) == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize("name", ["codec.py", "added.py"])
def test_a_changed_or_added_file_makes_it_dirty(repository: Path, name: str) -> None:
    """A file of the package that is not as committed makes the checkout dirty."""
    (repository / "vcmbench" / name).write_text("two\n")
    described = checkout(repository)
    assert described is not None
    assert described["dirty"] is True


def test_an_installed_package_has_no_commit(repository: Path) -> None:
    """A package that merely lies inside somebody's checkout does not take over that checkout's commit."""
    assert checkout(repository / "vcmbench") is None


def test_a_checkout_without_commits_has_none(tmp_path: Path) -> None:
    """A repository that has no commit yet gives no commit and no error."""
    git(tmp_path, "init", "--quiet")
    assert checkout(tmp_path) is None
