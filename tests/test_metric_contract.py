"""What every metric must do, whoever wrote it.

The suite runs over the registry: a plug-in that is installed beside vcmbench (entry point `vcmbench.metrics`) is tested
by `pytest tests/test_metric_contract.py -k NAME` without a line of its own.
"""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pictures import FACE_BOX, PORTRAIT, Recording, flat, jpeg, noisy, tensor

from vcmbench import registry
from vcmbench.interfaces import Batch, Column, Image, Metric, Missing, Scores, SetMetric, Setup, Value, digest
from vcmbench.metrics import create

UNTRAINED = Setup(untrained=True)
"""Random networks, since pretrained ones are not on every machine."""
ABSOLUTE = {"memorability", "face_detected", "gender", "gender_p_woman"}
"""Columns that look at the decoded image alone."""
HEAD: Image = np.ascontiguousarray(PORTRAIT[5:170, 70:257])
"""Her head, 165 rows by 187 columns: enough for every metric to have a value."""
HEAD_BOX = (FACE_BOX[0] - 70, FACE_BOX[1] - 5, *FACE_BOX[2:])
MIRRORED: Image = np.ascontiguousarray(HEAD[:, ::-1])
MIRRORED_BOX = (HEAD.shape[1] - HEAD_BOX[0] - HEAD_BOX[2], *HEAD_BOX[1:])
NOISE = {f"noise {sigma}": noisy(HEAD, sigma) for sigma in (8, 64)}
JPEG = {f"jpeg {quality}": jpeg(HEAD, quality) for quality in (60, 5)}
VERSIONS = {"copy": HEAD, "swapped": np.ascontiguousarray(HEAD[..., ::-1]), **NOISE, **JPEG}
DEGENERATE = {
    "black": flat(0, HEAD.shape[:2]),
    "white": flat(255, HEAD.shape[:2]),
    "one pixel": HEAD[:1, :1],
    "12×12": HEAD[60:72, 60:72],
    "one row": HEAD[:1],
}


@pytest.fixture(scope="module", params=registry.metrics.classes)
def metric(request: pytest.FixtureRequest) -> Metric:
    """Each registered metric; one that cannot run here is skipped with its reason."""
    metric = registry.metrics.get(request.param)(UNTRAINED)
    if reason := metric.unavailable():
        pytest.skip(reason)
    return metric


@pytest.fixture(scope="module")
def scores_of(metric: Metric) -> Callable[[str], Scores]:
    """The scores of a version of `HEAD`, computed once for all tests, against one batch of the original."""
    original = heads(HEAD)
    return functools.cache(lambda version: metric.score(original, heads(VERSIONS[version])))


@pytest.fixture(scope="module")
def together(metric: Metric) -> Scores:
    """The scores of a batch of two different images."""
    return metric.score(heads(HEAD, MIRRORED), heads(*SPOILT))


SPOILT = (jpeg(HEAD, 10), noisy(MIRRORED, 9))


def heads(*images: Image) -> Batch:
    """The images, of `HEAD` and `MIRRORED` in turn, with their face boxes."""
    boxes = [(HEAD_BOX, MIRRORED_BOX)[position % 2] for position in range(len(images))]
    return Batch(tensor(*images), torch.tensor(boxes))


def compared(metric: Metric) -> dict[str, Column]:
    """The columns that compare the decoded image with its original."""
    return {name: column for name, column in metric.columns.items() if name not in ABSOLUTE}


def best(column: Column) -> Value:
    """The value of identical images: the good end of the scale, or no difference."""
    if column.dtype == "bool":
        return True
    limit = {"higher": column.limits[1], "lower": column.limits[0], None: 0.0}[column.better]
    assert limit is not None, "a column that compares states its best value as a limit"
    return limit


def losses(metric: Metric, rows: list[Scores]) -> dict[str, list[float]]:
    """The directed columns' values in several scores, signed so that more is worse."""
    signs = {
        name: {"higher": -1.0, "lower": 1.0}[column.better] for name, column in compared(metric).items() if column.better
    }
    return {name: [sign * float(row[name][0]) for row in rows] for name, sign in signs.items()}  # type: ignore[arg-type]  # no portrait lacks a value


def check_form(metric: Metric, scores: Scores, count: int) -> None:
    """Every column, no other, has one value per image, in its type and limits and not NaN, or a reason."""
    assert set(scores) == set(metric.columns)
    kinds = {"float": float, "bool": bool, "string": str}
    for name, column in metric.columns.items():
        assert len(scores[name]) == count
        for value in scores[name]:
            if isinstance(value, Missing):
                assert value.reason
                continue
            assert type(value) is kinds[column.dtype]
            if isinstance(value, float):
                low, high = column.limits
                assert math.isfinite(value)
                assert low is None or value >= low - 1e-6
                assert high is None or value <= high + 1e-6


def test_the_class_describes_itself(metric: Metric) -> None:
    """A metric has a name that is its own key, a summary, a version, a kind, and columns with titles."""
    assert registry.metrics.get(metric.name) is type(metric)
    assert metric.summary
    assert metric.version
    assert metric.kind in {"human", "machine"}
    columns = metric.set_columns if isinstance(metric, SetMetric) else metric.columns
    assert columns
    assert all(column.title for column in columns.values())
    assert all(parameter.help for parameter in metric.parameters.values())


def test_scores_have_the_stated_columns(metric: Metric, together: Scores) -> None:
    """`score` gives each column of `columns`, one value of its type per image, and a portrait always has one."""
    check_form(metric, together, count=2)
    assert not any(isinstance(value, Missing) for values in together.values() for value in values)


def test_bf16_has_values_too(metric: Metric) -> None:
    """With `precision: bf16` a portrait still has a value in every column, in its type and limits."""
    rounded = type(metric)(Setup(untrained=True, precision="bf16"))
    scores = rounded.score(heads(HEAD), heads(SPOILT[0]))
    check_form(rounded, scores, count=1)
    assert not any(isinstance(value, Missing) for values in scores.values() for value in values)


def test_identical_images_score_best(metric: Metric, scores_of: Callable[[str], Scores]) -> None:
    """A copy of the original has the best value of each column that compares, or the difference 0."""
    for name, column in compared(metric).items():
        assert scores_of("copy")[name][0] == pytest.approx(best(column), abs=1e-6)


def test_absolute_columns_ignore_the_original(metric: Metric, scores_of: Callable[[str], Scores]) -> None:
    """A column that looks at the decoded image alone has the same value whatever the original."""
    absolute = ABSOLUTE & set(metric.columns)
    other = metric.score(heads(VERSIONS["noise 64"]), heads(HEAD)) if absolute else {}
    for name in absolute:
        assert scores_of("copy")[name] == other[name]


def test_more_noise_scores_worse(metric: Metric, scores_of: Callable[[str], Scores]) -> None:
    """With more noise every directed column gets worse for people, and none gets better than no noise for machines."""
    for name, values in losses(metric, [scores_of(version) for version in ("copy", *NOISE)]).items():
        assert values == sorted(values) if metric.kind == "human" else values[0] <= min(values), name
        assert values[0] < values[-1] or metric.columns[name].dtype == "bool", name  # a face may stay what it was


def test_a_lower_jpeg_quality_scores_worse(metric: Metric, scores_of: Callable[[str], Scores]) -> None:
    """At a lower JPEG quality every directed column gets worse for people, and none gets better than a copy for machines."""
    for name, values in losses(metric, [scores_of(version) for version in ("copy", *JPEG)]).items():
        assert values == sorted(values) if metric.kind == "human" else values[0] <= min(values), name


def test_swapped_channels_are_noticed(metric: Metric, scores_of: Callable[[str], Scores]) -> None:
    """Swapping red and blue of the decoded image changes every number that compares for people."""
    if metric.kind == "machine":
        pytest.skip("a face is the same face in other colours")
    for name, (same, other) in losses(metric, [scores_of("copy"), scores_of("swapped")]).items():
        assert other > same + 1e-3, name


def test_a_batch_scores_as_its_images(metric: Metric, together: Scores) -> None:
    """Each image of a batch has the value that it has alone, numbers to 1e-5."""
    alone = metric.score(*(_second(heads(*images)) for images in ((HEAD, MIRRORED), SPOILT)))
    for name, column in metric.columns.items():
        expected = pytest.approx(alone[name][0], abs=1e-5) if column.dtype == "float" else alone[name][0]
        assert together[name][1] == expected


def _second(batch: Batch) -> Batch:
    assert batch.boxes is not None
    return Batch(batch.images[1:], batch.boxes[1:])


@pytest.mark.parametrize("image", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_images_have_a_value_or_a_reason(metric: Metric, image: Image) -> None:
    """Flat and tiny images, without a face box, get a value in its limits or a reason, and never an exception."""
    check_form(metric, metric.score(Batch(tensor(image)), Batch(tensor(255 - image))), count=1)


def test_stored_features_have_their_length_whatever_the_batch(metric: Metric) -> None:
    """Each image has a feature of the stated length, the same to 1e-4 of its norm alone and among others."""
    for feature in metric.stores:
        values = feature.extractor(heads(HEAD, MIRRORED))
        assert tuple(values.shape) == (2, feature.length)
        alone = feature.extractor(_second(heads(HEAD, MIRRORED)))
        assert torch.linalg.vector_norm(alone[0] - values[1]) <= 1e-4 * torch.linalg.vector_norm(values[1])


def test_scoring_again_gives_the_same_and_computes_nothing_of_the_original(metric: Metric) -> None:
    """Scoring leaves images and boxes as they were; the next setting finds what `extractors` names of the original."""
    reference: Batch = Recording(tensor(HEAD), torch.tensor([HEAD_BOX]))
    decoded = heads(SPOILT[0])
    first = metric.score(reference, decoded)
    reference.release(keep=metric.extractors)
    decoded.release()
    reference.computed = ()  # type: ignore[attr-defined]  # of the recording batch
    assert metric.score(reference, decoded) == first
    assert reference.computed == ()  # type: ignore[attr-defined]  # likewise
    fresh = heads(HEAD), heads(SPOILT[0])
    for used, untouched in zip((reference, decoded), fresh, strict=True):
        assert torch.equal(used.images, untouched.images)
        assert torch.equal(used.boxes, untouched.boxes)  # type: ignore[arg-type]  # both have boxes


def test_the_identity_is_the_same_everywhere() -> None:
    """Every metric's identity is JSON, and hashes alike in another process."""
    usable = [name for name, metric in registry.metrics.classes.items() if metric().unavailable() is None]
    program = (
        "import json, sys; from vcmbench.interfaces import digest; from vcmbench.metrics import create; "
        "print(json.dumps({name: digest(create(name, untrained=True).identity) for name in sys.argv[1:]}))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program, *usable], check=True, capture_output=True, text=True).stdout
    digests = {name: digest(create(name, untrained=True).identity) for name in usable}
    assert json.loads(elsewhere) == digests
    assert len(set(digests.values())) == len(usable)
