"""FID and KID: what their values are worth with so many images, how exact FID is, and what it costs beside pytorch-fid's.

Features are drawn: 2,048 numbers, normal, with means and a spectrum somewhat like those of Inception's features. So the FID
of infinitely many images is known. A coded image's feature is its original's, made smaller and overlaid with noise.

    .venv/bin/python benchmarks/set_metric_figures.py [--draws 6]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import mpmath  # type: ignore[import-untyped]  # ships no type hints
import numpy as np
import numpy.typing as npt
from measuring import keep_to_cores, machine, print_table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # likewise

from vcmbench.interfaces import SetValue
from vcmbench.reports import set_metrics
from vcmbench.torchvision_import import import_torchvision

Features: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]
SetMetricValue: TypeAlias = Callable[[Features, Iterable[Features], Sequence[None]], Iterator[Mapping[str, SetValue]]]

LENGTH = 2048
MEAN = 0.4
VARIANCES: Floats = 100 / np.arange(1, LENGTH + 1) / np.sum(1 / np.arange(1, LENGTH + 1))
"""Of the features of originals, which are not correlated: FID and KID do not change when they are rotated."""
SCALE, NOISE = 0.85, 0.1
"""Of the features of coded images: the factor, and the noise's standard deviation."""

COUNTS = (250, 500, 1000, 1100, 2000, 4000)
FEW, MANY = 40, 3000
DIGITS = 40


def originals(count: int, generator: np.random.Generator) -> Features:
    """Draw the features of originals."""
    samples = MEAN + np.sqrt(VARIANCES) * generator.normal(size=(count, LENGTH))
    return cast(Features, samples.astype(np.float32))


def coded(features: Features, generator: np.random.Generator) -> Features:
    """Return the features of the same images, coded."""
    return cast(Features, (SCALE * features + NOISE * generator.normal(size=features.shape)).astype(np.float32))


def fid_of_infinitely_many() -> float:
    """Return the distance of the two distributions."""
    offset = LENGTH * ((1 - SCALE) * MEAN) ** 2
    deviations = np.sqrt(VARIANCES) - np.sqrt(SCALE**2 * VARIANCES + NOISE**2)
    return offset + float(np.square(deviations).sum())


def value(function: SetMetricValue, name: str, reference: Features, decoded: Features) -> SetValue:
    """Return the value of one setting."""
    (values,) = function(reference, [decoded], [None] * len(reference))
    return values[name]


# ------------------------------------------------------------------------------------------------- number of images


def print_counts(draws: int) -> None:
    """Print the values, and how they vary from draw to draw, by the number of images."""
    found: dict[int, list[tuple[float, float, float, float]]] = {count: [] for count in COUNTS}
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        first, second = (originals(max(COUNTS), generator) for _ in range(2))
        decoded = coded(first, generator)
        for count in COUNTS:
            estimate = value(set_metrics.kid, "kid", first[:count], decoded[:count])
            found[count].append(
                (
                    _number(value(set_metrics.fid, "fid", first[:count], decoded[:count])),
                    _number(value(set_metrics.fid, "fid", first[:count], second[:count])),
                    1000 * _number(estimate),
                    1000 * (estimate.error or 0.0),
                )
            )
    rows = []
    for count, values in found.items():
        fid, other, kid, error = (list(column) for column in zip(*values, strict=True))
        told = f"{statistics.mean(error):.3f}" if any(error) else "none"
        varies = f"{statistics.stdev(kid):.3f}"
        rows.append([f"{count:,}", _varying(fid), _varying(other), f"{statistics.mean(kid):.2f}", varies, told])
    print(f"\n{draws} draws: means ± standard deviations; of infinitely many images the FIDs are", end=" ")
    print(f"{fid_of_infinitely_many():.2f} and 0:")
    header = ["N", "FID, coded", "FID, other originals", "KID × 1000, coded", "varies by", "error told"]
    print_table(header, rows)


def _number(found: SetValue) -> float:
    assert found.value is not None, found.note
    return found.value


def _varying(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


# -------------------------------------------------------------------------------------------- against pytorch-fid


def print_exactness() -> None:
    """Print how far FID and pytorch-fid's are from 40 digits with few images, and from each other with many."""
    generator = np.random.default_rng(0)
    reference = originals(MANY, generator)
    decoded = coded(reference, generator)
    few = reference[:FEW], decoded[:FEW]
    exact = in_many_digits(*few)
    ours, theirs = _number(value(set_metrics.fid, "fid", *few)), pytorch_fid(*few)
    rows = [
        [f"N = {FEW}: vcmbench from {DIGITS} digits", f"{abs(ours / exact - 1):.0e}"],
        [f"N = {FEW}: pytorch-fid from {DIGITS} digits", f"{abs(theirs / exact - 1):.0e}"],
    ]
    seconds = {name: further_setting(function, reference, decoded) for name, function in FUNCTIONS.items()}
    started = time.process_time()
    theirs = pytorch_fid(reference, decoded)
    seconds["pytorch-fid"] = time.process_time() - started
    ours = _number(value(set_metrics.fid, "fid", reference, decoded))
    rows.append([f"N = {MANY:,}: pytorch-fid from vcmbench", f"{abs(theirs / ours - 1):.0e}"])
    print()
    print_table(["FID from the same features", "relative difference"], rows)
    print(f"\none more setting of {MANY:,} images, in one thread:")
    rows = [[name, f"{taken:.1f}", f"{taken / seconds['fid']:.1f}"] for name, taken in seconds.items()]
    print_table(["", "seconds of a core", "of FID's"], rows)


FUNCTIONS: Mapping[str, SetMetricValue] = {"fid": set_metrics.fid, "kid": set_metrics.kid}


def further_setting(function: SetMetricValue, reference: Features, decoded: Features) -> float:
    """Return the seconds of a core that a setting takes when what concerns the originals is there."""
    values = function(reference, [decoded, decoded], [None] * len(reference))
    next(values)
    started = time.process_time()
    next(values)
    return time.process_time() - started


def pytorch_fid(reference: Features, decoded: Features) -> float:
    """Return what the package's `calculate_frechet_distance` makes of the features' means and covariances."""
    import_torchvision()
    from pytorch_fid.fid_score import calculate_frechet_distance  # noqa: PLC0415  # torchvision must be importable by then

    sets = [(each.mean(0, float), np.cov(each, rowvar=False)) for each in (reference, decoded)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular matrices, and of SciPy's options
        return float(calculate_frechet_distance(*sets[0], *sets[1]))


def in_many_digits(reference: Features, decoded: Features) -> float:
    """Return FID's definition: tr (Σ₁Σ₂)^½ is the sum of the singular values of the centred features' N×N product."""
    with mpmath.workdps(DIGITS):
        (one, one_mean), (other, other_mean) = map(_centred, (reference, decoded))
        offset = mpmath.fsum((a - b) ** 2 for a, b in zip(one_mean, other_mean, strict=True))
        traces = mpmath.fsum(sample**2 for rows in (one, other) for row in rows for sample in row)
        products = mpmath.matrix([[mpmath.fdot(a, b) for b in other] for a in one])
        overlap = mpmath.fsum(mpmath.svd_r(products, compute_uv=False))
        return float(offset + (traces - 2 * overlap) / (len(reference) - 1))


def _centred(features: Features) -> tuple[list[list[mpmath.mpf]], list[mpmath.mpf]]:
    columns = [[mpmath.mpf(sample) for sample in column] for column in features.T.tolist()]
    mean = [mpmath.fsum(column) / len(column) for column in columns]
    centred = [[sample - middle for sample in column] for column, middle in zip(columns, mean, strict=True)]
    return [list(row) for row in zip(*centred, strict=True)], mean


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=6)
    arguments = parser.parse_args()
    keep_to_cores(1)
    print(machine("numpy", "pytorch-fid"))
    with threadpool_limits(1):
        print_counts(arguments.draws)
        print_exactness()


if __name__ == "__main__":
    main()
