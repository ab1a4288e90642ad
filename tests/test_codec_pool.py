"""Processes that may be killed: how they start and end, who is blamed for a death, and codecs that run in the worker."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from faulty import RED, Archive, Faulty, Unpickled, block_of_images
from runs import SIZE, write_images

from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Image
from vcmbench.pipeline import processes
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import QUARANTINE, CodecPool
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source
from vcmbench.pipeline.processes import PoolClosed, ProcessPool
from vcmbench.pipeline.worker_coding import code_batch

IMAGES = 4
MARKED = 2
TIME_LIMIT = 1.0


@pytest.fixture(scope="module")
def pool() -> Iterator[CodecPool]:
    pool = CodecPool(processes=2, time_limit=TIME_LIMIT)
    yield pool
    pool.close()


@pytest.fixture
def originals() -> Iterator[Block]:
    block = block_of_images(IMAGES, SIZE, MARKED)
    yield block
    block.close()


def test_an_unreadable_image_is_a_failure_with_its_path(pool: CodecPool, tmp_path: Path) -> None:
    """A missing, a damaged and a truncated file fail by name, and for good; the image between them is read."""
    write_images(tmp_path, 3)
    (tmp_path / "000.png").write_bytes(b"not an image")
    (tmp_path / "002.png").write_bytes((tmp_path / "002.png").read_bytes()[:-40])
    block = Block(4, SIZE)
    names = ["000.png", "001.png", "002.png", "absent.png"]
    dataset, sources = Folder(root=str(tmp_path)), [Source(name, None) for name in names]
    outcomes = pool.load(dataset, sources, Preparation(size=SIZE), block.name).result()
    assert outcomes[1] == Loaded(None, "", hashlib.sha256(block.images[1].tobytes()).hexdigest()[:16])
    for name, outcome in zip(names, outcomes, strict=True):
        if name != "001.png":
            assert isinstance(outcome, Failure)
            assert outcome.reason.startswith(f"{name}: ")
            assert not outcome.transient
    block.close()


@pytest.mark.parametrize(
    ("fault", "reason", "transient"),
    [
        ("kill", "its process was killed, perhaps for want of memory", True),
        ("exit", "its process ended itself with exit code 3", False),
    ],
)
def test_a_setting_that_always_dies_is_quarantined(fault: str, reason: str, transient: bool) -> None:
    """After ten deaths in a row the rest fails at once, transient like these; a success between begins the count anew."""
    images = QUARANTINE + 3
    pool = CodecPool(processes=1, time_limit=1.0)
    source, target = Block(images, SIZE), Block(images, SIZE)
    codec = Faulty(fault=fault)
    source.images[:, 0, 0] = RED
    source.images[2, 0, 0] = (0, 0, 0)
    died = Failure(f"{codec.variant}: {reason}", transient)
    skipped = Failure(f"{codec.variant}: not tried, since its process died on 10 images in a row", transient)
    first = pool.code(codec, images, source.name, target.name).result()
    assert [first[0], first[1], *first[3:]] == [died] * (images - 1)
    assert isinstance(first[2], Coded)
    assert pool.code(codec, images, source.name, target.name).result() == [skipped] * images
    assert all(isinstance(outcome, Coded) for outcome in pool.code(Faulty(), 1, source.name, target.name).result())
    pool.close()


def test_files_that_end_their_reader_are_no_reason_to_leave_out_the_next(tmp_path: Path) -> None:
    """However many images in a row end the process that reads them, a healthy one after them is read."""
    images = QUARANTINE + 2
    write_images(tmp_path, 1)
    pool = CodecPool(processes=1, time_limit=10.0)
    block = Block(images, SIZE)
    sources = [Source("absent.png", None)] * (images - 1) + [Source("000.png", None)]
    dataset = Archive(root=str(tmp_path), fault="exit", at="absent.png")
    *ended, last = pool.load(dataset, sources, Preparation(size=SIZE), block.name).result()
    assert ended == [Failure("absent.png: its process ended itself with exit code 3")] * (images - 1)
    assert isinstance(last, Loaded)
    block.close()
    pool.close()


def test_a_task_for_a_closed_pool_is_not_waited_for() -> None:
    """Whoever still asks while the pool is being closed, as at Ctrl-C, is told instead of waiting for ever."""
    pool = ProcessPool(1)
    pool.close()
    with pytest.raises(PoolClosed):
        pool.schedule(1.0, iter, ()).result(timeout=10)


@pytest.mark.parametrize("fault", ["poison", "leak a little"])
def test_an_image_is_not_blamed_for_what_another_left_behind(fault: str) -> None:
    """Where each image makes the process unfit for the next, all are coded, the next in a new process."""
    pool = CodecPool(processes=1, time_limit=10.0, memory_limit=2**30)
    source, target = Block(IMAGES, SIZE), Block(IMAGES, SIZE)
    source.images[:, 0, 0] = RED
    outcomes = pool.code(Faulty(fault=fault), IMAGES, source.name, target.name).result()
    assert all(isinstance(outcome, Coded) for outcome in outcomes)
    pool.close()


def test_the_time_limit_is_for_each_image(pool: CodecPool) -> None:
    """A batch may take longer than the limit when each of its images keeps to it."""
    source, target = Block(12, SIZE), Block(12, SIZE)
    source.images[:, 0, 0] = RED
    start = time.perf_counter()
    outcomes = pool.code(Faulty(fault="slow"), 12, source.name, target.name).result()
    assert time.perf_counter() - start > TIME_LIMIT
    assert all(isinstance(outcome, Coded) for outcome in outcomes)


def test_a_process_that_cannot_start_is_no_fault_of_a_codec(originals: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python itself does not run, the shard fails; nothing is written down against the images."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = CodecPool(processes=1, time_limit=1.0)
    with pytest.raises(RuntimeError, match="a codec process cannot start"):
        pool.code(Faulty(), IMAGES, originals.name, originals.name).result()
    pool.close()


@pytest.mark.parametrize(
    ("fault", "reason", "transient"),
    [
        ("refuse", "ValueError: has no copy", False),
        ("raise", "RuntimeError: no room for this face", False),
        ("segfault", "its process died (Segmentation fault)", False),
        ("kill", "its process was killed, perhaps for want of memory", True),
    ],
)
def test_a_codec_that_cannot_reach_a_process_costs_its_own_rows(
    pool: CodecPool, originals: Block, fault: str, reason: str, transient: bool
) -> None:
    """A codec that cannot be pickled or unpickled fails with the reason, and the next codec is none the worse."""
    codec = Unpickled(fault=fault)
    target = Block(IMAGES, SIZE)
    failure = Failure(f"{codec.variant}: {reason}", transient)
    assert pool.code(codec, IMAGES, originals.name, target.name).result() == [failure] * IMAGES
    assert _all_coded(pool, originals, target)
    target.close()


def test_a_codec_that_hangs_while_it_is_loaded_is_ended(originals: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """The imports of a plug-in have a limit of their own, since they may take longer than an image."""
    monkeypatch.setattr(processes, "LOADING_SECONDS", 1.0)
    pool = CodecPool(processes=1, time_limit=0.5)
    codec = Unpickled(fault="hang")
    outcomes = pool.code(codec, 1, originals.name, originals.name).result()
    pool.close()
    assert outcomes == [Failure(f"{codec.variant}: took longer than 1.5 s to load", transient=True)]


def test_a_process_that_dies_idle_is_replaced(pool: CodecPool, originals: Block) -> None:
    """What a codec left running may crash later; the next batch finds another process."""
    target = Block(IMAGES, SIZE)
    assert _all_coded(pool, originals, target)
    for process in _codec_processes(psutil.Process()):
        process.kill()
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    assert _all_coded(pool, originals, target)
    target.close()


def _all_coded(pool: CodecPool, originals: Block, target: Block) -> bool:
    outcomes = pool.code(Faulty(), IMAGES, originals.name, target.name).result()
    return all(isinstance(outcome, Coded) for outcome in outcomes)


def _codec_processes(worker: psutil.Process) -> set[psutil.Process]:
    children = [child for child in worker.children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child for child in children if "vcmbench.pipeline.processes" in " ".join(child.cmdline())}


def test_processes_end_with_the_pool(originals: Block) -> None:
    """Closing the pool ends its processes, even one that hangs."""
    before = _codec_processes(psutil.Process())
    pool = CodecPool(processes=1, time_limit=600.0)
    pool.code(Faulty(fault="hang"), IMAGES, originals.name, originals.name)
    while not (started := _codec_processes(psutil.Process()) - before):
        time.sleep(0.01)
    pool.close()
    assert not any(process.is_running() for process in started)


HANGING = """
from faulty import Faulty, block_of_images
from vcmbench.pipeline.codec_pool import CodecPool
pool = CodecPool(processes=1, time_limit=600.0)
block = block_of_images(1, 32, marked=0)
pool.code(Faulty(), 1, block.name, block.name).result()
pending = pool.code(Faulty(fault="hang in C"), 1, block.name, block.name)
print("hanging", flush=True)
pending.result()
"""


def test_processes_end_with_a_worker_that_is_killed() -> None:
    """SIGKILL to the worker leaves no codec process behind, even one that hangs in native code."""
    command = [sys.executable, "-c", HANGING]
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"hanging\n"
        time.sleep(0.5)
        started = _codec_processes(psutil.Process(worker.pid))
        worker.kill()
    assert len(started) == 1
    assert psutil.wait_procs(started, timeout=20)[1] == []


def test_a_batch_codec_is_isolated_image_by_image(originals: Block) -> None:
    """In the worker a batch whose coding raises is coded again image by image; the times are shared equally."""
    target = Block(IMAGES, SIZE)
    outcomes = code_batch(Faulty(fault="raise"), originals.images, target.images)
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [place == MARKED for place in range(IMAGES)]
    healthy = code_batch(Faulty(), originals.images, target.images)
    assert len({outcome.encode_ms for outcome in healthy if isinstance(outcome, Coded)}) == 1
    target.close()


def test_a_batch_codec_that_loses_an_image_fails_as_a_whole(originals: Block) -> None:
    """A batch that comes back shorter cannot be matched to its images, so none of it counts."""
    target = Block(IMAGES, SIZE)
    outcomes = code_batch(Losing(), originals.images, target.images)
    reason = f"losing level=1: decode_batch returned {IMAGES - 1} images for {IMAGES} bitstreams"
    assert outcomes == [Failure(reason)] * IMAGES
    target.close()


def test_a_batch_codec_may_give_any_iterable(originals: Block) -> None:
    """Images that come one by one are as good as a list, and what is no iterable at all fails with the reason."""
    target = Block(IMAGES, SIZE)
    assert all(isinstance(outcome, Coded) for outcome in code_batch(Yielding(), originals.images, target.images))
    assert (
        code_batch(Forgetting(), originals.images, target.images)
        == [Failure("forgetting level=1: TypeError: 'NoneType' object is not iterable")] * IMAGES
    )
    target.close()


class Yielding(Faulty):
    """Decodes one by one."""

    family = "yielding"

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Give a generator."""
        return (self.decode(bitstream) for bitstream in bitstreams)  # type: ignore[return-value]  # the fault


class Forgetting(Faulty):
    """Returns nothing."""

    family = "forgetting"

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Forget the return statement."""
        super().decode_batch(bitstreams)
        return None  # type: ignore[return-value]  # the fault


class Losing(Faulty):
    """Returns one image too few."""

    family = "losing"

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Lose the last image."""
        return super().decode_batch(bitstreams)[:-1]
