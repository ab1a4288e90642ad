"""The program as a user runs it: in a process of its own, or in this one for the sake of speed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vcmbench import cli

PROGRAM = Path(sys.executable).with_name("vcmbench")
TIMES = ("encode_ms", "decode_ms")


@dataclass(frozen=True)
class Finished:
    """What the program left behind."""

    code: int
    out: str
    err: str


def vcmbench_in(folder: Path, *arguments: str) -> Finished:
    """Run the program in a folder."""
    child = subprocess.run([PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return Finished(child.returncode, child.stdout, child.stderr)


Call = Callable[..., Finished]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the program in this process and an empty folder, for the sake of speed."""
    monkeypatch.chdir(tmp_path)

    def call_main(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Finished(code, *capsys.readouterr())

    return call_main


def files(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    """Every file under a folder with its time of change and content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def rows(run: Path) -> list[dict[str, object]]:
    """The rows of every current shard, without the times."""
    shards = json.loads((run / "index.json").read_text())["shards"]
    table = [row for shard in shards.values() for row in pq.read_table(run / shard["file"]).to_pylist()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in table]


def one_line(finished: Finished) -> str:
    """The one line of an error, with nothing printed beside it."""
    assert finished.out == ""
    assert finished.err.count("\n") == 1
    assert finished.err.startswith("vcmbench: ")
    return finished.err.removeprefix("vcmbench: ").rstrip("\n")
