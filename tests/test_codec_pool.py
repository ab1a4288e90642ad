"""Coding in processes that may be killed: whatever a codec does, it costs its own image × setting."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
from faulty import ENDINGS, RED, Faulty, is_marked
from runs import SIZE, write_images

from vcmbench.datasets.folder import Folder
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Image
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import QUARANTINE, CodecPool
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source, code_batch

IMAGES = 4
MARKED = 2


@pytest.fixture(scope="module")
def pool() -> Iterator[CodecPool]:
    pool = CodecPool(processes=2, time_limit=1.0)
    yield pool
    pool.close()


@pytest.fixture
def originals(pool: CodecPool, tmp_path: Path) -> Iterator[Block]:
    write_images(tmp_path, IMAGES, marked=[MARKED])
    block = Block(IMAGES, SIZE)
    sources = [Source(f"{number:03}.png", None) for number in range(IMAGES)]
    loaded = pool.load(Folder(root=str(tmp_path)), sources, Preparation(size=SIZE), block.name).result()
    assert all(isinstance(outcome, Loaded) for outcome in loaded)
    yield block
    block.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "RuntimeError: no room for this face"),
        ("exit", "its process ended itself with exit code 3"),
        ("segfault", "its process died (Segmentation fault)"),
        ("kill", "its process was killed, perhaps for want of memory"),
        ("hang", "took longer than the time limit of 1 s"),
        ("wrong shape", f"decode returned a uint8 array of {SIZE - 1}×{SIZE}×3 instead of a uint8 array of {SIZE}×{SIZE}×3"),
        ("wrong type", f"decode returned a float64 array of {SIZE}×{SIZE}×3 instead of a uint8 array of {SIZE}×{SIZE}×3"),
    ],
)
def test_a_fault_costs_its_own_image_and_says_what_happened(
    pool: CodecPool, originals: Block, fault: str, reason: str
) -> None:
    """The marked image fails with the reason; its neighbours in the same batch are coded as ever."""
    codec = Faulty(fault=fault)
    target = Block(IMAGES, SIZE)
    outcomes = pool.code(codec, IMAGES, originals.name, target.name).result()
    assert outcomes[MARKED] == Failure(f"{codec.variant}: {reason}")
    for place in set(range(IMAGES)) - {MARKED}:
        assert isinstance(outcomes[place], Coded)
        assert np.array_equal(target.images[place], originals.images[place])
    target.close()


def test_a_codec_that_prints_megabytes_disturbs_nothing(
    pool: CodecPool, originals: Block, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a codec prints goes nowhere, and its results stand."""
    target = Block(IMAGES, SIZE)
    outcomes = pool.code(Faulty(fault="print"), IMAGES, originals.name, target.name).result()
    assert all(isinstance(outcome, Coded) for outcome in outcomes)
    assert capfd.readouterr().out == ""
    target.close()


def test_a_codec_cannot_change_the_originals(pool: CodecPool, originals: Block) -> None:
    """The images a codec is given are read-only, so that a scribbling codec fails instead of spoiling the next."""
    target = Block(IMAGES, SIZE)
    before = originals.images.copy()
    outcomes = pool.code(Scribbling(), IMAGES, originals.name, target.name).result()
    assert all(isinstance(outcome, Failure) and "read-only" in outcome.reason for outcome in outcomes)
    assert np.array_equal(originals.images, before)
    target.close()


def test_a_batch_codec_cannot_change_the_originals(originals: Block) -> None:
    """In the worker, too, the images a codec is given are read-only."""
    before = originals.images.copy()
    outcomes = code_batch(Scribbling(), originals.images, np.zeros_like(before))
    assert all(isinstance(outcome, Failure) and "read-only" in outcome.reason for outcome in outcomes)
    assert np.array_equal(originals.images, before)


class Scribbling(Faulty):
    """Writes into its input."""

    family = "scribbling"

    def encode(self, image: Image) -> bytes:
        """Scribble."""
        image[:] = 0
        return super().encode(image)


class Panic(BaseException):
    """Not even an `Exception`, and impossible to unpickle, as what a native library throws may be."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


class Panicking(Faulty):
    """Throws a `Panic` on a marked image."""

    family = "panicking"

    def encode(self, image: Image) -> bytes:
        """Throw on a marked image."""
        if is_marked(image):
            raise Panic("encode", "no room")
        return super().encode(image)


@dataclass(frozen=True)
class Archive(Folder):
    """A folder whose third image cannot be read, as `Panic` says."""

    kind: ClassVar[str] = "archive"

    def read(self, path: str) -> bytes:
        """Throw for one path."""
        if path == f"{MARKED:03}.png":
            raise Panic("read", "no network")
        return super().read(path)


def test_an_exception_that_cannot_be_pickled_costs_its_own_image(pool: CodecPool, originals: Block, tmp_path: Path) -> None:
    """Whatever a codec or a data set throws, the image has its reason, its neighbours are done, and the pool goes on."""
    target = Block(IMAGES, SIZE)
    sources = [Source(f"{number:03}.png", None) for number in range(IMAGES)]
    loaded = pool.load(Archive(root=str(tmp_path)), sources, Preparation(size=SIZE), target.name).result()
    assert loaded[MARKED] == Failure("002.png: Panic: read: no network")
    coded = pool.code(Panicking(), IMAGES, originals.name, target.name).result()
    assert coded[MARKED] == Failure("panicking level=1: Panic: encode: no room")
    for outcomes in (loaded, coded):
        assert [isinstance(outcome, Failure) for outcome in outcomes] == [place == MARKED for place in range(IMAGES)]
    target.close()


def test_an_unreadable_image_is_a_failure_with_its_path(pool: CodecPool, tmp_path: Path) -> None:
    """A missing and a damaged file fail by name, and the image between them is read."""
    write_images(tmp_path, 2)
    (tmp_path / "000.png").write_bytes(b"not an image")
    block = Block(3, SIZE)
    sources = [Source(name, None) for name in ("000.png", "001.png", "absent.png")]
    damaged, whole, absent = pool.load(Folder(root=str(tmp_path)), sources, Preparation(size=SIZE), block.name).result()
    assert isinstance(whole, Loaded)
    assert isinstance(damaged, Failure)
    assert damaged.reason.startswith("000.png: ")
    assert isinstance(absent, Failure)
    assert absent.reason.startswith("absent.png: ")
    block.close()


def test_a_setting_that_always_dies_is_quarantined() -> None:
    """After ten deaths in a row the remaining images fail at once; one that succeeds begins the count anew."""
    images = QUARANTINE + 3
    pool = CodecPool(processes=1, time_limit=1.0)
    source, target = Block(images, SIZE), Block(images, SIZE)
    codec = Faulty(fault="kill")
    source.images[:, 0, 0] = RED
    source.images[2, 0, 0] = (0, 0, 0)
    killed, skipped = (
        Failure(f"{codec.variant}: {reason}")
        for reason in (
            "its process was killed, perhaps for want of memory",
            "not tried, since its process died on 10 images in a row",
        )
    )
    first = pool.code(codec, images, source.name, target.name).result()
    assert [first[0], first[1], *first[3:]] == [killed] * (images - 1)
    assert isinstance(first[2], Coded)
    assert pool.code(codec, images, source.name, target.name).result() == [skipped] * images
    assert all(isinstance(outcome, Coded) for outcome in pool.code(Faulty(), 1, source.name, target.name).result())
    pool.close()


class Unpickled(Faulty):
    """Cannot be brought into another process, as `fault` says."""

    family = "unpickled"

    def __getstate__(self) -> dict[str, object]:
        """Refuse, or leave a trap for `__setstate__`."""
        if self.params["fault"] == "refuse":
            raise ValueError("has no copy")
        return {**self.__dict__, "home": os.getpid()}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Fail in any other process."""
        self.__dict__.update(state)
        if os.getpid() != state["home"]:
            ENDINGS[str(self.params["fault"])]()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuse", "ValueError: has no copy"),
        ("raise", "RuntimeError: no room for this face"),
        ("kill", "its process was killed, perhaps for want of memory"),
    ],
)
def test_a_codec_that_cannot_reach_a_process_costs_its_own_rows(
    pool: CodecPool, originals: Block, fault: str, reason: str
) -> None:
    """A codec that cannot be pickled or unpickled fails with the reason, and the next codec is none the worse."""
    codec = Unpickled(fault=fault)
    target = Block(IMAGES, SIZE)
    assert pool.code(codec, IMAGES, originals.name, target.name).result() == [Failure(f"{codec.variant}: {reason}")] * IMAGES
    assert _all_coded(pool, originals, target)
    target.close()


def test_a_process_that_dies_idle_is_replaced(pool: CodecPool, originals: Block) -> None:
    """What a codec left running may crash later; the next batch finds another process."""
    target = Block(IMAGES, SIZE)
    assert _all_coded(pool, originals, target)
    for process in [child for child in psutil.Process().children() if _is_python_worker(child)]:
        process.kill()
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    assert _all_coded(pool, originals, target)
    target.close()


def _all_coded(pool: CodecPool, originals: Block, target: Block) -> bool:
    outcomes = pool.code(Faulty(), IMAGES, originals.name, target.name).result()
    return all(isinstance(outcome, Coded) for outcome in outcomes)


def test_processes_end_with_the_pool() -> None:
    """Closing the pool ends its processes, even one that hangs."""
    before = set(psutil.Process().children(recursive=True))
    pool = CodecPool(processes=1, time_limit=600.0)
    source, target = Block(1, SIZE), Block(1, SIZE)
    source.images[0, 0, 0] = (255, 0, 0)
    pool.code(Faulty(fault="hang"), 1, source.name, target.name)
    pool.close()
    left = [child for child in set(psutil.Process().children(recursive=True)) - before if _is_python_worker(child)]
    assert left == []
    source.close()
    target.close()


HANGING = """
from faulty import Faulty
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import CodecPool
pool = CodecPool(processes=1, time_limit=600.0)
block = Block(1, 32)
block.images[0, 0, 0] = (255, 0, 0)
pool.code(Faulty(fault="hang"), 1, block.name, block.name).result()
"""


def test_processes_end_with_a_worker_that_is_killed() -> None:
    """SIGKILL to the worker leaves no codec process behind."""
    worker = psutil.Popen([sys.executable, "-c", HANGING], cwd=Path(__file__).parent)
    try:
        while not (processes := [child for child in worker.children() if _is_python_worker(child)]):
            time.sleep(0.1)
    finally:
        worker.kill()
        worker.wait()
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def _is_python_worker(process: psutil.Process) -> bool:
    return "resource_tracker" not in " ".join(process.cmdline())


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
    assert (
        outcomes
        == [Failure(f"losing level=1: {IMAGES} bitstreams and {IMAGES - 1} images came back for {IMAGES} images")] * IMAGES
    )
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
