"""Interpolation at equal rate, and the rate for a task, against SciPy's interpolant and its own roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from vcmbench.reports.curves import Better, Curve, measured_curve
from vcmbench.reports.matched_rate import (
    LOST_AGAIN,
    NOT_REACHED,
    REACHED_ALREADY,
    MatchedValue,
    TaskRate,
    at_points_of,
    at_rates,
    rate_for,
)

Floats = npt.NDArray[np.float64]
Points = list[tuple[float | None, float | None]] | list[tuple[float, float]]
PEOPLE = 200
JPEG = [(0.1, 24.0), (0.2, 27.0), (0.4, 30.0), (0.8, 33.0), (1.6, 35.0)]
WEBP = [(0.08, 24.5), (0.15, 27.2), (0.3, 30.3), (0.7, 33.0), (1.2, 35.5)]
WAVERING = [(0.1, 24.0), (0.2, 29.0), (0.4, 31.0), (0.8, 29.5), (1.6, 35.0)]


def curve(points: Points, name: str = "jpeg", better: Better = "higher") -> Curve:
    """A curve without replicates, whose points are called by their places."""
    names = [f"{name} {place}" for place in range(len(points))]
    return measured_curve(name, names, [rate for rate, _ in points], [value for _, value in points], better)


def resampled(points: Curve, seed: int, replicates: int = 200) -> Curve:
    """The same curve with replicates that all move up or down, and to larger or smaller rates, together."""
    generator = np.random.default_rng(seed)
    rates = points.rates * np.exp(generator.normal(scale=0.03, size=(replicates, 1)))
    values = points.values + generator.normal(scale=0.03 * np.ptp(points.values), size=(replicates, 1))
    return replace(points, rate_replicates=rates, value_replicates=values)


def scipys(rates: Floats, values: Floats) -> PchipInterpolator:
    """SciPy's interpolant over log10 rates, which has no value outside."""
    return PchipInterpolator(np.log10(rates), values, extrapolate=False)


def number(found: MatchedValue | TaskRate) -> float:
    """The value, which there must be."""
    assert found.value is not None, found.reason
    return found.value


def both(made: Curve, rates: Sequence[float], level: float, identities: int) -> list[MatchedValue | TaskRate]:
    """The curve's values at the rates, and its rate for the level."""
    return [*at_rates(made, rates, identities), rate_for(made, level, identities)]


# -------------------------------------------------------------------------------------------------- at equal rates


@pytest.mark.parametrize("count", range(2, 9))
def test_values_between_points_are_scipys(count: int) -> None:
    """Curves that rise and fall at uneven rates have SciPy's values at 50 rates within them."""
    generator = np.random.default_rng(count)
    rates = 0.05 * np.exp(np.cumsum(generator.uniform(0.1, 1, count)))
    made = curve(list(zip(rates.tolist(), generator.normal(size=count).tolist(), strict=True)))
    wanted = np.exp(generator.uniform(np.log(rates[0]), np.log(rates[-1]), 50))
    found = at_rates(made, wanted, 0)
    np.testing.assert_allclose([number(each) for each in found], scipys(rates, made.values)(np.log10(wanted)), rtol=1e-9)
    assert all(each.interpolated and each.points == made.points for each in found)


def test_a_rate_outside_has_a_reason_and_no_value() -> None:
    """Below the lowest rate and above the highest nothing is extrapolated, and what is no rate is said to be none."""
    found = at_rates(curve(JPEG), [0.099, 1.61, 0.0, -1.0, float("nan"), float("inf")], PEOPLE)
    assert [each.value for each in found] == [None] * 6
    assert [each.reason for each in found[:2]] == ["outside the rates of jpeg, 0.1 to 1.6 bpp"] * 2
    assert {each.reason for each in found[2:]} == {"the rate is not a positive number"}


def test_a_curves_own_points_are_not_interpolated() -> None:
    """At its own rates a curve has its own values, the first and the last included."""
    found = at_points_of(curve(JPEG), curve(JPEG), 0)
    assert [each.value for each in found] == pytest.approx([value for _, value in JPEG], rel=1e-14)
    assert not any(each.interpolated for each in found)


def test_the_interval_at_another_curves_points_varies_its_rates_too() -> None:
    """Each replicate is read at the same replicate of the other curve's rates: its ends are those of a plain loop."""
    jpeg, webp = resampled(curve(JPEG), 1), resampled(curve(WEBP, "webp"), 2)
    lowest, *inner, highest = at_points_of(webp, jpeg, PEOPLE)
    for place, found in enumerate(inner, start=1):
        looped = [
            scipys(jpeg.rate_replicates[row], jpeg.value_replicates[row])(np.log10(webp.rate_replicates[row, place]))
            for row in range(200)
        ]
        ends = np.percentile(looped, [2.5, 97.5])
        assert [found.low, found.high] == pytest.approx(ends, rel=1e-9)
        (at_fixed_rate,) = at_rates(jpeg, [found.rate], PEOPLE)
        assert [found.low, found.high] != pytest.approx([at_fixed_rate.low, at_fixed_rate.high])
    assert lowest.reason.startswith("outside the rates of jpeg")
    assert number(highest) == pytest.approx(float(scipys(jpeg.rates, jpeg.values)(np.log10(1.2))))


def test_replicates_that_are_not_as_many_give_no_interval() -> None:
    """The value stays; replicates of other samples are not paired."""
    _, found, *_ = at_points_of(resampled(curve(WEBP, "webp"), 2, 100), resampled(curve(JPEG), 1), PEOPLE)
    assert number(found) == number(at_rates(curve(JPEG), [0.15], 0)[0])
    assert (found.low, found.high) == (None, None)
    assert "no interval: there are no common bootstrap replicates" in found.flags


def test_replicates_whose_rates_do_not_reach_so_far_are_counted() -> None:
    """At its lowest rate half of a curve's replicates have no value, which is said, and no interval is left."""
    (found,) = at_rates(resampled(curve(JPEG), 1), [0.1], PEOPLE)
    assert number(found) == 24.0
    assert (found.low, found.high) == (None, None)
    outside = int((resampled(curve(JPEG), 1).rate_replicates[:, 0] > 0.1).sum())
    assert f"no interval: {outside} of 200 bootstrap replicates have no value, more than 5%" in found.flags


# ---------------------------------------------------------------------------------------------- rate for the task


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("level", [24.5, 27.0, 28.4, 34.9])
def test_the_rate_for_a_level_is_scipys_root(better: Better, level: float) -> None:
    """On a monotone curve there is one rate, which SciPy finds as well, whichever way is better."""
    sign = 1 if better == "higher" else -1
    made = curve([(rate, sign * value) for rate, value in JPEG], better=better)
    roots = scipys(made.rates, made.values).solve(sign * level, extrapolate=False)  # a point is the root of both its sides
    assert number(rate_for(made, sign * level, 0)) == pytest.approx(10 ** roots[0], rel=1e-9)
    assert np.ptp(roots) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_curve_that_loses_the_level_again_has_the_rate_from_which_on_it_stays(better: Better) -> None:
    """The last of SciPy's three roots counts, and flags name the point with the loss."""
    sign = 1 if better == "higher" else -1
    made = curve([(rate, sign * value) for rate, value in WAVERING], better=better)
    roots = scipys(made.rates, made.values).solve(sign * 30.0, extrapolate=False)
    assert len(roots) == 3
    found = rate_for(made, sign * 30.0, 0)
    assert number(found) == pytest.approx(10 ** roots.max(), rel=1e-9)
    assert "jpeg loses the level again at jpeg 3" in found.flags
    assert "jpeg is not monotone: jpeg 2 to jpeg 3" in found.flags


def test_levels_outside_the_curve_have_a_reason() -> None:
    """Reached at the lowest rate, reached by no point, and reached but not at the end: no rate is made up."""
    assert rate_for(curve(JPEG), 23.9, 0).reason == rate_for(curve(JPEG), 24.0, 0).reason == REACHED_ALREADY
    assert rate_for(curve(JPEG), 35.1, 0).reason == NOT_REACHED
    lost = rate_for(curve([*JPEG[:4], (1.6, 29.0)]), 30.0, 0)
    assert (lost.value, lost.reason) == (None, LOST_AGAIN)
    assert "jpeg loses the level again at jpeg 4" in lost.flags
    assert number(rate_for(curve(JPEG), 35.0, 0)) == pytest.approx(1.6)


@pytest.mark.parametrize("sign", [1, -1])
def test_without_a_better_direction_values_stay_within_the_level_on_both_sides(sign: int) -> None:
    """A difference that goes from one side of zero to the other is within ±0.02 from its crossing of the near side on."""
    differences = [(0.1, 0.08), (0.2, 0.04), (0.4, -0.01), (0.8, -0.005)]
    made = curve([(rate, sign * value) for rate, value in differences], better=None)
    (root,) = scipys(made.rates, made.values).solve(sign * 0.02, extrapolate=False)
    assert number(rate_for(made, 0.02, 0)) == pytest.approx(10**root, rel=1e-9)
    assert rate_for(made, 0.001, 0).reason == NOT_REACHED


@pytest.mark.parametrize("level", [24.3, 30.0, 34.5])
def test_replicates_beyond_the_curve_count_as_beyond(level: float) -> None:
    """The interval's ends are those of a loop in which such replicates are at 0 or infinity; an end among them is None."""
    made = resampled(curve(JPEG), 1)
    looped = []
    for rates, values in zip(made.rate_replicates, made.value_replicates, strict=True):
        roots = scipys(rates, values).solve(level, extrapolate=False)
        looped.append(10 ** roots[0] if len(roots) else 0.0 if values[0] > level else np.inf)
    found = rate_for(made, level, PEOPLE)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        neighbours = [np.quantile(looped, share, method=method) for method in ("lower", "higher")]
        beyond = 0 in neighbours or np.inf in neighbours
        assert end == (None if beyond else pytest.approx(np.quantile(looped, share)))
    told = {
        f"reached already at the lowest rate in {looped.count(0)} of 200 bootstrap replicates": looped.count(0),
        f"not reached from any rate on in {looped.count(np.inf)} of 200 bootstrap replicates": looped.count(np.inf),
    }
    assert set(found.flags) == {flag for flag, number_of in told.items() if number_of}


@pytest.mark.parametrize(("identities", "shown"), [(19, False), (20, True)])
def test_fewer_than_twenty_identities_have_no_interval(identities: int, shown: bool) -> None:
    """The values stay, and a flag says why their intervals are missing."""
    made = resampled(curve(JPEG), 1)
    for found in both(made, [0.3], 30.0, identities):
        assert number(found) > 0
        assert (found.low is not None, found.high is not None) == (shown, shown)
        assert ("no interval: 19 identities, fewer than 20" in found.flags) != shown


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "jpeg has 0 usable points; 2 are needed"),
        (JPEG[:1], "jpeg has 1 usable point; 2 are needed"),
        ([(0.2, 27.0), (None, 30.0), (0.8, np.nan)], "jpeg has 1 usable point, and 2 without a rate or value; 2 are needed"),
        ([(0.2, 27.0), (0.0, 30.0), (-1.0, 30.0)], "jpeg has 1 usable point, and 2 without a rate or value; 2 are needed"),
        ([(0.2, 27.0), (0.2, 31.0), (0.4, 33.0)], "jpeg: the rate does not rise from jpeg 0 to jpeg 1"),
    ],
)
def test_bad_input_gives_a_reason(points: Points, reason: str) -> None:
    """Where nothing can be interpolated both say why."""
    for found in both(curve(points), [0.2, 0.3], 30.0, PEOPLE):
        assert (found.value, found.reason) == (None, reason)


def test_a_constant_curve_is_the_same_everywhere_and_never_crosses() -> None:
    """Constant quality can be read at any rate within; a level is reached already or not at all."""
    constant = curve([(rate, 30.0) for rate, _ in JPEG])
    assert number(at_rates(constant, [0.3], 0)[0]) == 30.0
    assert rate_for(constant, 30.0, 0).reason == REACHED_ALREADY
    assert rate_for(constant, 30.1, 0).reason == NOT_REACHED


def test_a_lossless_point_is_one_like_others() -> None:
    """An infinite PSNR is left out and named; one capped at 100 dB is interpolated to like any value."""
    infinite, capped = curve([*JPEG, (8.0, np.inf)]), curve([*JPEG, (8.0, 100.0)])
    assert rate_for(infinite, 40.0, 0).reason == NOT_REACHED
    assert "jpeg without jpeg 5: no positive rate or no finite value" in rate_for(infinite, 30.0, 0).flags
    assert 1.6 < number(rate_for(capped, 40.0, 0)) < 8.0


ANYTHING = st.one_of(st.none(), st.floats(), st.sampled_from([0.1, 0.2, 30.0, 1e-320, 1e308]))


@settings(max_examples=150, deadline=None)
@given(
    points=st.lists(st.tuples(ANYTHING, ANYTHING), max_size=6),
    better=st.sampled_from(["higher", "lower", None]),
    rate=st.floats(),
    level=st.floats(),
)
def test_any_numbers_give_a_finite_value_or_a_reason(points: Points, better: Better, rate: float, level: float) -> None:
    """No exception, no warning, no NaN, no infinity, and a rate within the curve's; the points are their own replicates."""
    made = curve(points, better=better)
    made = replace(made, rate_replicates=made.rates[None], value_replicates=made.values[None])
    for found in both(made, [rate], level, PEOPLE):
        assert (found.value is None) == bool(found.reason)
        assert all(end is None or np.isfinite(end) for end in (found.value, found.low, found.high))
        if isinstance(found, TaskRate) and found.value is not None:
            assert made.rates[0] <= found.value <= made.rates[-1]
