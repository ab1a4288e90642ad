"""Scoring a batch with several metrics, any of which may fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from faulty import Raising

from vcmbench.interfaces import Batch, Column, Metric, Missing, Scores
from vcmbench.metrics.features import luma, rgb
from vcmbench.pipeline.scoring import score_batch


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


def batch() -> Batch:
    return Batch(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, 2], [1.5, 2.0]),
        ([1.5, Missing("no face")], [1.5, Missing("no face")]),
        ([float("nan"), float("inf")], [Missing("given: number is nan"), Missing("given: number is inf")]),
        ([1.0], [Missing("given: ValueError: 1 values of number for 2 images")] * 2),
        (["high", 1.0], [Missing("given: ValueError: could not convert string to float: 'high'")] * 2),
    ],
)
def test_values_are_checked(values: list[Any], expected: list[Any]) -> None:
    """Finite numbers pass; anything else is missing with a reason that names the metric."""
    assert score_batch([Given(values)], batch(), batch()) == {"number": expected}


def test_words_and_flags_are_checked() -> None:
    """A value of another type than its column's is missing, not converted."""
    scores = score_batch([Worded([True, "face"])], batch(), batch())
    assert scores["word"] == [Missing("given: word is a bool, not a str"), "face"]
    assert scores["flag"] == [True, Missing("given: flag is a str, not a bool")]


def test_a_metric_that_raises_does_not_disturb_the_next() -> None:
    """The raising metric's column is missing with its error, the other has its values."""
    scores = score_batch([Raising(), Given([1.0, 2.0])], batch(), batch())
    assert scores["raised"] == [Missing("raising: RuntimeError: no value for 2 and 2 images")] * 2
    assert scores["number"] == [1.0, 2.0]


def test_features_are_freed_when_no_later_metric_needs_them() -> None:
    """After the metric that last names an extractor, its feature is gone; what a later one names is kept."""
    seen: list[set[Any]] = []

    class Watching(Given):
        def score(self, reference: Batch, decoded: Batch) -> Scores:
            seen.append(set(decoded._features))
            return super().score(reference, decoded)

    decoded = batch()
    values = [1.0, 2.0]
    score_batch([Given(values, (rgb, luma)), Watching(values, (luma,)), Watching(values)], batch(), decoded)
    assert seen == [{luma}, set()]
    assert decoded._features == {}
