"""BD-rate and BD-quality against the `bjontegaard` package, SciPy, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace

import bjontegaard  # type: ignore[import-untyped]  # ships no type hints
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from vcmbench.reports.bd import Delta, Overlap, bd_quality, bd_rate
from vcmbench.reports.curves import Better, Curve, measured_curve
from vcmbench.reports.pchip import integral, slopes

Floats = npt.NDArray[np.float64]
PEOPLE = 200
JPEG = [(0.1, 24.0), (0.2, 27.0), (0.4, 30.0), (0.8, 33.0), (1.6, 35.0)]
WEBP = [(0.08, 24.5), (0.15, 27.2), (0.3, 30.3), (0.7, 33.0), (1.2, 35.5)]

Points = list[tuple[float | None, float | None]] | list[tuple[float, float]]


def curve(points: Points, name: str = "jpeg", better: Better = "higher") -> Curve:
    """A curve without replicates, whose points are called by their places."""
    names = [f"{name} {place}" for place in range(len(points))]
    return measured_curve(name, names, [rate for rate, _ in points], [value for _, value in points], better)


def resampled(points: Curve, seed: int, replicates: int = 200) -> Curve:
    """The same curve with replicates: rates and values that move a little, each for itself."""
    generator = np.random.default_rng(seed)
    shape = (replicates, len(points.rates))
    rates = points.rates * np.exp(generator.normal(scale=0.03, size=shape))
    values = points.values + generator.normal(scale=0.02 * np.ptp(points.values), size=shape)
    return replace(points, rate_replicates=rates, value_replicates=values)


def rising(generator: np.random.Generator, count: int) -> Floats:
    """Uneven steps from 0 to 1."""
    steps = np.cumsum(generator.uniform(0.1, 1, count))
    return np.asarray((steps - steps[0]) / np.ptp(steps))


def random_curve(seed: int, name: str = "jpeg", *, monotone: bool = True) -> Curve:
    """A curve of 4 to 9 points at 0.05 to 2 bits per pixel."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(4, 10))
    rates = 0.05 * 40 ** rising(generator, count) * generator.uniform(0.8, 1.25)
    values = 24 + 12 * rising(generator, count) + generator.uniform(-1, 1)
    if not monotone:
        values = values + generator.uniform(-4, 4, count)
    return curve(list(zip(rates.tolist(), values.tolist(), strict=True)), name)


def package(function: Callable[..., float], anchor: Curve, test: Curve, method: str = "pchip") -> float:
    """The package's value of the same points."""
    points = anchor.rates, anchor.values, test.rates, test.values
    return float(function(*points, method=method, require_matching_points=False, min_overlap=0))


def number(delta: Delta) -> float:
    """The value, which there must be."""
    assert delta.value is not None, delta.reason
    return delta.value


# ----------------------------------------------------------------------------------------------------------- PCHIP


@pytest.mark.parametrize("count", range(2, 10))
@pytest.mark.parametrize("flat", [False, True])
def test_slopes_and_integrals_are_scipys(count: int, flat: bool) -> None:
    """Rows of rising, falling and equal values have SciPy's derivatives and integrals to rounding."""
    generator = np.random.default_rng(count)
    x = np.cumsum(generator.uniform(0.01, 3, (50, count)), axis=1)
    y = generator.integers(-2, 3, (50, count)).astype(float) if flat else generator.normal(size=(50, count))
    low, high = np.sort(x[:, [0]] + generator.uniform(0, 1, (50, 2)) * np.ptp(x, axis=1, keepdims=True), axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):  # beside a flat segment, whose slope is not taken from there
        own, area = slopes(x, y), integral(x, y, low, high)
    for row in range(50):
        theirs = PchipInterpolator(x[row], y[row])
        np.testing.assert_allclose(own[row], theirs.derivative()(x[row]), rtol=1e-9, atol=1e-9)
        assert area[row] == pytest.approx(float(theirs.integrate(low[row], high[row])), rel=1e-9, abs=1e-10)


# --------------------------------------------------------------------------------------------- equal to the package


@pytest.mark.parametrize("seed", range(30))
def test_both_values_are_the_packages(seed: int) -> None:
    """Curves of different lengths have the package's BD-rate and BD-PSNR with PCHIP to 1e-6 and far below."""
    anchor, test = random_curve(seed), random_curve(1000 + seed, "webp")
    assert number(bd_rate(anchor, test, 0)) == pytest.approx(package(bjontegaard.bd_rate, anchor, test), abs=1e-9)
    assert number(bd_quality(anchor, test, 0)) == pytest.approx(package(bjontegaard.bd_psnr, anchor, test), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_bd_quality_of_curves_that_are_not_monotone_is_the_packages(seed: int) -> None:
    """Nothing is smoothed: a curve that goes up and down has the package's value, and says which points fall."""
    anchor, test = random_curve(seed), random_curve(1000 + seed, "webp", monotone=False)
    delta = bd_quality(anchor, test, 0)
    assert number(delta) == pytest.approx(package(bjontegaard.bd_psnr, anchor, test), abs=1e-9)
    falls = [place for place in range(len(test.values) - 1) if test.values[place + 1] <= test.values[place]]
    assert any("webp is not monotone" in flag for flag in delta.flags) == bool(falls)
    assert all(f"webp {place} to webp {place + 1}" in str(delta.flags) for place in falls)


def test_the_packages_other_methods_differ() -> None:
    """The "akima" and "cubic" values are not ours on the same points, as the module says."""
    anchor, test = curve(JPEG), curve(WEBP, "webp")
    for method in ("akima", "cubic"):
        theirs = package(bjontegaard.bd_rate, anchor, test, method)
        assert number(bd_rate(anchor, test, 0)) != pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_that_of_the_packages_replicates(seed: int) -> None:
    """Each replicate has the package's value, and the interval's ends are those of a plain loop over them."""
    anchor, test = resampled(random_curve(seed), 1), resampled(random_curve(1000 + seed, "webp"), 2)
    for ours, theirs in ((bd_rate, bjontegaard.bd_rate), (bd_quality, bjontegaard.bd_psnr)):
        looped = []
        for row in range(200):
            one, other = (
                replace(each, rates=each.rate_replicates[row], values=each.value_replicates[row]) for each in (anchor, test)
            )
            along = "values" if ours is bd_rate else "rates"
            if all((np.diff(getattr(each, along)) > 0).all() for each in (one, other)):
                looped.append(package(theirs, one, other))
        delta = ours(anchor, test, PEOPLE)
        failed = 200 - len(looped)
        if failed > 10:
            assert (delta.low, delta.high) == (None, None)
        else:
            assert [delta.low, delta.high] == pytest.approx(np.percentile(looped, [2.5, 97.5]), abs=1e-9)
        assert (f"{failed} of 200 bootstrap replicates have no value" in str(delta.flags)) == (failed > 0)


# ------------------------------------------------------------------------------------------------------- direction


@pytest.mark.parametrize("seed", range(10))
def test_where_lower_is_better_bd_rate_is_that_of_the_negated_metric(seed: int) -> None:
    """A metric such as LPIPS has the package's BD-rate of its negative, and BD-quality in its own sign."""
    anchor, test = random_curve(seed), random_curve(1000 + seed, "webp")
    one, other = (replace(each, values=50 - each.values, better="lower") for each in (anchor, test))
    assert number(bd_rate(one, other, 0)) == pytest.approx(package(bjontegaard.bd_rate, anchor, test), abs=1e-9)
    assert number(bd_quality(one, other, 0)) == pytest.approx(-number(bd_quality(anchor, test, 0)), abs=1e-9)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_half_the_bits_for_the_same_quality_are_minus_fifty_per_cent(better: Better) -> None:
    """A curve at half the anchor's rates has BD-rate -50 % whichever way is better, in every replicate."""
    values = [(rate, value if better == "higher" else 40 - value) for rate, value in JPEG]
    anchor = resampled(curve(values, better=better), 1)
    test = replace(anchor, rates=anchor.rates / 2, rate_replicates=anchor.rate_replicates / 2)
    delta = bd_rate(anchor, test, PEOPLE)
    assert [delta.value, delta.low, delta.high] == pytest.approx([-50, -50, -50])


def test_a_metric_without_a_better_direction_has_no_bd_rate() -> None:
    """Its rates at equal quality cannot be told apart, but its difference at equal rate can be."""
    anchor, test = curve(JPEG, better=None), curve(WEBP, "webp", None)
    assert bd_rate(anchor, test, 0).reason.startswith("the metric has no better direction")
    assert number(bd_quality(anchor, test, 0)) > 0


# ------------------------------------------------------------------------------------------------ what is told with it


def test_the_overlap_is_told_in_the_metrics_unit_and_in_bits_per_pixel() -> None:
    """JPEG from 24 to 35 dB and WebP from 24.5 to 35.5 share 24.5 to 35, and likewise in log-rate."""
    anchor, test = curve(JPEG), curve(WEBP, "webp")
    assert bd_rate(anchor, test, 0).overlap == Overlap(24.5, 35.0, 10.5 / 11, 10.5 / 11)
    shared = bd_quality(anchor, test, 0).overlap
    assert shared is not None
    assert [shared.low, shared.high] == pytest.approx([0.1, 1.2])
    assert shared.of_anchor == pytest.approx(np.log(12) / np.log(16))
    assert shared.of_test == pytest.approx(np.log(12) / np.log(15))


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_less_than_half_of_the_narrower_range_is_too_little(better: Better) -> None:
    """Curves that share 49 % of the narrower one's qualities have a reason, those that share 51 % a value."""
    sign = 1 if better == "higher" else -1
    anchor = curve([(rate, sign * value) for rate, value in JPEG], better=better)
    for share in (0.49, 0.51):
        quality = np.linspace(35 - 2 * share, 37 - 2 * share, 4)
        test = curve([(0.5 * 2**step, sign * value) for step, value in enumerate(quality)], "webp", better)
        delta = bd_rate(anchor, test, 0)
        assert delta.overlap is not None
        assert delta.overlap.of_test == pytest.approx(share)
        assert [delta.overlap.low, delta.overlap.high] == pytest.approx(sorted([sign * quality[0], sign * 35]))
        assert (delta.value is None) == (share < 0.5)
        assert ("overlap on 49% of the narrower one's range, less than 50%" in delta.reason) == (share < 0.5)


def test_a_narrow_curve_inside_a_wide_one_has_a_value() -> None:
    """Its whole range is compared, and the overlap says that it is a small part of the anchor's."""
    test = curve([(0.30 + 0.02 * step, 30 + 0.2 * step) for step in range(4)], "narrow")
    delta = bd_rate(curve(JPEG), test, 0)
    assert number(delta) == pytest.approx(package(bjontegaard.bd_rate, curve(JPEG), test), abs=1e-9)
    assert delta.overlap is not None
    assert astuple(delta.overlap) == pytest.approx((30, 30.6, 0.6 / 11, 1))


@pytest.mark.parametrize(
    "missing", [(None, 29.0), (0.3, None), (0.3, float("nan")), (0.0, 29.0), (-0.3, 29.0), (0.3, np.inf)]
)
def test_a_point_without_rate_or_value_is_left_out_and_named(missing: tuple[float | None, float | None]) -> None:
    """The value is that of the other points; flags and the points used say so."""
    anchor, test = curve([*JPEG, missing]), curve(WEBP, "webp")
    for function in (bd_rate, bd_quality):
        delta = function(anchor, test, 0)
        assert number(delta) == number(function(curve(JPEG), test, 0))
        assert "jpeg without jpeg 5: no positive rate or no finite value" in delta.flags
        assert delta.anchor_points == tuple(f"jpeg {place}" for place in range(5))


def test_the_order_in_which_points_are_given_does_not_matter() -> None:
    """Points in falling rate are put in rising rate, replicates with them."""
    anchor, test = resampled(curve(JPEG), 1), resampled(curve(WEBP, "webp"), 2)
    turned = measured_curve(
        "jpeg",
        anchor.points[::-1],
        anchor.rates[::-1],
        anchor.values[::-1],
        "higher",
        anchor.rate_replicates[:, ::-1],
        anchor.value_replicates[:, ::-1],
    )
    assert bd_rate(turned, test, PEOPLE) == bd_rate(anchor, test, PEOPLE)


def test_every_replicate_is_put_in_rising_rate() -> None:
    """In a replicate two points may change places; it counts as the curve that its points make."""
    anchor, test = resampled(curve(JPEG), 1), resampled(curve(WEBP, "webp"), 2)
    rates, values = anchor.rate_replicates.copy(), anchor.value_replicates.copy()
    for rows in (rates, values):
        rows[::2, [1, 2]] = rows[::2, [2, 1]]
    changed = measured_curve("jpeg", anchor.points, anchor.rates, anchor.values, "higher", rates, values)
    for function in (bd_rate, bd_quality):
        assert function(changed, test, PEOPLE) == function(anchor, test, PEOPLE)


# ------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(("identities", "shown"), [(19, False), (20, True)])
def test_fewer_than_twenty_identities_have_no_interval(identities: int, shown: bool) -> None:
    """The value stays, and a flag says why its interval is missing."""
    delta = bd_rate(resampled(curve(JPEG), 1), resampled(curve(WEBP, "webp"), 2), identities)
    assert number(delta) == number(bd_rate(curve(JPEG), curve(WEBP, "webp"), 0))
    assert (delta.low is not None, delta.high is not None) == (shown, shown)
    assert ("no interval: 19 identities, fewer than 20" in delta.flags) != shown


@pytest.mark.parametrize(("failed", "shown"), [(10, True), (11, False)])
def test_replicates_without_a_value_are_counted(failed: int, shown: bool) -> None:
    """Up to 5 % of 200 are left out of the interval; with more there is none."""
    anchor, test = resampled(curve(JPEG), 1), resampled(curve(WEBP, "webp"), 2)
    test.value_replicates[:failed, 2] = np.nan
    delta = bd_quality(anchor, test, PEOPLE)
    assert any(f"{failed} of 200 bootstrap replicates have no value" in flag for flag in delta.flags)
    assert (delta.low is not None) == shown
    if shown:
        one, other = (
            replace(each, rate_replicates=each.rate_replicates[failed:], value_replicates=each.value_replicates[failed:])
            for each in (anchor, test)
        )
        undisturbed = bd_quality(one, other, PEOPLE)
        assert (delta.low, delta.high) == (undisturbed.low, undisturbed.high)


def test_replicates_of_one_curve_alone_give_no_interval() -> None:
    """An anchor without replicates cannot be paired with the test's."""
    delta = bd_rate(curve(JPEG), resampled(curve(WEBP, "webp"), 2), PEOPLE)
    assert (delta.low, delta.high) == (None, None)
    assert "no interval: there are no common bootstrap replicates" in delta.flags


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("points", "of_rate", "of_quality"),
    [
        ([], "0 usable points", "0 usable points"),
        (JPEG[:1], "1 usable point;", "1 usable point;"),
        (JPEG[:3], "3 usable points; 4 are needed", "3 usable points; 4 are needed"),
        ([*JPEG[:3], (None, 33.0)], "3 usable points, and 1 without", "3 usable points, and 1 without"),
        ([(rate, np.nan) for rate, _ in JPEG], "0 usable points", "0 usable points"),
        ([(0.0, value) for _, value in JPEG], "0 usable points", "0 usable points"),
        ([(rate, np.inf) for rate, _ in JPEG], "0 usable points", "0 usable points"),
        ([(0.5, value) for _, value in JPEG], "rate does not rise", "rate does not rise"),
        ([(rate, 30.0) for rate, _ in JPEG], "does not get better from jpeg 0 to jpeg 1", ""),
        ([(rate, 60 - value) for rate, value in JPEG], "does not get better", ""),
        ([*JPEG[:3], (0.8, 29.0), (1.6, 35.0)], "does not get better from jpeg 2 to jpeg 3", ""),
        ([(rate, value + 50) for rate, value in JPEG], "do not overlap", ""),
        ([(100 * rate, value) for rate, value in JPEG], "", "do not overlap"),
        ([*JPEG, (8.0, 100.0)], "", ""),
        ([(rate * 1e-305, value) for rate, value in JPEG], "", "do not overlap"),
        ([(rate, value * 1e-310) for rate, value in JPEG], "do not overlap", ""),
        ([(rate, (value - 30) * 2.9e307) for rate, value in JPEG], "too large", "too far apart"),
        ([(rate, value * 1e306 - 29e306) for rate, value in JPEG], "", ""),
    ],
)
def test_bad_input_gives_a_reason(points: Points, of_rate: str, of_quality: str) -> None:
    """Whatever the points are, there is a finite value or a reason, on either side of the comparison."""
    for anchor, test in ((curve(points), curve(WEBP, "webp")), (curve(WEBP, "webp"), curve(points))):
        for function, reason in ((bd_rate, of_rate), (bd_quality, of_quality)):
            delta = function(anchor, test, PEOPLE)
            assert reason in delta.reason
            assert (delta.value is None) == bool(delta.reason) == bool(reason)
            assert delta.value is None or np.isfinite(delta.value)


def test_a_curve_made_by_hand_in_falling_rate_gives_a_reason() -> None:
    """Only `measured_curve` sorts; BD values look again."""
    anchor = curve(JPEG)
    turned = replace(anchor, rates=anchor.rates[::-1])
    assert "the rate does not rise" in bd_rate(anchor, turned, 0).reason
    assert "the rate does not rise" in bd_quality(turned, anchor, 0).reason


def test_numbers_of_points_that_do_not_agree_are_refused() -> None:
    """More values than rates, or replicates of other points, are the caller's mistake."""
    with pytest.raises(ValueError, match="P names, P rates, P values"):
        measured_curve("jpeg", ["a", "b"], [0.1, 0.2], [24.0], "higher")
    with pytest.raises(ValueError, match="replicates are D×P"):
        measured_curve("jpeg", ["a"], [0.1], [24.0], "higher", np.ones((5, 2)), np.ones((5, 2)))


ANYTHING = st.lists(
    st.tuples(*(st.one_of(st.none(), st.floats(), st.sampled_from([0.1, 0.2, 30.0, 1e-320, 1e308])) for _ in range(2))),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(one=ANYTHING, other=ANYTHING, better=st.sampled_from(["higher", "lower", None]))
def test_any_numbers_give_a_finite_value_or_a_reason(one: Points, other: Points, better: Better) -> None:
    """No exception, no warning, no NaN, no infinity; with replicates that are the points themselves."""
    curves = []
    for points in (one, other):
        made = curve(points, better=better)
        curves.append(replace(made, rate_replicates=made.rates[None], value_replicates=made.values[None]))
    for function in (bd_rate, bd_quality):
        delta = function(curves[0], curves[1], PEOPLE)
        assert (delta.value is None) == bool(delta.reason)
        assert all(end is None or np.isfinite(end) for end in (delta.value, delta.low, delta.high))
