"""Statistics of a column: the common support, percentiles, and intervals from a bootstrap over identities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from vcmbench.reports.intervals import FEWEST_IDENTITIES
from vcmbench.reports.statistics import LARGEST_DRAW, Resampling, statistics

RANDOM = np.random.default_rng(3)
PEOPLE, PHOTOGRAPHS = 60, 4
CLUSTERS = RANDOM.permutation(np.repeat(np.arange(PEOPLE), PHOTOGRAPHS))
BY_PERSON = RANDOM.normal(size=PEOPLE)[CLUSTERS]
VALUES = np.stack([BY_PERSON + 0.1 * RANDOM.normal(size=len(CLUSTERS)) + 3, 2 * BY_PERSON + 1])


def test_percentiles_are_numpys_over_the_common_support() -> None:
    """An image without a finite value of one setting counts for none; a setting without any value does not take part."""
    values = np.vstack([VALUES, np.full_like(VALUES[:1], np.nan)])
    values[0, 3], values[1, 5] = np.nan, np.inf
    found = statistics(values, Resampling.of(CLUSTERS))
    common = np.delete(values[:2], [3, 5], axis=1)
    assert found.n == common.shape[1]
    assert found.compared.tolist() == [True, True, False]
    assert found.valid.tolist() == [len(CLUSTERS) - 1, len(CLUSTERS) - 1, 0]
    assert found.percentiles[:2] == pytest.approx(np.percentile(common, (5, 50, 95), axis=1).T)
    assert found.mean[:2] == pytest.approx(common.mean(axis=1))
    assert found.std[:2] == pytest.approx(common.std(axis=1, ddof=1))
    assert np.isnan(found.mean[2])
    assert np.isnan(found.interval[2]).all()


def test_an_interval_is_that_of_an_independent_bootstrap_of_identities() -> None:
    """Drawing whole identities widens an interval to what SciPy finds for their means, not for single photographs."""
    found = statistics(VALUES, Resampling.of(CLUSTERS, draws=4000))
    people = np.array([VALUES[0][np.equal(CLUSTERS, person)].mean() for person in range(PEOPLE)])
    expected = bootstrap((people,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    width = np.diff(expected.confidence_interval)[0]
    assert found.interval[0] == pytest.approx(expected.confidence_interval, abs=0.06 * width)
    alone = statistics(VALUES, Resampling.of(np.arange(len(CLUSTERS)), draws=4000))
    assert np.diff(alone.interval[0]) < 0.7 * width


def test_draws_are_the_same_for_every_column() -> None:
    """Columns that are the same numbers in another unit have the same replicates in that unit, drawn again or not."""
    one, other = (statistics(factor * VALUES, Resampling.of(CLUSTERS)) for factor in (1, 100))
    assert one.replicates is not None
    assert other.replicates == pytest.approx(100 * one.replicates)


def test_few_identities_have_no_interval() -> None:
    """With one identity fewer than the least number there are no replicates and no interval."""
    for people in (FEWEST_IDENTITIES - 1, FEWEST_IDENTITIES):
        few = np.less(CLUSTERS, people)
        found = statistics(VALUES[:, few], Resampling.of(CLUSTERS[few]))
        assert (found.replicates is not None) == np.isfinite(found.interval).all() == (people == FEWEST_IDENTITIES)


def test_many_identities_are_drawn_in_groups() -> None:
    """Beyond the largest draw, the interval's width is still that of the mean's standard error."""
    values = RANDOM.normal(size=(1, 3 * LARGEST_DRAW))
    resampling = Resampling.of(np.arange(values.shape[1]))
    assert resampling.counts.shape[1] == LARGEST_DRAW
    width = np.diff(statistics(values, resampling).interval[0])[0]
    assert width == pytest.approx(2 * 1.96 / np.sqrt(values.shape[1]), rel=0.15)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_nothing_has_no_statistics(shape: tuple[int, int]) -> None:
    """Without settings or images there are no numbers and no errors."""
    found = statistics(np.zeros(shape), Resampling.of(np.arange(shape[1])))
    assert found.n == 0
    assert not found.compared.any()
    assert found.mean.shape == shape[:1]


def test_one_image_has_no_deviation() -> None:
    """The mean of a single image is its value; it has neither a deviation nor an interval."""
    found = statistics(np.array([[4.0]]), Resampling.of(np.array([0])))
    assert found.mean.tolist() == [4]
    assert np.isnan(found.std).all()
    assert found.percentiles.tolist() == [[4, 4, 4]]
