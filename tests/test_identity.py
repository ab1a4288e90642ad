"""Identity similarity and verification: embeddings equal to DeepFace's on the same faces and weights."""

from __future__ import annotations

import itertools
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import torch
from deepface.modules.verification import find_cosine_distance
from pictures import FACE_BOX, PORTRAIT, Recording, batch, flat, jpeg, noisy, tensor
from random_deepface import ARCFACE, DARK, FACENET512, FACES, WEIGHTS, cases, deepface_says, write_random_recogniser
from weights_folder import weights_in

from vcmbench import registry
from vcmbench.datasets.demo import FACES as PORTRAITS
from vcmbench.datasets.demo import Demo
from vcmbench.datasets.prepare import Preparation, Prepared, prepare
from vcmbench.interfaces import Batch, Image, Missing, Setup, UsageError
from vcmbench.metrics.identity import IdentitySimilarity
from vcmbench.metrics.verification import Verification

CALL = """{
    name: DeepFace.represent(face, model_name=name, detector_backend="skip", normalization="base")[0]["embedding"]
    for name in ("ArcFace", "Facenet512")
}"""
NETWORKS = {"arcface": ("ArcFace", ARCFACE), "facenet512": ("Facenet512", FACENET512)}
SETUP = Setup(unverified=True)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that DeepFace takes for its home, with random networks that vcmbench finds, too; its 0.2 GB are deleted."""
    home = tmp_path_factory.mktemp("home")
    for _, file in NETWORKS.values():
        write_random_recogniser(file, home)
    with weights_in(home):
        yield home
    shutil.rmtree(home)


@pytest.fixture(params=NETWORKS)
def metric(request: pytest.FixtureRequest) -> IdentitySimilarity:
    """The metric with each network, on the data set's boxes."""
    return IdentitySimilarity(SETUP, network=request.param, boxes="dataset")


def portrait(*images: Image) -> Batch:
    """Versions of the portrait, each with her face box."""
    return Batch(tensor(*images), torch.tensor([FACE_BOX] * len(images)))


def similarities(metric: IdentitySimilarity, *decoded: Image) -> list[float]:
    """The similarity of each version of the portrait to the portrait."""
    reference = portrait(PORTRAIT)
    scores = [metric.score(reference, portrait(image))["identity_similarity"] for image in decoded]
    return [float(value) for [value] in scores]  # type: ignore[arg-type]  # her face is there


@pytest.fixture(scope="module")
def embeddings(home: Path) -> list[dict[str, list[float]]]:
    """What `DeepFace.represent` says of each face, by its name of the network."""
    return deepface_says(CALL, home, FACES)


def blurred(image: Image, radius: float) -> Image:
    """The image after a Gaussian blur."""
    return np.array(PIL.Image.fromarray(image).filter(PIL.ImageFilter.GaussianBlur(radius)))


def test_embeddings_equal_deepface(metric: IdentitySimilarity, embeddings: list[dict[str, list[float]]]) -> None:
    """Each is `DeepFace.represent`'s to 1e-5 of its length, of odd and dark faces in one batch; and they differ a lot."""
    name, _ = NETWORKS[str(metric.params["network"])]
    expected = torch.tensor([face[name] for face in embeddings])
    lengths = expected.norm(dim=1)
    assert ((cases().get(metric.embedding) - expected).norm(dim=1) < 1e-5 * lengths).all()
    assert torch.pdist(expected).min() > 0.1 * lengths.median()


def test_the_similarity_is_deepfaces(metric: IdentitySimilarity, embeddings: list[dict[str, list[float]]]) -> None:
    """It is 1 − DeepFace's cosine distance of its own embeddings."""
    name, _ = NETWORKS[str(metric.params["network"])]
    expected = 1 - find_cosine_distance(embeddings[0][name], embeddings[-1][name])
    scores = metric.score(portrait(PORTRAIT), portrait(DARK))
    assert scores["identity_similarity"] == pytest.approx([expected], abs=1e-6)


def test_swapped_channels_are_noticed(metric: IdentitySimilarity) -> None:
    """With red and blue swapped, a face in colour has another embedding."""
    assert similarities(metric, np.ascontiguousarray(PORTRAIT[..., ::-1]))[0] < 0.99


def test_a_copy_is_most_alike_and_damage_takes_away(metric: IdentitySimilarity) -> None:
    """A copy has 1; more noise, more blur and a lower JPEG quality have less."""
    noise, blur = [noisy(PORTRAIT, sigma) for sigma in (4, 16, 64)], [blurred(PORTRAIT, radius) for radius in (1, 4)]
    copy, *spoilt = similarities(metric, PORTRAIT, *noise, *blur, jpeg(PORTRAIT, 60), jpeg(PORTRAIT, 5))
    assert copy == pytest.approx(1, abs=1e-6)
    for values in (spoilt[:3], spoilt[3:5], spoilt[5:]):
        assert [copy, *values] == sorted([copy, *values], reverse=True)
        assert values[-1] < copy - 1e-3


def test_it_is_symmetric(metric: IdentitySimilarity) -> None:
    """Original and decoded image can change places, as both have the same box."""
    noise = portrait(noisy(PORTRAIT, 16))
    there, back = metric.score(portrait(PORTRAIT), noise), metric.score(noise, portrait(PORTRAIT))
    assert there["identity_similarity"] == pytest.approx(back["identity_similarity"], abs=1e-6)


def test_bf16_deviates_little(metric: IdentitySimilarity) -> None:
    """In bf16 the similarity differs by less than 0.02, and a copy still has 1."""
    decoded = [PORTRAIT, noisy(PORTRAIT, 16), jpeg(PORTRAIT, 5)]
    exact = similarities(metric, *decoded)
    rough = similarities(IdentitySimilarity(Setup(precision="bf16", unverified=True), **metric.params), *decoded)
    assert rough == pytest.approx(exact, abs=0.02)
    assert rough[0] == pytest.approx(1, abs=1e-6)
    assert rough != exact


def test_a_face_without_a_box_has_a_reason(metric: IdentitySimilarity) -> None:
    """An image without a box has a reason and an embedding of NaN; its neighbour has its value."""
    reference = Batch(tensor(PORTRAIT, PORTRAIT), torch.tensor([[np.nan] * 4, FACE_BOX]))
    decoded = Batch(tensor(PORTRAIT, jpeg(PORTRAIT, 10)), original=reference)
    missing, value = metric.score(reference, decoded)["identity_similarity"]
    assert missing == Missing("the data set gives no face box")
    assert value == similarities(metric, jpeg(PORTRAIT, 10))[0]
    assert decoded.get(metric.embedding).isnan().all(1).tolist() == [True, False]


def test_the_original_says_where_the_face_is(home: Path, tmp_path: Path) -> None:
    """BlazeFace finds her in the original, so that a grey decoded image has a value; of a grey original there is none."""
    detector = Path(__file__).resolve().parents[2] / "shared" / "weights"
    if not detector.is_dir():
        pytest.skip("the detector is not beside this checkout (../shared/weights)")
    grey = flat(128)
    with weights_in(tmp_path) as folder:
        for file in (*detector.iterdir(), home / WEIGHTS / ARCFACE):
            (folder / file.name).symlink_to(file)
        value, missing = IdentitySimilarity(SETUP).score(batch(PORTRAIT, grey), batch(grey, PORTRAIT))["identity_similarity"]
    assert isinstance(value, float)
    assert missing == Missing("no face found in the original")


@pytest.mark.parametrize("factor", [math.nan, math.inf, 0.0])
def test_a_network_that_gives_no_numbers_is_told(factor: float, home: Path, tmp_path: Path) -> None:
    """NaN, infinities or zeros in place of an embedding become a reason, not a similarity."""
    state = torch.load(home / WEIGHTS / ARCFACE, mmap=True, weights_only=True)
    for name in ("embedding.weight", "embedding.bias"):
        state[name] *= factor
    with weights_in(tmp_path) as folder:
        torch.save(state, folder / ARCFACE)
        scores = IdentitySimilarity(SETUP, boxes="dataset").score(portrait(PORTRAIT), portrait(PORTRAIT))
        (folder / ARCFACE).unlink()
    assert scores["identity_similarity"] == [Missing("the network gave no finite numbers, or only zeros")]


def test_nothing_is_computed_again_for_the_next_setting(metric: IdentitySimilarity) -> None:
    """Keeping what `extractors` names, the second setting computes nothing of the original."""
    reference = Recording(tensor(PORTRAIT), torch.tensor([FACE_BOX]))
    metric.score(reference, portrait(jpeg(PORTRAIT, 10)))
    reference.release(keep=metric.extractors)
    reference.computed = ()
    metric.score(reference, portrait(jpeg(PORTRAIT, 20)))
    assert reference.computed == ()


def test_other_sizes_are_refused(metric: IdentitySimilarity) -> None:
    """A decoded image of another size is an error that gives both."""
    with pytest.raises(UsageError, match=r"200 × 313.* 199 × 313"):
        metric.score(portrait(PORTRAIT), portrait(PORTRAIT[1:]))


def test_making_it_loads_nothing(tmp_path: Path) -> None:
    """A metric is made without deepface or TensorFlow; scoring prints nothing and leaves the home folder as it was."""
    program = (
        "import sys, torch; from vcmbench.interfaces import Batch; from vcmbench.metrics import create; "
        "metric = create('identity', untrained=True, boxes='dataset'); print('deepface' in sys.modules); "
        "image = Batch(torch.arange(3 * 64 * 64).view(1, 3, 64, 64).byte(), torch.tensor([[8.0, 8, 40, 48]])); "
        "print(metric.score(image, image)); print('tensorflow' in sys.modules)"
    )
    home = tmp_path / "home"
    home.mkdir()
    finished = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"HOME": str(home)}
    )
    assert finished.stdout.splitlines() == ["False", "{'identity_similarity': [1.0]}", "False"]
    assert list(home.iterdir()) == []


def test_a_missing_file_is_told_at_the_first_face(tmp_path: Path) -> None:
    """Without its weights the metric can be made; scoring names the file and the remedy."""
    with weights_in(tmp_path), pytest.raises(UsageError, match=r"arcface_weights\.pth .*`vcmbench weights fetch arcface`"):
        IdentitySimilarity(boxes="dataset").score(portrait(PORTRAIT), portrait(PORTRAIT))


def test_the_identity_names_what_can_change_a_value(metric: IdentitySimilarity) -> None:
    """Weights, packages, precision and parameters; another network is another metric."""
    network = str(metric.params["network"])
    assert metric.weights == (network,)
    assert IdentitySimilarity(SETUP, network=network, detector="sfd").weights == (network, "sfd")
    assert metric.identity["params"] == {"network": network, "boxes": "dataset", "detector": "blazeface"}
    assert set(metric.identity["weights"]) == {network}  # type: ignore[call-overload]  # a mapping
    assert metric.identity["precision"] == "fp32"


# ---------------------------------------------------------------------------------------------------- verification


def test_verification_shares_the_pass_of_identity(metric: IdentitySimilarity) -> None:
    """With the same parameters both name the same extractors, so that each face is embedded once for both."""
    verification = Verification(SETUP, **metric.params)
    assert verification.extractors == metric.extractors
    assert verification.feature.extractor == metric.embedding
    assert verification.weights == metric.weights
    assert verification.score(portrait(PORTRAIT), portrait(PORTRAIT)) == {}


def test_features_of_other_boxes_have_other_names() -> None:
    """The stored embedding is named after its network and boxes, so that no two different ones have one name."""
    variants = [{}, {"network": "facenet512"}, {"boxes": "dataset"}, {"detector": "sfd"}]
    names = [Verification(SETUP, **variant).feature.name for variant in variants]
    assert names == ["embedding_arcface", "embedding_facenet512", "embedding_arcface_dataset", "embedding_arcface_sfd"]


def views() -> Iterator[tuple[Prepared, str]]:
    """Three views of each of twelve made-up people: two portraits, their channels in every order."""
    listed = {row["image"]: row for table in Demo().images() for row in table.to_pylist()}
    for person in PORTRAITS:
        for view in ("01", "03", "06"):
            row = listed[f"{person}/{view}.png"]
            box = row["box_x"], row["box_y"], row["box_width"], row["box_height"]
            prepared = prepare(Demo().read(row["path"]), box, Preparation(size=128))
            for order in itertools.permutations(range(3)):
                yield replace(prepared, image=prepared.image[..., order]), f"{person} {order}"


def test_stored_embeddings_give_rates() -> None:
    """Views of several people give the rates that the metric states, the lower the more the decoded images have lost."""
    prepared, people = zip(*views(), strict=True)
    metric = Verification(SETUP, network="facenet512", boxes="dataset")
    reference = Batch(tensor(*(view.image for view in prepared)), torch.tensor([view.box for view in prepared]))
    noise = Batch(tensor(*(noisy(view.image, 64) for view in prepared)), original=reference)
    originals, decoded = (batch.get(metric.feature.extractor).numpy() for batch in (reference, noise))
    lossless, lossy = registry.load(metric.value)(originals, iter([originals, decoded]), people)
    assert set(lossless) == set(lossy) == set(metric.set_columns)
    assert 0 <= lossy["tar_at_far_1e_2"].value < lossless["tar_at_far_1e_2"].value <= 1
    assert lossless["tar_at_far_1e_3"].value is None
