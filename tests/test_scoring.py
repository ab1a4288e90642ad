"""Scoring a batch with several metrics, any of which may fail."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, cast

import numpy as np
import pytest
import torch
from faulty import Raising
from pictures import PORTRAIT, jpeg, tensor

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import Batch, Column, Extractor, Metric, Missing, Scores, StoredFeature
from vcmbench.metrics import create
from vcmbench.metrics.features import luma, rgb
from vcmbench.pipeline.scoring import Scorer


class Given(Metric):
    """Gives what it is told."""

    name = "given"
    summary = "made up"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"number": Column("Number", "higher")}

    def __init__(self, values: Any, extractors: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.values = values
        self.extractors = extractors

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Use the extractors and give the values."""
        for extractor in self.extractors:
            decoded.get(extractor)
        del reference
        return {"number": self.values}


class Worded(Given):
    """A column of words and one of flags."""

    columns: ClassVar[Mapping[str, Column]] = {"word": Column("Word", None, "string"), "flag": Column("Flag", None, "bool")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Give the values in both columns."""
        del reference, decoded
        return {"word": self.values, "flag": self.values}


class Doing(Given):
    """Returns, or raises, what it is told."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(None)
        self.act = act

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Do it."""
        del reference, decoded
        return self.act()  # type: ignore[no-any-return]  # it may be wrong on purpose


def batch() -> Batch:
    return Batch(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))


# --------------------------------------------------------------------------------------------------- faulty metrics


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, 2], [1.5, 2.0]),
        ((np.float32(1.5), np.int64(2)), [1.5, 2.0]),
        ([1.5, Missing("no face")], [1.5, Missing("no face")]),
        ([float("nan"), float("inf")], [Missing("given: number is nan"), Missing("given: number is inf")]),
        (
            [np.float32("-inf"), None],
            [Missing("given: number is -inf"), Missing("given: number is a NoneType, not a number")],
        ),
        (["1.5", True], [Missing(f"given: number is a {kind}, not a number") for kind in ("str", "bool")]),
        ([1.0], [Missing("given: 1 values of number for 2 images")] * 2),
        (1.0, [Missing("given: number is a float, not a list of values")] * 2),
        (None, [Missing("given: number is a NoneType, not a list of values")] * 2),
        ("12", [Missing("given: number is a str, not a list of values")] * 2),
        ((value for value in (1.0, 2.0)), [Missing("given: number is a generator, not a list of values")] * 2),
        (torch.ones(2), [Missing("given: number is a torch.Tensor, not a list of values")] * 2),
        (np.ones(2), [Missing("given: number is a numpy.ndarray, not a list of values")] * 2),
        (list(torch.ones(2)), [Missing("given: number is a torch.Tensor, not a number")] * 2),
    ],
)
def test_values_are_checked(values: Any, expected: list[Any]) -> None:
    """Finite numbers pass; anything else is missing with a reason that names the metric."""
    scores = Scorer().score([Given(values)], batch(), batch())
    assert scores == {"number": expected}
    assert all(type(value) in {float, Missing} for value in scores["number"])


def test_words_and_flags_are_checked() -> None:
    """A value of another type than its column's is missing, not converted."""
    scores = Scorer().score([Worded([True, "face"])], batch(), batch())
    assert scores["word"] == [Missing("given: word is a bool, not a str"), "face"]
    assert scores["flag"] == [True, Missing("given: flag is a str, not a bool")]
    assert Scorer().score([Worded([np.True_, 1])], batch(), batch())["flag"] == [
        Missing("given: flag is a numpy.bool, not a bool"),
        Missing("given: flag is a int, not a bool"),
    ]


class UnspeakableError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def throw(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: None, "given: its scores are a NoneType, not a mapping"),
        (lambda: [1.0, 2.0], "given: its scores are a list, not a mapping"),
        (lambda: {"nummer": [1.0, 2.0]}, "given: its scores have no number, only nummer"),
        (dict, "given: its scores have no number, only nothing"),
        (lambda: throw(ValueError("no such face")), "given: ValueError: no such face"),
        (lambda: throw(SystemExit("bye")), "given: SystemExit: bye"),
        (lambda: sys.exit(0), "given: SystemExit: 0"),
        (lambda: throw(KeyError("x" * 9)), f"given: KeyError: '{'x' * 9}'"),
        (lambda: throw(UnspeakableError()), "given: UnspeakableError: (no message: asking for it raised RuntimeError)"),
    ],
)
def test_a_metric_fault_is_null_with_its_reason(act: Callable[[], Any], reason: str) -> None:
    """Whatever a metric raises, or returns for scores, its column is missing with the reason and its neighbours stand."""
    neighbours = [create("psnr_rgb"), create("ssim_y")]
    pair = Batch(tensor(PORTRAIT, PORTRAIT)), Batch(tensor(jpeg(PORTRAIT, 10), jpeg(PORTRAIT, 50)))
    undisturbed = Scorer().score(neighbours, *pair)
    scores = Scorer().score([neighbours[0], Doing(act), neighbours[1]], *pair)
    assert scores.pop("number") == [Missing(reason)] * 2
    assert scores == undisturbed


def test_an_interrupt_is_the_users_only_in_the_main_thread() -> None:
    """Ctrl-C passes, where Python raises it; a metric that raises it in a scoring thread does not end the run."""
    metric = Doing(lambda: throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Scorer().score([metric], batch(), batch())
    with ThreadPoolExecutor(1) as thread:
        scores = thread.submit(Scorer().score, [metric], batch(), batch()).result()
    assert scores == {"number": [Missing("given: KeyboardInterrupt: ")] * 2}


def test_a_metric_that_raises_does_not_disturb_the_next() -> None:
    """The raising metric's column is missing with its error, the other has its values."""
    scores = Scorer().score([Raising(), Given([1.0, 2.0])], batch(), batch())
    assert scores["raised"] == [Missing("raising: RuntimeError: no value for 2 and 2 images")] * 2
    assert scores["number"] == [1.0, 2.0]


# ------------------------------------------------------------------------------------------------------- features


def test_features_are_freed_when_no_later_metric_needs_them() -> None:
    """After the metric that last names an extractor, its feature is gone; what a later one names is kept."""
    seen: list[set[Any]] = []

    class Watching(Given):
        def score(self, reference: Batch, decoded: Batch) -> Scores:
            seen.append(set(decoded._features))
            return super().score(reference, decoded)

    decoded = batch()
    values = [1.0, 2.0]
    Scorer().score([Given(values, (rgb, luma)), Watching(values, (luma,)), Watching(values)], batch(), decoded)
    assert seen == [{luma}, set()]
    assert decoded._features == {}


@dataclass(frozen=True)
class Rendezvous:
    """A feature that is there once another one of the same originals is under way, too."""

    name: str
    meeting: threading.Barrier
    originals: Batch

    def __call__(self, batch: Batch) -> str:
        """Wait for the other, if these are the originals."""
        if batch is self.originals:
            self.meeting.wait(10)
        return self.name


class Meeting(Given):
    """Asks for such a feature of both batches."""

    def __init__(self, rendezvous: Rendezvous) -> None:
        super().__init__(None, (rendezvous,))
        self.rendezvous = rendezvous
        self.columns = {rendezvous.name: Column("Word", None, "string")}  # type: ignore[misc]  # one for each instance

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Give the feature's name."""
        return {self.rendezvous.name: [one.get(self.rendezvous) for one in (reference, decoded)]}


def test_threads_do_not_wait_for_each_others_features_of_the_originals() -> None:
    """Two settings scored side by side compute different features of their originals at once; columns keep their order."""
    originals, meeting = batch(), threading.Barrier(2)
    metrics = [Meeting(Rendezvous(name, meeting, originals)) for name in ("one", "other")]
    scorer = Scorer()
    with ThreadPoolExecutor(2) as threads:
        scores = list(threads.map(lambda _: scorer.score(metrics, originals, batch()), range(2)))
    assert [list(each.items()) for each in scores] == [[("one", ["one"] * 2), ("other", ["other"] * 2)]] * 2


class Careless(Metric):
    """Changes in place what it takes from its batches."""

    name = "careless"
    summary = "made up"
    version = "1"
    kind = "human"
    columns: ClassVar[Mapping[str, Column]] = {"careless": Column("Careless", "higher")}

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Scale to [0, 1], as many do, and invert the images."""
        samples = [batch.get(rgb).div_(255) for batch in (reference, decoded)]
        for batch in (reference, decoded):
            batch.images.bitwise_not_()
        return {"careless": (samples[0] - samples[1]).mean((1, 2, 3)).tolist()}


def test_a_metric_that_works_in_place_does_not_disturb_its_neighbours() -> None:
    """Metrics that share its features, before, after it and for the next setting, give what they give without it."""
    neighbours = [create("psnr_rgb"), create("ssim_rgb")]
    settings = [tensor(jpeg(PORTRAIT, quality)) for quality in (10, 50)]
    alone, beside = Batch(tensor(PORTRAIT)), Batch(tensor(PORTRAIT))
    for setting in settings:
        scores = Scorer().score([neighbours[0], Careless(), neighbours[1]], beside, Batch(setting))
        assert isinstance(scores.pop("careless")[0], float)
        assert scores == Scorer().score(neighbours, alone, Batch(setting))


# ----------------------------------------------------------------------------------------------- lack of memory


LACKS: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.empty(2**62, dtype=torch.uint8),
    "NumPy": lambda: np.empty(2**62, np.uint8),
    "Python": lambda: bytearray(2**62),
    "CUDA": lambda: throw(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "cuDNN": lambda: throw(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
    "the system": lambda: throw(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
}


class Hungry(Given):
    """The mean error of each image; runs out of memory on more than so many images, or on an image of a certain sample."""

    def __init__(self, room: int, lack: str = "torch", too_much: int | None = None) -> None:
        super().__init__(None)
        self.room, self.lack, self.too_much = room, LACKS[lack], too_much
        self.attempts: list[int] = []
        self.held: list[weakref.ref[torch.Tensor]] = []
        self.not_freed = 0

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Note what is still held of earlier attempts, and score."""
        self.not_freed += sum(tensor() is not None for tensor in self.held)
        self.attempts.append(len(decoded))
        errors = (reference.get(rgb) - decoded.get(rgb)).abs_()
        self.held = [weakref.ref(errors)]
        if len(decoded) > self.room or self.too_much in decoded.images[:, 0, 0, 0].tolist():
            self.lack()
        return {"number": errors.mean((1, 2, 3)).tolist()}


def pair(count: int) -> tuple[Batch, Batch]:
    """So many originals and decoded images, of which the i-th begins with the sample i."""
    original, decoded = tensor(*[PORTRAIT] * count), tensor(*[jpeg(PORTRAIT, 10 + 5 * place) for place in range(count)])
    decoded[:, 0, 0, 0] = torch.arange(count)
    return Batch(original), Batch(decoded)


@pytest.mark.parametrize("lack", LACKS)
def test_a_batch_that_does_not_fit_is_halved(lack: str) -> None:
    """The values are those with enough memory; what the attempt held is freed first, and the size that fitted is kept."""
    hungry, neighbours = Hungry(room=2, lack=lack), [create("psnr_rgb"), create("ssim_y")]
    undisturbed = Scorer().score([neighbours[0], Hungry(room=9), neighbours[1]], *pair(5))
    scorer = Scorer()
    assert scorer.score([neighbours[0], hungry, neighbours[1]], *pair(5)) == undisturbed
    assert hungry.attempts == [5, 3, 2, 2, 1]
    assert scorer.score([neighbours[0], hungry, neighbours[1]], *pair(5)) == undisturbed
    assert hungry.attempts[5:] == [2, 2, 1]
    assert hungry.not_freed == 0


def test_an_image_that_does_not_fit_alone_is_null_for_now() -> None:
    """It alone lacks its value, with a reason that may pass, after everything that could be freed was."""
    undisturbed = Scorer().score([Hungry(room=9)], *pair(4))["number"]
    hungry = Hungry(room=9, too_much=1)
    numbers = Scorer().score([hungry], *pair(4))["number"]
    lacking = numbers.pop(1)
    assert isinstance(lacking, Missing)
    assert lacking.transient
    assert lacking.reason.startswith("given: out of memory on one image (RuntimeError: ")
    assert lacking.reason.endswith("; free some, and run again")
    assert numbers == undisturbed[:1] + undisturbed[2:]
    assert hungry.attempts == [4, 2, 1, 1, 1, 1, 1]


def test_an_image_is_tried_again_once_its_neighbours_features_are_freed() -> None:
    """An image that does not fit beside what others left in memory has its value all the same."""
    reference, decoded = pair(1)

    class Squeezed(Hungry):
        def score(self, reference: Batch, decoded: Batch) -> Scores:
            self.room = 0 if luma in decoded._features else 1
            return super().score(reference, decoded)

    squeezed = Squeezed(room=1)
    psnr_y, ssim_y = create("psnr_y"), create("ssim_y")
    scores = Scorer().score([psnr_y, squeezed, ssim_y], reference, decoded)
    assert squeezed.attempts == [1, 1]
    assert scores == Scorer().score([psnr_y, Hungry(room=1), ssim_y], *pair(1))


def test_threads_share_a_reference_and_a_scorer_that_lack_memory() -> None:
    """Settings scored side by side against one batch of originals have their values, whichever runs out of memory when."""
    metrics = [create("psnr_rgb"), Hungry(room=2), create("ssim_y"), Hungry(room=1, lack="NumPy")]
    undisturbed = [Scorer().score([create("psnr_rgb"), Hungry(room=9), create("ssim_y")], *pair(6))] * 8
    scorer, (reference, _) = Scorer(), pair(6)
    with ThreadPoolExecutor(4) as threads:
        scores = threads.map(lambda _: scorer.score(metrics, reference, pair(6)[1]), range(8))
    assert list(scores) == undisturbed


def test_parts_of_the_originals_are_computed_once_for_all_settings() -> None:
    """Metrics that do not fit as a whole still share what they compute, with one another and from setting to setting."""
    seen: list[int] = []

    def watched(batch: Batch) -> torch.Tensor:
        seen.append(len(batch))
        return batch.get(rgb)

    class Watching(Hungry):
        extractors = (watched,)

        def score(self, reference: Batch, decoded: Batch) -> Scores:
            reference.get(watched)
            return super().score(reference, decoded)

    scorer, (reference, _) = Scorer(), pair(4)
    metrics = [Watching(room=2), Watching(room=2)]
    for _ in range(3):
        scorer.score(metrics, reference, pair(4)[1])
    assert seen == [4, 2, 2]


UNDER_A_LIMIT = """
import json, resource
import torch
from vcmbench.interfaces import Batch
from vcmbench.metrics import create
from vcmbench.pipeline.scoring import Scorer

torch.set_num_threads(1)
metrics = [create("psnr_rgb"), create("ssim_rgb"), create("psnr_y")]
samples = torch.Generator().manual_seed(0)
pixels = [torch.randint(256, (32, 3, 256, 256), generator=samples, dtype=torch.uint8) for _ in range(2)]
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_, unlimited = resource.getrlimit(resource.RLIMIT_AS)
for limit in (in_use + 90 * 2**20, unlimited):
    resource.setrlimit(resource.RLIMIT_AS, (limit, unlimited))
    scorer = Scorer()
    print(json.dumps([scorer.score(metrics, *map(Batch, pixels)), scorer._at_once], default=str))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the size of the process from /proc")
def test_values_are_the_same_in_little_memory() -> None:
    """Where a process really may not have the memory for the batch, every value is the same to the last bit."""
    ended = subprocess.run([sys.executable, "-c", UNDER_A_LIMIT], check=True, capture_output=True, text=True)
    (little, little_at_once), (plenty, plenty_at_once) = map(json.loads, ended.stdout.splitlines())
    assert little == plenty
    assert little_at_once
    assert not plenty_at_once


# ------------------------------------------------------------------------------------------------- stored features


def means(batch: Batch) -> torch.Tensor:
    """B×3; NaN for a black image."""
    colours = batch.images.float().mean((2, 3))
    colours[colours.sum(1) == 0] = torch.nan
    return colours


def too_short(batch: Batch) -> torch.Tensor:
    """B×2."""
    return means(batch)[:, :2]


class Storing(Given):
    """Stores a feature, and gives what it is told."""

    def __init__(self, values: Any, extractor: Extractor[torch.Tensor] = means) -> None:
        super().__init__(values, (extractor,))
        self.stores = (StoredFeature("colour", 3, extractor),)


def test_features_are_given_when_they_are_asked_for() -> None:
    """A stored feature comes as an array for each decoded image and for each original, and otherwise not at all."""
    reference, decoded = pair(2)
    scores = Scorer().score([Storing([1.0, 2.0])], reference, decoded, with_features=True)
    assert set(scores) == {"number", *feature_keys("colour")}
    for key, images in zip(feature_keys("colour"), (decoded, reference), strict=True):
        assert np.array_equal(np.stack(cast("list[Any]", scores[key])), means(images).numpy())
    assert set(Scorer().score([Storing([1.0, 2.0])], reference, decoded)) == {"number"}


def test_an_image_without_a_feature_says_so() -> None:
    """NaN in a feature, or a feature of another length, is no value, with the reason."""
    reference = Batch(tensor(PORTRAIT, np.zeros_like(PORTRAIT)))
    key, _ = feature_keys("colour")
    first, second = Scorer().score([Storing([1.0, 2.0])], reference, reference, with_features=True)[key]
    assert isinstance(first, np.ndarray)
    assert second == Missing("given: no colour")
    lengths = Scorer().score([Storing([1.0, 2.0], too_short)], reference, reference, with_features=True)
    assert lengths[key] == [Missing("given: colour is 2×2 for 2 images, not 2×3")] * 2


def test_a_metric_that_raises_has_no_features_either() -> None:
    """The reason stands beside its columns and its features."""
    reference, decoded = pair(1)
    metric = Raising()
    metric.stores = (StoredFeature("colour", 3, means),)
    scores = Scorer().score([metric], reference, decoded, with_features=True)
    assert len(scores) == len(metric.columns) + 2
    assert all(isinstance(values[0], Missing) for values in scores.values())
