"""What codecs and data sets may do wrong, as real plug-ins do it: each fault costs its own image × setting, and no other."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from faulty import (
    PADDING,
    Archive,
    Asking,
    Faulty,
    Panicking,
    Remembering,
    Scribbling,
    ScribblingInC,
    block_of_images,
    is_marked,
)
from runs import SIZE, bring_up_to_date, make_task, rows, write_images

from vcmbench import codecs
from vcmbench.datasets.prepare import Preparation
from vcmbench.interfaces import Codec, Image
from vcmbench.pipeline import codec_pool
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import CodecPool
from vcmbench.pipeline.coding import Coded, Failure, Loaded, Source
from vcmbench.pipeline.processes import LONGEST_MESSAGE
from vcmbench.pipeline.rows import LONGEST_TEXT
from vcmbench.pipeline.worker_coding import code_batch

IMAGES = 4
MARKED = 2
TIME_LIMIT = 1.0
GIB = 2**30
JPEGS = (codecs.create("jpeg", quality=10), codecs.create("jpeg", quality=50))
WANTED = f"instead of a uint8 array of {SIZE}×{SIZE}×3"

RAISED = {
    "raise": "RuntimeError: no room for this face",
    "raise KeyboardInterrupt": "KeyboardInterrupt: ",
    "raise SystemExit": "SystemExit: 3",
    "raise without words": "WordlessError: (no message: asking for it raised WordlessError)",
    "raise with a megabyte of words": "RuntimeError: " + LONGEST_MESSAGE * "x",
}
WRONG_VALUES = {
    "encode to nothing": "encode returned no bytes instead of bytes",
    "encode to None": "encode returned a NoneType instead of bytes",
    "encode to text": "encode returned a str instead of bytes",
    "encode to a bytearray": "encode returned a bytearray instead of bytes",
    "encode to more than bytes": "encode returned a Carrier instead of bytes",
    "wrong shape": f"decode returned a uint8 array of {SIZE - 1}×{SIZE}×3 {WANTED}",
    "wrong type": f"decode returned a float64 array of {SIZE}×{SIZE}×3 {WANTED}",
    "decode to a plane": f"decode returned a uint8 array of {SIZE}×{SIZE} {WANTED}",
    "decode to NaN": f"decode returned a float64 array of {SIZE}×{SIZE}×3 {WANTED}",
    "decode to objects": f"decode returned a object array of {SIZE}×{SIZE}×3 {WANTED}",
    "decode to a list": f"decode returned a list {WANTED}",
    "decode to None": f"decode returned a NoneType {WANTED}",
    "decode to bytes": f"decode returned a bytes {WANTED}",
}
ENDED = {
    "exit": "its process ended itself with exit code 3",
    "segfault": "its process died (Segmentation fault)",
    "abort": "its process died (Aborted)",
    "fork and exit": "its process ended itself with exit code 3",
    "close every file": "closed or disturbed the connection of its process",
    "garble the connection": "closed or disturbed the connection of its process",
}
KILLED = dict.fromkeys(("kill", "kill its group"), "its process was killed, perhaps for want of memory")
TOO_LONG = dict.fromkeys(
    ("hang", "hang in C", "hang without signals", "stop"), f"took longer than the time limit of {TIME_LIMIT:g} s"
)
TOO_LARGE = dict.fromkeys(
    ("leak", "ask for a terabyte", "encode to a gigabyte", "raise MemoryError"),
    "needed more memory than the 1 GiB its process may have",
)
FAULTS = [
    (fault, reason, transient)
    for reasons, transient in (
        (RAISED, False),
        (WRONG_VALUES, False),
        (ENDED, False),
        (KILLED, True),
        (TOO_LONG, True),
        (TOO_LARGE, True),
    )
    for fault, reason in reasons.items()
]
HARMLESS = ("print", "change directory", "take the signals", "leave an alarm", "leave threads", "fork", "leak a little")


@pytest.fixture(scope="module")
def pool() -> Iterator[CodecPool]:
    """One process, so that what a codec leaves behind in it would reach its neighbours."""
    pool = CodecPool(processes=1, time_limit=TIME_LIMIT, memory_limit=GIB)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def originals() -> Iterator[Block]:
    block = block_of_images(IMAGES, SIZE, MARKED)
    yield block
    block.close()


@pytest.fixture(scope="module")
def undisturbed(pool: CodecPool, originals: Block) -> list[object]:
    """What every image comes to without a fault."""
    return [_values(outcome) for outcome in _code(pool, Faulty(), originals)]


def _code(pool: CodecPool, codec: Codec, originals: Block) -> list[Coded | Failure]:
    target = Block(IMAGES, SIZE)
    outcomes = pool.code(codec, IMAGES, originals.name, target.name).result()
    for place, outcome in enumerate(outcomes):
        assert isinstance(outcome, Failure) or np.array_equal(target.images[place], originals.images[place])
    target.close()
    return outcomes


def _values(outcome: Coded | Failure) -> object:
    """An outcome without its times."""
    return outcome if isinstance(outcome, Failure) else (outcome.bytes, outcome.bitstream_hash, outcome.decoded_hash)


def _with(failure: Failure, undisturbed: Sequence[object]) -> list[object]:
    """What the images come to when the marked one fails."""
    return [failure if place == MARKED else values for place, values in enumerate(undisturbed)]


@pytest.mark.parametrize(("fault", "reason", "transient"), [pytest.param(*each, id=str(each[0])) for each in FAULTS])
def test_a_fault_costs_its_own_image_and_says_what_happened(
    pool: CodecPool, originals: Block, undisturbed: Sequence[object], fault: str, reason: str, transient: bool
) -> None:
    """The marked image fails with the reason; its neighbours, and the batches after it, are as if nothing had happened."""
    codec = Faulty(fault=fault)
    failure = Failure(f"{codec.variant}: {reason}", transient)
    assert [_values(outcome) for outcome in _code(pool, codec, originals)] == _with(failure, undisturbed)
    assert [_values(outcome) for outcome in _code(pool, Faulty(fault="notice"), originals)] == undisturbed


@pytest.mark.parametrize("habit", HARMLESS)
def test_a_bad_habit_costs_nothing(
    originals: Block, undisturbed: Sequence[object], habit: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a codec prints, changes or leaves behind in its process alters no outcome, its own or another's."""
    pool = CodecPool(processes=1, time_limit=10.0)  # a new one, since a habit could hide another
    assert [_values(outcome) for outcome in _code(pool, Faulty(fault=habit), originals)] == undisturbed
    assert [_values(outcome) for outcome in _code(pool, Faulty(fault="notice"), originals)] == undisturbed
    pool.close()
    assert capfd.readouterr() == ("", "")


def test_a_huge_bitstream_is_a_result_with_its_true_size(originals: Block) -> None:
    """64 MiB are counted as they are; whether that is sensible is for the reader of the curve to say."""
    pool = CodecPool(processes=1, time_limit=10.0, memory_limit=GIB)
    outcome = _code(pool, Faulty(fault="encode to 64 MiB"), originals)[MARKED]
    pool.close()
    assert isinstance(outcome, Coded)
    assert outcome.bytes == 8 + SIZE * SIZE * 3 + PADDING


def test_bytes_that_differ_each_time_have_different_hashes(pool: CodecPool, originals: Block) -> None:
    """A codec that is not deterministic codes like any other; its hashes are what tells."""
    one, other = (_code(pool, Faulty(fault="random"), originals) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert isinstance(first, Coded)
        assert isinstance(second, Coded)
        assert first.bitstream_hash != second.bitstream_hash
        assert first.decoded_hash == second.decoded_hash


def test_decode_has_the_bitstream_alone(pool: CodecPool, originals: Block) -> None:
    """What encode keeps in the codec is not there when another copy of it decodes, so that bpp cannot be too low."""
    reason = "remembering level=1: AttributeError: 'Remembering' object has no attribute 'image'"
    assert _code(pool, Remembering(), originals) == [Failure(reason)] * IMAGES


def test_native_code_cannot_change_the_originals(pool: CodecPool, originals: Block) -> None:
    """A codec process has the images in memory that nobody can write to, so that it dies instead of spoiling the next."""
    before = originals.images.copy()
    died = Failure(f"{ScribblingInC().variant}: its process died (Segmentation fault)")
    assert _code(pool, ScribblingInC(), originals) == [died] * IMAGES
    assert np.array_equal(originals.images, before)


def test_a_codec_cannot_change_the_originals(pool: CodecPool, originals: Block) -> None:
    """The images a codec is given are read-only, so that a scribbling codec fails instead of spoiling the next."""
    before = originals.images.copy()
    for outcomes in (
        _code(pool, Scribbling(), originals),
        code_batch(Scribbling(), originals.images, np.zeros_like(before)),
    ):
        assert all(isinstance(outcome, Failure) and "read-only" in outcome.reason for outcome in outcomes)
    assert np.array_equal(originals.images, before)


def test_an_exception_that_cannot_be_pickled_costs_its_own_image(
    pool: CodecPool, originals: Block, undisturbed: Sequence[object]
) -> None:
    """Whatever a codec throws, the image has its reason, its neighbours are done, and the pool goes on."""
    failure = Failure("panicking level=1: Panic: encode: no room")
    assert [_values(outcome) for outcome in _code(pool, Panicking(), originals)] == _with(failure, undisturbed)


def test_what_a_codec_has_started_ends_with_its_process(originals: Block) -> None:
    """A process that a codec forked is gone when the pool is closed."""
    before = set(psutil.Process().children(recursive=True))
    pool = CodecPool(processes=1, time_limit=10.0)
    _code(pool, Faulty(fault="fork"), originals)
    started = set(psutil.Process().children(recursive=True)) - before
    pool.close()
    assert len(started) == 2
    assert psutil.wait_procs(started, timeout=10)[1] == []


def test_a_codec_process_has_its_limits(originals: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may use one thread and so much memory, is the first to go when the machine has none, and starts without torch."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    pool = CodecPool(processes=1, time_limit=10.0, memory_limit=GIB)
    outcomes = _code(pool, Asking(), originals)
    pool.close()
    assert outcomes == [Failure(f"asking level=1: RuntimeError: 1000 {{'1'}} {GIB} False")] * IMAGES
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("codec", ["jpeg2000", "avif"])
def test_large_images_fit_into_the_memory_of_a_process(codec: str) -> None:
    """1024×1024 pixels are coded by the hungriest families in half of the least memory that a process may have."""
    pool = CodecPool(processes=1, time_limit=60.0, memory_limit=GIB)
    originals = block_of_images(1, 1024, 0)
    outcomes = pool.code(codecs.create(codec), 1, originals.name, originals.name).result()
    pool.close()
    originals.close()
    assert isinstance(outcomes[0], Coded)


def _load(pool: CodecPool, folder: Path, fault: str) -> list[Loaded | Failure]:
    write_images(folder, IMAGES)
    block = Block(IMAGES, SIZE)
    sources = [Source(f"{number:03}.png", None) for number in range(IMAGES)]
    dataset = Archive(root=str(folder), fault=fault, at=sources[MARKED].path)
    outcomes = pool.load(dataset, sources, Preparation(size=SIZE), block.name).result()
    block.close()
    return outcomes


@pytest.mark.parametrize(
    ("fault", "reason", "transient"),
    [
        ("absent", "002.png: [Errno 2] No such file", False),
        ("forbidden", "002.png: [Errno 13] Permission denied", False),
        ("folder", "002.png: [Errno 21] Is a directory", False),
        ("circle", "002.png: [Errno 40] Too many levels of symbolic links", False),
        ("no image", "002.png: cannot identify image file", False),
        ("damaged disk", "002.png: [Errno 5] Input/output error", True),
        ("no network", "002.png: [Errno 104] Connection reset by peer", True),
        ("slow network", "002.png: timed out", True),
        ("wrong call", "002.png: TypeError: not like this", False),
        ("interrupt", "002.png: KeyboardInterrupt: ", False),
        ("text", "002.png: read returned a str instead of bytes", False),
        ("raise without words", "002.png: WordlessError: (no message: asking for it raised WordlessError)", False),
        ("exit", "002.png: its process ended itself with exit code 3", False),
        ("hang", f"002.png: took longer than the time limit of {TIME_LIMIT:g} s", True),
        ("leak", "002.png: needed more memory than the 1 GiB its process may have", True),
    ],
)
def test_an_image_that_cannot_be_read_says_whether_to_try_again(
    pool: CodecPool, tmp_path: Path, fault: str, reason: str, transient: bool
) -> None:
    """What the network or the disk may give another time is transient; what is wrong with the file or data set is not."""
    outcomes = _load(pool, tmp_path, fault)
    assert outcomes[MARKED] == Failure(reason, transient)
    assert [isinstance(outcome, Loaded) for outcome in outcomes] == [place != MARKED for place in range(IMAGES)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [pytest.param(fault, reason, id=fault) for fault, reason in (RAISED | WRONG_VALUES).items() if "Interrupt" not in fault],
)
def test_a_fault_in_the_worker_costs_its_own_image(
    originals: Block, undisturbed: Sequence[object], fault: str, reason: str
) -> None:
    """Codecs that run in the worker are checked alike, image by image where the batch as a whole fails."""
    codec = Faulty(fault=fault)
    outcomes = [_values(each) for each in code_batch(codec, originals.images, np.zeros_like(originals.images))]
    assert outcomes == _with(Failure(f"{codec.variant}: {reason}"), undisturbed)


class Hungry(Faulty):
    """Has no memory for a batch, or for a marked image; what a failed attempt allocated must be free for the next."""

    family = "hungry"

    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error
        self.allocated: list[weakref.ref[Image]] = []

    def encode_batch(self, images: Sequence[Image]) -> list[bytes]:
        """Allocate, and find that it was too much."""
        assert not any(reference() is not None for reference in self.allocated)
        activations = np.stack(list(images))
        self.allocated.append(weakref.ref(activations))
        if len(images) > 1 or is_marked(images[0]):
            raise self.error()
        return super().encode_batch(images)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            lambda: torch.OutOfMemoryError("CUDA out of memory."), "OutOfMemoryError: CUDA out of memory.", id="GPU"
        ),
        pytest.param(lambda: RuntimeError("can't allocate memory"), "RuntimeError: can't allocate memory", id="CPU"),
        pytest.param(MemoryError, "MemoryError: ", id="numpy"),
    ],
)
def test_a_batch_without_memory_is_coded_image_by_image(
    originals: Block, undisturbed: Sequence[object], error: Callable[[], BaseException], words: str
) -> None:
    """With the batch's memory free again each image is tried alone; only one that still fails does, and may be retried."""
    outcomes = code_batch(Hungry(error), originals.images, np.zeros_like(originals.images))
    failure = Failure(f"hungry level=1: {words}", transient=True)
    assert [_values(outcome) for outcome in outcomes] == _with(failure, undisturbed)


def test_an_interrupt_in_the_worker_is_the_users(originals: Block) -> None:
    """Ctrl-C while a network runs ends the run and is not written down as a fault of the codec."""
    with pytest.raises(KeyboardInterrupt):
        code_batch(Faulty(fault="raise KeyboardInterrupt"), originals.images, np.zeros_like(originals.images))


def test_every_fault_in_one_run_costs_its_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two shards with every fault as a setting beside healthy codecs, each row is as its fault says or undisturbed."""
    monkeypatch.setattr(codec_pool, "total_memory", lambda: 2 * GIB)  # each process has the least that a run allows
    write_images(tmp_path / "images", 6, marked=[1, 4])
    healthy = make_task(tmp_path / "images", tmp_path / "alone", shard_size=3, codecs=(*JPEGS, Faulty()))
    undisturbed = rows(bring_up_to_date(healthy), tmp_path / "alone")
    faults = {fault: (reason, transient) for fault, reason, transient in FAULTS}
    del faults["encode to a gigabyte"]  # which fits into what a run allows
    faulty = [Faulty(fault=fault) for fault in (*faults, *HARMLESS)]
    task = replace(healthy, out=str(tmp_path / "run"), codecs=(*healthy.codecs, *faulty), time_limit=1.0)
    outcome = bring_up_to_date(task)
    assert len(rows(outcome, task.out)) == 6 * len(task.codecs)
    assert rows(outcome, task.out, healthy.codecs) == undisturbed
    values = ("bytes", "decoded_hash", "psnr_rgb", "ssim_y")
    sound = [[row[name] for name in values] for row in undisturbed if row["family"] == "faulty"]
    for codec in faulty:
        fault = str(codec.params["fault"])
        for row, expected in zip(rows(outcome, task.out, [codec]), sound, strict=True):
            if row["image"] in {"001.png", "004.png"} and fault in faults:
                reason, transient = faults[fault]
                reason = reason.replace(f"{TIME_LIMIT:g} s", "1 s").replace("1 GiB", "2 GiB")
                assert (row["status"], row["transient"]) == ("error", transient)
                assert row["error"] == f"{codec.variant}: {reason}"[:LONGEST_TEXT]
            else:
                assert [row[name] for name in values] == expected, (fault, row["error"])
