"""Set metrics against independent computations, on synthetic features."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import mpmath  # type: ignore[import-untyped]  # ships no type hints
import numpy as np
import numpy.typing as npt
import pytest

from vcmbench.interfaces import SetValue
from vcmbench.reports import set_metrics
from vcmbench.torchvision_import import import_torchvision

Features = npt.NDArray[np.float32]
SetMetricValue = Callable[[Features, Iterable[Features], Sequence[str | None]], Iterator[Mapping[str, SetValue]]]
VALUES: dict[str, SetMetricValue] = {
    "fid": set_metrics.fid,
    "kid": set_metrics.kid,
    "verification": set_metrics.verification,
}


def features(count: int, length: int, seed: int = 0) -> Features:
    """Correlated positive features, as a network's are."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(length).normal(size=(length, length)) / np.sqrt(length)
    samples: Features = np.abs(generator.normal(size=(count, length)) @ mixing).astype(np.float32)
    return samples


def noisy(original: Features, sigma: float, seed: int = 1) -> Features:
    """The features of a coded image: near the original's."""
    noise = np.random.default_rng(seed).normal(scale=sigma, size=original.shape)
    return (original + noise).astype(np.float32)


def one(
    name: str, reference: Features, decoded: Features, identities: Sequence[str | None] | None = None, column: str = ""
) -> SetValue:
    """The value of one setting."""
    (values,) = VALUES[name](reference, [decoded], identities or [None] * len(reference))
    return values[column or name]


def number(value: SetValue) -> float:
    """The value, which there must be."""
    assert value.value is not None, value.note
    return value.value


# ------------------------------------------------------------------------------------------------------------- FID


def test_fid_is_pytorch_fids() -> None:
    """Where its matrix root is well conditioned, pytorch-fid's `calculate_frechet_distance` gives the same to 1e-9."""
    import_torchvision()
    from pytorch_fid.fid_score import calculate_frechet_distance  # noqa: PLC0415  # torchvision must be importable by then

    original, decoded = features(500, 64), noisy(features(500, 64, seed=2), 0.3)
    statistics = [
        statistic for samples in (original, decoded) for statistic in (samples.mean(0, float), np.cov(samples, rowvar=False))
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `disp` argument", DeprecationWarning)  # the package's own call of SciPy
        expected = calculate_frechet_distance(*statistics)
    assert number(one("fid", original, decoded)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [5, 12, 30])
@pytest.mark.parametrize("dead", [0, 4])
def test_fid_is_exact_where_covariances_are_singular(count: int, dead: int) -> None:
    """With fewer images than features, or dead features, FID equals its definition in 50 digits to 1e-9."""
    original, decoded = features(count, 10), noisy(features(count, 10), 0.2)
    original[:, :dead] = decoded[:, :dead] = 0
    with mpmath.workdps(50):
        expected = _frechet_in_50_digits(original, decoded)
    assert number(one("fid", original, decoded)) == pytest.approx(expected, rel=1e-9)


def _frechet_in_50_digits(*samples: Features) -> float:
    means, covariances = zip(*map(_statistics_in_50_digits, samples), strict=True)
    offset = means[0] - means[1]
    eigenvalues = mpmath.eig(covariances[0] * covariances[1], left=False, right=False)
    root_trace = sum(mpmath.re(mpmath.sqrt(value)) for value in eigenvalues)
    traces = sum(covariance[i, i] for covariance in covariances for i in range(covariance.rows))
    return float((offset.T * offset)[0] + traces - 2 * root_trace)


def _statistics_in_50_digits(samples: Features) -> tuple[mpmath.matrix, mpmath.matrix]:
    rows = mpmath.matrix(samples.astype(float).tolist())
    mean = rows.T * mpmath.ones(rows.rows, 1) / rows.rows
    centred = rows - mpmath.ones(rows.rows, 1) * mean.T
    return mean, centred.T * centred / (rows.rows - 1)


@pytest.mark.parametrize("count", [20, 400])
def test_fid_of_a_scaled_and_shifted_set_is_known(count: int) -> None:
    """For y = a x + b the distance is |μ_y - μ_x|² + (1 - a)² tr Σ, whether images or features are more."""
    original = features(count, 32).astype(np.float64)
    decoded = 1.5 * original + 0.25
    expected = np.square(decoded.mean(0) - original.mean(0)).sum() + 0.25 * original.var(axis=0, ddof=1).sum()
    (values,) = set_metrics.fid(original, [decoded], [None] * count)  # type: ignore[arg-type,list-item]  # float64 so that y is exact
    assert number(values["fid"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [2, 20, 400])
def test_fid_of_equal_sets_is_zero(count: int) -> None:
    """A set has the distance 0 to itself, in any order, and never a negative one."""
    original = features(count, 32)
    assert 0 <= number(one("fid", original, original)) < 1e-12
    assert 0 <= number(one("fid", original, original[::-1])) < 1e-12


def test_fid_and_kid_rise_with_the_difference() -> None:
    """The farther the decoded images' features are from the originals', the larger both distances."""
    original = features(300, 16)
    for name in ("fid", "kid"):
        values = [number(one(name, original, noisy(original, sigma))) for sigma in (0.1, 0.3, 1)]
        assert values == sorted(values)
        assert values[0] < values[-1]


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_few_images_carry_a_caveat(name: str) -> None:
    """Under 2,048 images the note says how many there are; from there on there is none."""
    few, enough = (one(name, features(count, 4), features(count, 4, seed=1)) for count in (2047, 2048))
    assert (few.n, enough.n) == (2047, 2048)
    assert "2,047 images" in few.note
    assert enough.note == ""


# ------------------------------------------------------------------------------------------------------------- KID


def test_kid_is_the_unbiased_estimate_of_its_definition() -> None:
    """Up to 1,000 images KID equals MMD² summed pair by pair, and has no error."""
    original, decoded = features(30, 8), noisy(features(30, 8), 0.3)
    value = one("kid", original, decoded)
    assert number(value) == pytest.approx(_squared_mmd(original, decoded), rel=1e-9)
    assert value.error is None
    assert "needs more than 1,000" in value.note


def _squared_mmd(original: Features, decoded: Features) -> float:
    def kernel(x: Features, y: Features) -> float:
        return float((np.dot(x.astype(float), y.astype(float)) / len(x) + 1) ** 3)

    count = len(original)
    within = sum(kernel(x[i], x[j]) for x in (original, decoded) for i, j in itertools.permutations(range(count), 2))
    between = sum(kernel(x, y) for x in original for y in decoded)
    return within / (count * (count - 1)) - 2 * between / count**2


def test_kid_of_equal_sets_is_below_zero() -> None:
    """An image is compared with itself between the sets, but not within one: by so much the estimate is lower."""
    original = features(50, 8)
    kernel = (original.astype(float) @ original.T.astype(float) / 8 + 1) ** 3
    same = np.trace(kernel) / 50
    different = (kernel.sum() - np.trace(kernel)) / (50 * 49)
    assert number(one("kid", original, original)) == pytest.approx(-2 / 50 * (same - different), rel=1e-9)


def test_kid_of_many_images_is_the_mean_over_subsets() -> None:
    """Over 1,000 images value and error are the mean and the standard deviation over subsets of 1,000, here drawn anew."""
    original, decoded = features(2500, 8), (features(2500, 8, seed=3) * 1.03).astype(np.float32)
    value = one("kid", original, decoded)
    generator = np.random.default_rng(5)
    draws = [[generator.choice(2500, 1000, replace=False) for _ in range(2)] for _ in range(40)]
    estimates = [number(one("kid", original[ours], decoded[theirs])) for ours, theirs in draws]
    deviation = float(np.std(estimates))
    assert value.error == pytest.approx(deviation, rel=0.4)
    assert number(value) == pytest.approx(np.mean(estimates), abs=0.6 * deviation)


def test_kid_of_two_samples_of_one_distribution_is_about_zero() -> None:
    """The estimate is not biased: without a difference it lies within a few errors of 0, on either side."""
    value = one("kid", features(1500, 8), features(1500, 8, seed=9))
    assert value.error is not None
    assert abs(number(value)) < 4 * value.error


# ---------------------------------------------------------------------------------------------------- verification

RATES = {"tar_at_far_1e_2": 0.01, "tar_at_far_1e_3": 0.001}


def people(identities: int, images: int, spread: float, length: int = 16) -> tuple[Features, list[str | None]]:
    """Features around one centre for each person."""
    generator = np.random.default_rng(0)
    centres = np.repeat(generator.normal(size=(identities, length)), images, axis=0)
    names = [f"n{person:06d}" for person in range(identities) for _ in range(images)]
    return (centres + generator.normal(scale=spread, size=centres.shape)).astype(np.float32), [*names]


def brute_force(reference: Features, decoded: Features, identities: Sequence[str | None], rate: float) -> float:
    """The true accept rate from a loop over all pairs."""
    genuine: list[float] = []
    impostor: list[float] = []
    for (i, one_person), (j, other_person) in itertools.product(enumerate(identities), repeat=2):
        if i == j or one_person is None or other_person is None:
            continue
        x, y = reference[i].astype(float), decoded[j].astype(float)
        cosine = x @ y / np.sqrt((x @ x) * (y @ y))
        (genuine if one_person == other_person else impostor).append(cosine)
    impostor.sort(reverse=True)
    threshold = next(t for rank, t in reversed([*enumerate(impostor)]) if rank <= rate * len(impostor))
    return float(np.mean(np.array(genuine) > threshold))


@pytest.mark.parametrize("column", RATES)
def test_verification_is_that_of_all_pairs(column: str) -> None:
    """With few images every pair counts, but those of an image with itself and of images without an identity."""
    original, identities = people(14, 8, spread=0.8)
    identities[3] = identities[40] = None
    decoded = noisy(original, 0.3)
    value = one("verification", original, decoded, identities, column)
    assert value.n == 110
    assert 0.2 < number(value) < 0.98
    assert number(value) == pytest.approx(brute_force(original, decoded, identities, RATES[column]), abs=1e-12)
    shuffled = np.random.default_rng(3).permutation(len(identities))
    again = one("verification", original[shuffled], decoded[shuffled], [identities[i] for i in shuffled], column)
    assert again == value


def test_verification_of_clear_and_of_hopeless_features_is_known() -> None:
    """Where people lie far apart every genuine pair is accepted; where features say nothing, as many as of impostors."""
    original, identities = people(20, 10, spread=0.01)
    assert number(one("verification", original, original, identities, "tar_at_far_1e_3")) == 1
    nothing, noise = features(200, 16) - 0.5, features(200, 16, seed=4) - 0.5
    assert number(one("verification", nothing, noise, identities, "tar_at_far_1e_2")) == pytest.approx(0.01, abs=0.01)


def test_verification_samples_what_are_too_many_pairs() -> None:
    """Of 2.2 million impostor pairs a million are compared, none twice, and the rate is near that of all."""
    original, identities = people(300, 5, spread=1.0)
    decoded = noisy(original, 0.3)
    value = one("verification", original, decoded, identities, "tar_at_far_1e_3")
    assert "6,000 genuine and 1,000,000 impostor pairs" in value.note
    x, y = (samples / np.linalg.norm(samples, axis=1, keepdims=True) for samples in (original, decoded))
    names = np.array(identities)
    same = names[:, None] == names
    cosines = x @ y.T
    threshold = np.quantile(cosines[~same], 0.999)
    expected = (cosines[same & ~np.eye(len(x), dtype=bool)] > threshold).mean()
    assert number(value) == pytest.approx(expected, abs=0.01)


def test_verification_says_why_there_is_no_value() -> None:
    """One image a person gives no genuine pair, and few images too few impostors: the note says so."""
    original, identities = people(120, 1, spread=1)
    for column in RATES:
        value = one("verification", original, original, identities, column)
        assert value.value is None
        assert "two images" in value.note
    original, identities = people(10, 5, spread=1)
    assert number(one("verification", original, original, identities, "tar_at_far_1e_2")) >= 0
    value = one("verification", original, original, identities, "tar_at_far_1e_3")
    assert value.value is None
    assert "10,000" in value.note
    assert "2,250" in value.note
    assert one("verification", original, original, column="tar_at_far_1e_2").n == 0


def test_verification_bears_features_without_a_direction() -> None:
    """A feature of zeros is like nobody's, and no reason to warn."""
    original, identities = people(20, 10, spread=0.01)
    original[0] = 0
    assert 0.98 < number(one("verification", original, original, identities, "tar_at_far_1e_2")) < 1


# -------------------------------------------------------------------------------------------------- what all share


@pytest.mark.parametrize("name", VALUES)
def test_several_settings_have_the_values_of_each(name: str) -> None:
    """Settings are taken one after another, and each has the value that it has alone."""
    original, identities = people(30, 40, spread=1)
    settings = [noisy(original, sigma) for sigma in (0.1, 0.5)]
    taken: list[int] = []

    def decoded() -> Iterator[Features]:
        for position, samples in enumerate(settings):
            taken.append(position)
            yield samples

    together = VALUES[name](original, decoded(), identities)
    first = next(together)
    assert taken == [0]
    alone = [next(VALUES[name](original, [samples], identities)) for samples in settings]
    assert [first, *together] == alone
    assert alone[0] != alone[1]


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    """Sorted in another way, up to 1,000 images have the same value to 1e-9."""
    original, decoded = features(300, 16), noisy(features(300, 16), 0.3)
    shuffled = np.random.default_rng(3).permutation(300)
    again = number(one(name, original[shuffled], decoded[shuffled]))
    assert again == pytest.approx(number(one(name, original, decoded)), rel=1e-9)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_have_no_value_and_a_reason(name: str, count: int) -> None:
    """No image, or a single one, has no value in any setting, and the note says why."""
    original = features(count, 4)
    for values in VALUES[name](original, [original, original], ["a"] * count):
        for value in values.values():
            assert value.value is None
            assert value.n == count
            assert value.note


@pytest.mark.parametrize("name", VALUES)
def test_features_that_cannot_be_compared_are_refused(name: str) -> None:
    """Features that are not finite, or not of the same images, are refused rather than turned into a number."""
    original, identities = people(3, 2, spread=1)
    broken = original.copy()
    broken[1, 2] = np.nan
    for reference, decoded, message in (
        (original, broken, "finite"),
        (broken, original, "finite"),
        (original, original[1:], "same"),
        (original, original[:, 1:], "same"),
    ):
        with pytest.raises(ValueError, match=message):
            list(VALUES[name](reference, [decoded], identities))
    with pytest.raises(ValueError, match="identities"):
        list(set_metrics.verification(original, [original], identities[1:]))
