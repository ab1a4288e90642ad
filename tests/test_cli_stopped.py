"""How a run from the command line takes being killed, stopped, and started twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from jobs import write_job
from program import PROGRAM, Call, files, rows

SLOW = {
    "dataset": "{kind: demo, limit: 16, size: 256}",
    "codecs": "[avif: {quality: 40, speed: 4}, png]",
    "shard_size": "1",
}
"""A job of 16 images × 2 settings whose shards take long enough to stop it between two of them."""


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the slow job in a session of its own, and return when its first shard is in the index."""
    write_job(folder / "job.yaml", **SLOW)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would the child
    child = subprocess.Popen(
        [PROGRAM, "run", "job.yaml", "--address", "local"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    index = folder / "runs/demo/index.json"
    while child.poll() is None:
        if index.exists() and json.loads(index.read_text())["shards"]:
            return child
        time.sleep(0.01)
    pytest.fail(f"the job ended too soon: {child.communicate()}")


def session(leader: int) -> list[str]:
    """The command lines of the processes that live in a session."""
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, belongs_to = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(belongs_to) == leader and state != "Z":
                alive.append((process / "cmdline").read_text())
        except OSError:  # it has just ended
            continue
    return alive


def assert_all_end(leader: int) -> None:
    """Wait a moment for the last process of a session to end."""
    deadline = time.monotonic() + 10
    while session(leader):
        assert time.monotonic() < deadline, session(leader)
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are looked up in /proc")
def test_a_killed_run_continues_where_it_stopped(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process outlives the kill; what was committed is not touched; the rows are those of an undisturbed run."""
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    killed.mkdir()
    undisturbed.mkdir()
    child = start(killed)
    child.kill()
    child.communicate(timeout=30)
    assert_all_end(child.pid)

    run = killed / "runs/demo"
    shards = json.loads((run / "index.json").read_text())["shards"].values()
    assert 0 < len(shards) < 16
    committed = {Path(shard["file"]).name for shard in shards}
    before = {name: file for name, file in files(run / "results").items() if name in committed}
    monkeypatch.chdir(killed)
    again = call("run", "job.yaml", "--address", "local")
    assert again.code == 0
    assert f"16 images × 2 settings, {32 - 2 * len(committed)} to compute" in again.err
    assert {name: file for name, file in files(run / "results").items() if name in committed} == before

    write_job(undisturbed / "job.yaml", **SLOW)
    monkeypatch.chdir(undisturbed)
    assert call("run", "job.yaml", "--address", "local").code == 0
    assert rows(run) == rows(undisturbed / "runs/demo")


def test_a_second_driver_is_refused(tmp_path: Path, call: Call) -> None:
    """While a run is under way, the same command ends with code 2 and who holds it; the first one is not disturbed."""
    child = start(tmp_path)
    child.send_signal(signal.SIGSTOP)  # it would be done too soon
    refused = call("run", "job.yaml", "--address", "local")
    child.send_signal(signal.SIGCONT)
    assert refused.code == 2
    assert "vcmbench: runs/demo is being run by" in refused.err
    assert f"process {child.pid}, since" in refused.err
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are looked up in /proc")
def test_ctrl_c_ends_a_run_cleanly(tmp_path: Path) -> None:
    """Exit code 1, a line that says how to go on, no traceback, no process left, and an index that can be read."""
    child = start(tmp_path)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 1
    lines = [line for line in err.splitlines() if line]
    assert lines == [
        "demo: 16 images × 2 settings, 32 to compute",
        "vcmbench: interrupted; the same command continues where it stopped",
    ]
    assert_all_end(child.pid)
    assert {row["status"] for row in rows(tmp_path / "runs/demo")} == {"ok"}
