"""The values of set metrics, computed from stored features when reporting: FID, KID and verification rates.

`fid`, `kid` and `verification` are called alike, as `SetMetric.value` says: with the originals' features (N×D), those of the
decoded images for one setting after another (each N×D, of the same images in the same order), and the images' identities.
They yield the values of one setting after another, holding one at a time; what concerns the originals is computed once.

Rows are finite: an image that lacks a feature in one setting is left out of all. They come sorted by image name, so that
the seeded samples of KID and verification do not depend on how the images were processed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from vcmbench.interfaces import SetValue

Features: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]
Pairs: TypeAlias = tuple[Indices, Indices]
"""The positions of an original and of a decoded image, for every pair."""

SEED = 20210611
"""Of every sample drawn here."""
ENOUGH = 2048
"""With fewer images FID and KID carry a caveat: it is the length of Inception's feature."""

SUBSETS = 100
SUBSET_SIZE = 1000
KERNEL_ROWS = 1024
"""Rows of a kernel matrix in memory at once."""

PAIRS = 1_000_000
"""At most as many genuine pairs, and as many impostor pairs, are compared."""
GATHERED_PAIRS = 4096
"""Pairs whose features are in memory at once."""
ONE_ACCEPTED_IN = {"tar_at_far_1e_2": 100, "tar_at_far_1e_3": 1000}
"""1 / FAR of each column of `verification`."""
FEWEST_ACCEPTED = 10
"""A threshold that fewer impostors exceed is an accident of the sample."""

one_thread = functools.partial(threadpool_limits, 1, user_api="blas")
"""For decompositions: threads would wait for each other at many small steps, where cores are busy for most of the time."""


# ------------------------------------------------------------------------------------------------------------- FID


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: its mean (D), and a factor F of its covariance FᵀF (at most D rows of D)."""

    mean: Floats
    factor: Floats


def fid(
    reference: Features,
    decoded: Iterable[Features],
    identities: Sequence[str | None],  # noqa: ARG001  # what every set metric is given
) -> Iterator[Mapping[str, SetValue]]:
    """Yield each setting's Fréchet Inception distance to the originals (Heusel et al., NeurIPS 2017): from 0, in float64.

    Equals pytorch-fid's. No value for less than 2 images. Raises `ValueError` for features that are not finite or not alike
    in shape.
    """
    count = len(reference)
    if count < 2:
        yield from ({"fid": _too_few(count)} for _ in decoded)
        return
    originals = fitted(_checked(reference, reference.shape))
    for features in decoded:
        distance = frechet_distance(originals, fitted(_checked(features, reference.shape)))
        yield {"fid": SetValue(distance, n=count, note=_caveat(count))}


def fitted(features: Floats) -> Gaussian:
    """Return the normal distribution with the mean and the unbiased covariance of N×D features, N at least 2."""
    mean = features.mean(axis=0)
    return Gaussian(mean, _factor((features - mean) / np.sqrt(len(features) - 1)))


def _factor(centred: Floats) -> Floats:
    """Return F of at most D rows with FᵀF = centredᵀ·centred.

    Cholesky's takes a tenth of the time of QR's, but keeps half of its digits where the product is nearly singular.
    """
    if centred.shape[0] <= centred.shape[1]:
        return centred
    product = centred.T @ centred
    with one_thread():
        with contextlib.suppress(np.linalg.LinAlgError):  # a singular product has no Cholesky factor
            factor = cast(Floats, np.linalg.cholesky(product, upper=True))
            pivots = np.diagonal(factor)
            if pivots.min() > 1e-5 * pivots.max():
                return factor
        return cast(Floats, np.linalg.qr(centred, mode="r"))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Return |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), from Dowson and Landau (1982).

    The eigenvalues of Σ₁Σ₂ are the squared singular values of F₁F₂ᵀ: no root of a nearly singular matrix is taken.
    """
    offset = one.mean - other.mean
    traces = np.square(one.factor).sum() + np.square(other.factor).sum()
    product = one.factor @ other.factor.T
    with one_thread():
        overlap = np.linalg.norm(product, "nuc")
    return max(0.0, float(offset @ offset + traces - 2 * overlap))


# ------------------------------------------------------------------------------------------------------------- KID


def kid(
    reference: Features,
    decoded: Iterable[Features],
    identities: Sequence[str | None],  # noqa: ARG001  # what every set metric is given
) -> Iterator[Mapping[str, SetValue]]:
    """Yield each setting's kernel Inception distance to the originals (Bińkowski et al., ICLR 2018), which may be negative.

    The unbiased estimate of MMD² with the kernel (x·y / D + 1)³: its mean over 100 seeded subsets of 1,000 images, drawn
    from either side on its own, and as error its standard deviation. Up to 1,000 images: one estimate from all, no error.
    No value for less than 2 images. Raises `ValueError` for features that are not finite or not alike in shape.
    """
    count = len(reference)
    if count < 2:
        yield from ({"kid": _too_few(count)} for _ in decoded)
        return
    generator = np.random.default_rng(SEED)
    members, decoded_members = _subsets(count, generator), _subsets(count, generator)
    originals = _checked(reference, reference.shape)
    within = _mean_within(originals, members)
    note = _caveat(count)
    if count <= SUBSET_SIZE:
        note += f"; one estimate from all of them, since an error needs more than {SUBSET_SIZE:,}"
    for features in decoded:
        images = _checked(features, reference.shape)
        between = _kernel_sums(originals, images, members, decoded_members) / members.sum(axis=0) ** 2
        estimates = within + _mean_within(images, decoded_members) - 2 * between
        error = float(estimates.std()) if count > SUBSET_SIZE else None
        yield {"kid": SetValue(float(estimates.mean()), error, count, note)}


def _subsets(count: int, generator: np.random.Generator) -> Floats:
    """Return N×S: 1 where the image is in the subset, else 0."""
    if count <= SUBSET_SIZE:
        return np.ones((count, 1))
    members = np.zeros((count, SUBSETS))
    for subset in members.T:
        subset[generator.choice(count, SUBSET_SIZE, replace=False)] = 1
    return members


def _mean_within(images: Floats, members: Floats) -> Floats:
    """Return the kernel's mean over the pairs of different images of each subset (S)."""
    with_themselves = members.T @ _kernel(np.square(images).sum(axis=1), images.shape[1])
    size = members.sum(axis=0)
    means: Floats = (_kernel_sums(images, images, members, members) - with_themselves) / (size * (size - 1))
    return means


def _kernel_sums(one: Floats, other: Floats, one_members: Floats, other_members: Floats) -> Floats:
    """Return the kernel's sum over all pairs of each subset (S); one pass over all pairs serves every subset."""
    sums = np.zeros(one_members.shape[1])
    for start in range(0, len(one), KERNEL_ROWS):
        rows = slice(start, start + KERNEL_ROWS)
        kernel = _kernel(one[rows] @ other.T, one.shape[1])
        sums += (one_members[rows] * (kernel @ other_members)).sum(axis=0)
    return sums


def _kernel(products: Floats, length: int) -> Floats:
    base: Floats = products / length + 1
    return base * base * base  # a third of the time of a power


# ---------------------------------------------------------------------------------------------------- verification


def verification(
    reference: Features, decoded: Iterable[Features], identities: Sequence[str | None]
) -> Iterator[Mapping[str, SetValue]]:
    """Yield each setting's true accept rates at the false accept rates 1e-2 and 1e-3, from 0 to 1.

    A genuine pair is an original and the decoded image of another photograph of the same person; an impostor pair shows two
    people. A pair is accepted where the cosine of its features exceeds a threshold: the lowest that accepts no larger part
    of the impostor pairs than the false accept rate. At most 1,000,000 pairs of either kind are compared, a seeded sample
    spread evenly over all. Images without an identity take no part.

    No value without genuine pairs, or where fewer than 10 impostor pairs may be accepted. Raises `ValueError` for features
    that are not finite or not alike in shape.
    """
    if len(identities) != len(reference):
        raise ValueError(f"there are {len(reference)} images and {len(identities)} identities; give one, or None, for each")
    known = [position for position, identity in enumerate(identities) if identity is not None]
    genuine, impostor = _pairs(np.array([identities[position] for position in known], dtype=str))
    originals = _directions(_checked(reference, reference.shape)[known])
    for features in decoded:
        images = _directions(_checked(features, reference.shape)[known])
        same, different = _cosines(originals, images, genuine), _cosines(originals, images, impostor)
        yield {column: _true_accept_rate(same, different, one_in, len(known)) for column, one_in in ONE_ACCEPTED_IN.items()}


def _pairs(people: npt.NDArray[np.str_]) -> tuple[Pairs, Pairs]:
    """Choose the genuine and the impostor pairs of images that show these people."""
    _, person, sizes = np.unique(people, return_inverse=True, return_counts=True)
    order = np.argsort(person, kind="stable")
    size = sizes[person[order]]  # in this order a person's images are side by side: so many,
    first = (np.cumsum(sizes) - sizes)[person[order]]  # from here on
    generator = np.random.default_rng(SEED)
    image, nth = _choose(size - 1, generator)
    other = first[image] + nth
    genuine = order[image], order[other + (other >= image)]  # all of the person's images but this one
    image, nth = _choose(len(order) - size, generator)
    impostor = order[image], order[nth + np.where(nth >= first[image], size[image], 0)]  # all images but the person's
    return genuine, impostor


def _choose(partners: Indices, generator: np.random.Generator) -> Pairs:
    """Choose at most `PAIRS` pairs, given each image's number of partners: return the image, and which of its partners."""
    ends = np.cumsum(partners)
    total = int(partners.sum())
    count = min(total, PAIRS)
    edges = np.arange(count + 1) * total // max(count, 1)  # one pair from each of as many equal ranges: none comes twice
    chosen = generator.integers(edges[:-1], edges[1:])
    image = np.searchsorted(ends, chosen, side="right")
    return image, chosen - (ends - partners)[image]


def _directions(features: Floats) -> Floats:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return cast(Floats, features / np.maximum(lengths, np.finfo(np.float64).tiny))  # without a direction: like none


def _cosines(originals: Floats, images: Floats, pairs: Pairs) -> Floats:
    cosines = np.empty(len(pairs[0]))
    for start in range(0, len(cosines), GATHERED_PAIRS):
        one, other = (positions[start : start + GATHERED_PAIRS] for positions in pairs)
        cosines[start : start + GATHERED_PAIRS] = np.einsum("ij,ij->i", originals[one], images[other])
    return cosines


def _true_accept_rate(same: Floats, different: Floats, one_in: int, count: int) -> SetValue:
    fewest = FEWEST_ACCEPTED * one_in
    if len(same) == 0:
        return SetValue(None, n=count, note="verification needs identities with two images or more")
    if len(different) < fewest:
        have = f"not {len(different):,}"
        return SetValue(None, n=count, note=f"accepting 1 in {one_in:,} impostors needs {fewest:,} impostor pairs, {have}")
    threshold = np.partition(different, -1 - len(different) // one_in)[-1 - len(different) // one_in]
    note = f"{len(same):,} genuine and {len(different):,} impostor pairs"
    return SetValue(float((same > threshold).mean()), n=count, note=note)


# ---------------------------------------------------------------------------------------------------------- shared


def _checked(features: Features, shape: tuple[int, ...]) -> Floats:
    if features.ndim != 2 or features.shape != shape:
        raise ValueError(
            f"the originals' features are {shape} and the decoded images' {features.shape}; give N×D of the same"
        )
    if not np.isfinite(features).all():
        raise ValueError("features of set metrics must be finite; leave out the images that have none")
    return features.astype(np.float64)


def _too_few(count: int) -> SetValue:
    return SetValue(None, n=count, note=f"needs at least 2 images, not {count}")


def _caveat(count: int) -> str:
    if count >= ENOUGH:
        return ""
    return f"over {count:,} images, fewer than {ENOUGH:,}; compare it only with values over the same images"
