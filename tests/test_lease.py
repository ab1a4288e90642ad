"""One driver per run: who holds it, who is refused, who takes over, and whose writes are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench.interfaces import Superseded, UsageError
from vcmbench.pipeline import lease
from vcmbench.pipeline.driver import Resources, converge, open_run
from vcmbench.pipeline.lease import LEASE, Holder, held
from vcmbench.pipeline.local import execute_here
from vcmbench.results import RunDirectory

HOLD = """
import sys, time
from vcmbench.pipeline.lease import held
from vcmbench.results import RunDirectory
with held(RunDirectory(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(str(tmp_path / "run"))


def elsewhere(run: RunDirectory, **changes: object) -> Holder:
    """Let a driver on another machine hold the run."""
    holder = Holder.this_process().model_copy(update={"machine": "another", "host": "node7", "user": "alice", **changes})
    run.replace(LEASE, holder.model_dump_json().encode(), run.version(LEASE))
    return holder


def test_a_second_driver_is_told_who_holds_the_run(run: RunDirectory) -> None:
    """The refusal names user, host and process, and what to do."""
    with held(run), pytest.raises(UsageError) as refused, held(run):
        pass
    assert f"process {os.getpid()}, since" in str(refused.value)
    assert str(refused.value).startswith(f"{run.url} is being run by ")
    assert str(refused.value).endswith("; wait for it, stop it, or choose another `out`")


def test_a_lease_is_given_back(run: RunDirectory) -> None:
    """After the block, even one that fails, the next driver gets the run and no lease is left."""
    with pytest.raises(ZeroDivisionError), held(run):
        raise ZeroDivisionError
    with held(run):
        pass
    assert not run.exists(LEASE)


def test_a_driver_elsewhere_is_believed_while_it_is_heard_of(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of another machine stands until it has not been renewed for the time it is given."""
    holder = elsewhere(run)
    with pytest.raises(UsageError, match="is being run by alice@node7"), held(run):
        pass
    monkeypatch.setattr(lease, "EXPIRE_SECONDS", time.time() - holder.renewed)
    with held(run):
        pass


def test_a_killed_driver_on_this_machine_is_followed_at_once(run: RunDirectory) -> None:
    """While it lives the second is refused; after SIGKILL nobody has to wait for its lease to run out."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, run.url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"process {child.pid}"), held(run):
            pass
        child.kill()
        child.wait()
    with held(run):
        pass


def test_a_lease_is_renewed(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder is heard of again and again, so that it is not taken for dead."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    with held(run):
        first = json.loads(run.read(LEASE))
        deadline = time.monotonic() + 10
        while json.loads(run.read(LEASE))["renewed"] == first["renewed"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert json.loads(run.read(LEASE))["token"] == first["token"]


def test_a_holder_learns_that_it_was_taken_over(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its check names the new holder, whose lease it leaves alone."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    with held(run) as mine:
        mine.check()
        elsewhere(run)
        time.sleep(0.5)
        with pytest.raises(Superseded, match="was taken over by alice@node7"):
            mine.check()
    assert json.loads(run.read(LEASE))["user"] == "alice"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"token": "x"}'])
def test_a_damaged_lease_is_named(run: RunDirectory, content: bytes) -> None:
    """Nobody can know whether its holder lives, so the user is told what to do."""
    run.write(LEASE, content)
    with pytest.raises(UsageError, match=r"lease\.json is damaged; delete it if no other vcmbench runs there"), held(run):
        pass


def test_a_late_driver_cannot_undo_the_newer_ones_work(tmp_path: Path) -> None:
    """A driver that was stopped and taken over cannot commit; the index stays the newer driver's, byte for byte."""
    write_images(tmp_path / "images", 8)
    task = make_task(tmp_path / "images", tmp_path / "run")
    resources = Resources("cpu", processes=1, threads=1, batch_size=4)
    directory = RunDirectory(task.out)
    with open_run(task) as late:
        works = late.missing_work()
        elsewhere(directory, renewed=0.0)  # while this one slept, another took over
        newer = bring_up_to_date(task)
        committed = directory.read("index.json")
        with pytest.raises(Superseded, match="was deleted, or changed by another driver"):
            converge(late, works, resources, execute_here, lambda _: None)
    assert directory.read("index.json") == committed
    assert rows(newer, task.out) == rows(bring_up_to_date(task), task.out)


def test_a_stopped_driver_that_wakes_up_gives_way(tmp_path: Path) -> None:
    """Suspended, taken over and woken again, a real driver ends with the new holder's name and exit code 1."""
    write_images(tmp_path / "images", 8)
    program = Path(sys.executable).with_name("vcmbench")
    job = tmp_path / "job.yaml"
    qualities = ", ".join(map(str, range(1, 41)))
    job.write_text(
        "name: slow\ndataset: {kind: folder, root: images, size: 256}\n"
        f"codecs: [avif: {{quality: [{qualities}]}}]\nmetrics: [psnr_rgb]\nshard_size: 1\nout: run\n",
        encoding="utf-8",
    )
    command = [str(program), "run", "job.yaml", "--address", "local"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    directory = RunDirectory(str(tmp_path / "run"))
    while not ((index := directory.read_index()) and index.shards):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGSTOP)
    try:
        newer = elsewhere(directory)
        found = directory.read_index()
        assert found is not None
        taken = found.model_copy(update={"writer": newer.token})
        directory.write_index(taken)
    finally:
        child.send_signal(signal.SIGCONT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "was taken over by alice@node7" in err.splitlines()[-1]
    assert directory.read_index() == taken
