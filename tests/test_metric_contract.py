"""What every metric must do, whoever wrote it.

The suite runs over the registry: a plug-in that is installed beside vcmbench (entry point `vcmbench.metrics`) is tested
by `pytest tests/test_metric_contract.py -k NAME` without a line of its own.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys

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
MIRRORED: Image = np.ascontiguousarray(PORTRAIT[:, ::-1])
MIRRORED_BOX = (PORTRAIT.shape[1] - FACE_BOX[0] - FACE_BOX[2], *FACE_BOX[1:])
DEGENERATE = {
    "black": flat(0),
    "white": flat(255),
    "one pixel": PORTRAIT[:1, :1],
    "12×12": PORTRAIT[60:72, 120:132],
    "one row": PORTRAIT[:1],
}


@pytest.fixture(params=registry.metrics.classes)
def metric(request: pytest.FixtureRequest) -> Metric:
    """Each registered metric; one that cannot run here is skipped with its reason."""
    metric = registry.metrics.get(request.param)(UNTRAINED)
    if reason := metric.unavailable():
        pytest.skip(reason)
    return metric


def portraits_batch(*images: Image) -> Batch:
    """The images, of `PORTRAIT` and `MIRRORED` in turn, with their face boxes."""
    boxes = [(FACE_BOX, MIRRORED_BOX)[position % 2] for position in range(len(images))]
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


def losses(metric: Metric, *decoded: Image) -> dict[str, list[float]]:
    """The directed columns' values for several versions of `PORTRAIT`, signed so that more is worse."""
    scores = metric.score(portraits_batch(PORTRAIT), portraits_batch(decoded[0]))
    rows = [scores, *(metric.score(portraits_batch(PORTRAIT), portraits_batch(image)) for image in decoded[1:])]
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


def test_scores_have_the_stated_columns(metric: Metric) -> None:
    """`score` gives each column of `columns`, one value of its type per image, and a portrait always has one."""
    scores = metric.score(portraits_batch(PORTRAIT, MIRRORED), portraits_batch(jpeg(PORTRAIT, 40), jpeg(MIRRORED, 40)))
    check_form(metric, scores, count=2)
    assert not any(isinstance(value, Missing) for values in scores.values() for value in values)


def test_identical_images_score_best(metric: Metric) -> None:
    """A copy of the original has the best value of each column that compares, or the difference 0."""
    scores = metric.score(portraits_batch(PORTRAIT), portraits_batch(PORTRAIT))
    for name, column in compared(metric).items():
        assert scores[name][0] == pytest.approx(best(column), abs=1e-6)


def test_absolute_columns_ignore_the_original(metric: Metric) -> None:
    """A column that looks at the decoded image alone has the same value whatever the original."""
    decoded = portraits_batch(PORTRAIT)
    one, other = (metric.score(portraits_batch(image), decoded) for image in (PORTRAIT, noisy(PORTRAIT, 30)))
    for name in ABSOLUTE & set(metric.columns):
        assert one[name] == other[name]


def test_more_noise_scores_worse(metric: Metric) -> None:
    """With more noise every directed column gets worse for people, and none gets better than no noise for machines."""
    for name, values in losses(metric, PORTRAIT, *(noisy(PORTRAIT, sigma) for sigma in (4, 16, 64))).items():
        assert values == sorted(values) if metric.kind == "human" else values[0] <= min(values), name
        assert values[0] < values[-1] or metric.columns[name].dtype == "bool", name  # a face may stay what it was


def test_a_lower_jpeg_quality_scores_worse(metric: Metric) -> None:
    """At a lower JPEG quality every directed column gets worse for people, and no better for machines."""
    for name, values in losses(metric, PORTRAIT, *(jpeg(PORTRAIT, quality) for quality in (90, 40, 5))).items():
        assert values == sorted(values) if metric.kind == "human" else values[0] <= min(values), name


def test_swapped_channels_are_noticed(metric: Metric) -> None:
    """Swapping red and blue of the decoded image changes every number that compares for people."""
    if metric.kind == "machine":
        pytest.skip("a face is the same face in other colours")
    swapped = np.ascontiguousarray(PORTRAIT[..., ::-1])
    for name, (same, other) in losses(metric, PORTRAIT, swapped).items():
        assert other > same + 1e-3, name


def test_a_batch_scores_as_its_images(metric: Metric) -> None:
    """Each image of a batch has the value that it has alone, numbers to 1e-5."""
    originals, decoded = (PORTRAIT, MIRRORED), (jpeg(PORTRAIT, 10), noisy(MIRRORED, 9))
    together = metric.score(portraits_batch(*originals), portraits_batch(*decoded))
    alone = metric.score(*(_second(portraits_batch(*images)) for images in (originals, decoded)))
    for name, column in metric.columns.items():
        expected = pytest.approx(alone[name][0], abs=1e-5) if column.dtype == "float" else alone[name][0]
        assert together[name][1] == expected


def _second(batch: Batch) -> Batch:
    assert batch.boxes is not None
    return Batch(batch.images[1:], batch.boxes[1:])


@pytest.mark.parametrize("image", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_images_have_a_value_or_a_reason(metric: Metric, image: Image) -> None:
    """Flat and tiny images, without a face box, get a value in its limits or a reason, and never an exception."""
    images = tensor(image, 255 - image)
    check_form(metric, metric.score(Batch(images), Batch(images.flip(0))), count=2)


def test_stored_features_have_their_length_whatever_the_batch(metric: Metric) -> None:
    """Each image has a feature of the stated length, the same to 1e-4 of its norm alone and among others."""
    together = portraits_batch(PORTRAIT, MIRRORED)
    for feature in metric.stores:
        values = feature.extractor(together)
        assert tuple(values.shape) == (2, feature.length)
        alone = feature.extractor(_second(portraits_batch(PORTRAIT, MIRRORED)))
        assert torch.linalg.vector_norm(alone[0] - values[1]) <= 1e-4 * torch.linalg.vector_norm(values[1])


def test_the_images_are_left_as_they_were(metric: Metric) -> None:
    """Scoring changes neither the images nor the boxes, and scoring again gives the same values."""
    reference, decoded = portraits_batch(PORTRAIT), portraits_batch(jpeg(PORTRAIT, 10))
    first = metric.score(reference, decoded)
    assert metric.score(reference, decoded) == first
    fresh = portraits_batch(PORTRAIT), portraits_batch(jpeg(PORTRAIT, 10))
    for used, untouched in zip((reference, decoded), fresh, strict=True):
        assert torch.equal(used.images, untouched.images)
        assert torch.equal(used.boxes, untouched.boxes)  # type: ignore[arg-type]  # both have boxes


def test_named_extractors_are_all_that_the_next_setting_needs(metric: Metric) -> None:
    """Keeping what `extractors` names, the second setting computes nothing of the original again."""
    reference = Recording(tensor(PORTRAIT), torch.tensor([FACE_BOX]))
    metric.score(reference, portraits_batch(jpeg(PORTRAIT, 10)))
    reference.release(keep=metric.extractors)
    reference.computed = ()
    metric.score(reference, portraits_batch(jpeg(PORTRAIT, 20)))
    assert reference.computed == ()


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
