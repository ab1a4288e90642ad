"""Inception's features and FID against pytorch-fid on the same files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFilter
import pytest
from pictures import ASTRONAUT, PORTRAIT, Recording, batch, flat, jpeg, noisy, tensor
from random_inception import FILE, write_random_inception
from random_weights import random_weights

from vcmbench.interfaces import Image, Setup, UsageError
from vcmbench.metrics.fid import Fid
from vcmbench.metrics.inception import InceptionFeatures
from vcmbench.metrics.kid import Kid
from vcmbench.reports import set_metrics
from vcmbench.torchvision_import import import_torchvision
from vcmbench.weights import sha256

SETUP = Setup(unverified=True)
Features = npt.NDArray[np.float32]


def views(count: int) -> list[Image]:
    """Pieces of a picture, 200 rows by 313 columns, half of them upside down."""
    corners = np.random.default_rng(0).integers(0, (512 - 200, 512 - 313), (count, 2))
    pieces = [ASTRONAUT[y : y + 200, x : x + 313] for y, x in corners]
    return [np.ascontiguousarray(piece[::-1] if place % 2 else piece) for place, piece in enumerate(pieces)]


ORIGINALS = views(6)
DECODED = [jpeg(image, 5) for image in ORIGINALS]


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A random Inception in place of the pretrained one."""
    with random_weights(tmp_path_factory.mktemp("torch"), write_random_inception) as folder:
        yield folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The originals and the decoded images as files."""
    paths = [tmp_path_factory.mktemp(name) for name in ("originals", "decoded")]
    for path, images in zip(paths, (ORIGINALS, DECODED), strict=True):
        for place, image in enumerate(images):
            PIL.Image.fromarray(image).save(path / f"{place:02}.png")
    return paths


@pytest.fixture(scope="module")
def package(weights: Path) -> Any:  # noqa: ARG001  # it loads them
    """pytorch-fid."""
    import_torchvision()
    from pytorch_fid import fid_score  # noqa: PLC0415  # needs torchvision

    return fid_score


@pytest.fixture(scope="module")
def expected(package: Any, folders: list[Path]) -> list[Features]:
    """The features of both folders' files as pytorch-fid extracts them."""
    network = package.InceptionV3([3])
    return [package.get_activations(sorted(folder.iterdir()), network, batch_size=3, num_workers=0) for folder in folders]


@pytest.fixture(scope="module")
def features() -> list[Features]:
    """The features of the same images as vcmbench extracts them."""
    return [features_of(images) for images in (ORIGINALS, DECODED)]


def features_of(images: list[Image], setup: Setup = SETUP) -> Features:
    """The features of one batch."""
    found: Features = InceptionFeatures(setup)(batch(*images)).numpy()
    return found


def fid(original: Features, decoded: Features) -> float:
    """The distance of two sets of features."""
    (values,) = set_metrics.fid(original, [decoded], [None] * len(original))
    assert values["fid"].value is not None
    return values["fid"].value


def test_features_are_pytorch_fids(expected: list[Features], features: list[Features]) -> None:
    """On files of 200×313 pixels a feature is that of pytorch-fid's `get_activations`, but for float32's rounding."""
    for ours, theirs in zip(features, expected, strict=True):
        assert ours.dtype == np.float32
        assert ours == pytest.approx(theirs, abs=2e-4)
    assert np.abs(features[0] - expected[1]).mean() > 0.05


def test_fid_is_pytorch_fids_on_the_same_files(package: Any, expected: list[Features], features: list[Features]) -> None:
    """FID equals pytorch-fid's to 1e-4, where its root of singular matrices ends, and else to 1e-6.

    Its distance is taken of the first 512 features: the root of a matrix of 2048 rows, as singular, takes it 25 seconds.
    """
    statistics = [part for rows in expected for part in (rows[:, :512].mean(0), np.cov(rows[:, :512], rowvar=False))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `disp` argument|Matrix is singular")  # the package's own call of SciPy
        theirs = package.calculate_frechet_distance(*statistics)
    assert fid(*(rows[:, :512] for rows in features)) == pytest.approx(theirs, rel=1e-4)
    assert fid(*features) == pytest.approx(fid(*expected), rel=1e-6)


def test_swapped_channels_are_another_image(features: list[Features]) -> None:
    """Red and blue swapped make more than a tenth of the FID that strong compression makes."""
    swapped = features_of([np.ascontiguousarray(image[..., ::-1]) for image in ORIGINALS])
    assert fid(features[0], swapped) > 0.1 * fid(*features)


def test_batches_and_order_do_not_change_fid(features: list[Features]) -> None:
    """Other batches, in another order, give the same FID to 1e-6."""
    order = np.random.default_rng(1).permutation(len(ORIGINALS))
    again = [
        np.concatenate([features_of([images[place] for place in part]) for part in np.split(order, [2, 3])])
        for images in (ORIGINALS, DECODED)
    ]
    assert fid(*again) == pytest.approx(fid(*features), rel=1e-6)


def test_noise_and_blur_raise_fid(features: list[Features]) -> None:
    """FID is 0 for the images themselves, and rises with noise and with blur."""
    originals = features[0][:4]

    def blurred(image: Image, radius: float) -> Image:
        return np.array(PIL.Image.fromarray(image).filter(PIL.ImageFilter.GaussianBlur(radius)))

    for spoil in (noisy, blurred):
        values = [fid(originals, features_of([spoil(image, much) for image in ORIGINALS[:4]])) for much in (1, 4)]
        assert fid(originals, originals) == pytest.approx(0, abs=1e-9)
        assert 1e-9 < values[0] < values[1]


def test_bf16_deviates_by_little(features: list[Features]) -> None:
    """In bf16 features differ by less than 4 % of their norm, and are float32."""
    rounded = features_of(ORIGINALS[:2], Setup(precision="bf16", unverified=True))
    assert rounded.dtype == np.float32
    difference = np.linalg.norm(rounded - features[0][:2])
    assert 0 < difference < 0.04 * np.linalg.norm(features[0][:2])


@pytest.mark.parametrize(
    "image", [flat(0), flat(255), PORTRAIT[:1, :1], PORTRAIT[:1]], ids=["black", "white", "one pixel", "one row"]
)
def test_degenerate_images_have_a_feature(image: Image) -> None:
    """Flat and tiny images have finite features."""
    found = features_of([image])
    assert found.shape == (1, 2048)
    assert np.isfinite(found).all()


def test_an_untrained_network_needs_no_file_and_tells_images_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With `untrained` the features are those of a seeded random network, neither vanishing nor alike."""
    monkeypatch.setenv("VCMBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = features_of(ORIGINALS[:2], Setup(untrained=True))
    assert 0.01 < np.abs(found).mean() < 100
    assert np.abs(found[0] - found[1]).max() > 1e-3
    with pytest.raises(UsageError, match=FILE):
        features_of(ORIGINALS[:1], Setup())


def test_fid_and_kid_share_one_pass() -> None:
    """Both store the same feature, and a batch computes it once; neither has a value of one image."""
    metrics = Fid(SETUP), Kid(SETUP)
    images = Recording(tensor(PORTRAIT))
    for metric in metrics:
        assert metric.score(images, images) == {}
        assert metric.extractors == (metric.feature.extractor,)
        images.get(metric.feature.extractor)  # type: ignore[no-untyped-call]  # of the recording batch
    assert metrics[0].feature == metrics[1].feature
    assert images.computed == metrics[0].extractors


def test_the_identity_names_what_can_change_a_value(weights: Path) -> None:
    """The identity holds the weight file's hash, the packages' releases and the precision."""
    identity = Fid(SETUP).identity
    assert identity["weights"] == {"inception": sha256(weights / FILE)}
    assert set(identity["packages"]) == {"pytorch-fid", "torchvision"}  # type: ignore[call-overload]  # a mapping
    assert identity != Fid(Setup(precision="bf16", unverified=True)).identity
    assert identity != Kid(SETUP).identity


def test_pytorch_fid_itself_is_left_as_it_is(package: Any) -> None:
    """Whoever else uses pytorch-fid in this process still gets its own loader."""
    features_of(ORIGINALS[:1])
    inception = __import__("pytorch_fid.inception", fromlist=["inception"])
    assert inception.load_state_dict_from_url.__module__ == "torch.hub"
    assert package.InceptionV3 is inception.InceptionV3
