"""The weight files: their table, where they are looked up, and whether they are the published ones."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from own_weights import BODY, HASH, OTHER, artefact, table, use_empty_folder

from vcmbench import registry, weights
from vcmbench.interfaces import UsageError

LOADED_BY = {
    "vgg16": ("torchvision", "models/vgg.py"),
    "alexnet": ("torchvision", "models/alexnet.py"),
    "inception": ("pytorch_fid", "inception.py"),
    "fan": ("face_alignment", "api.py"),
    "sfd": ("face_alignment", "detection/sfd/sfd_detector.py"),
    "blazeface": ("face_alignment", "detection/blazeface/blazeface_detector.py"),
    "blazeface_anchors": ("face_alignment", "detection/blazeface/blazeface_detector.py"),
    "gender": ("deepface", "models/demography/pytorch/Gender.py"),
    "arcface": ("deepface", "models/facial_recognition/pytorch/ArcFace.py"),
    "facenet512": ("deepface", "models/facial_recognition/pytorch/Facenet.py"),
}
"""Package and module: importing them would take longer than all the tests here."""
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "weights.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, and a home without any."""
    return use_empty_folder(tmp_path, monkeypatch)


# ----------------------------------------------------------------------------------------------------------- table


@pytest.mark.parametrize("name", weights.ARTEFACTS)
def test_a_hash_is_the_one_that_the_file_is_named_for(name: str) -> None:
    """Where torch.hub would read a hash from the file's name, ours begins with it; a hash is never cut short."""
    entry = weights.ARTEFACTS[name]
    published = re.search(r"-([a-f0-9]*)\.", entry.file)
    assert re.fullmatch(r"[0-9a-f]{64}|", entry.sha256)
    assert published is None or entry.sha256.startswith(published.group(1))
    assert all(entry.file in url for url in entry.urls)


@pytest.mark.parametrize("name", weights.ARTEFACTS)
def test_the_addresses_are_those_of_the_package(name: str) -> None:
    """Each file comes from where the package that its network is of would load it, as that package's source spells it."""
    package, module = LOADED_BY[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    source = (Path(spec.origin).parent / module).read_text(encoding="utf-8")
    spelled = [url for url in re.findall(r"https://[^\s\"']+", source) if weights.ARTEFACTS[name].file in url]
    assert tuple(spelled) == weights.ARTEFACTS[name].urls


@pytest.mark.parametrize("name", registry.metrics.classes)
def test_the_table_knows_what_serves_a_metric(name: str) -> None:
    """Each file that a metric names is in the table, which names that metric."""
    needed = registry.metrics.classes[name]().weights
    assert [entry for entry in needed if name not in weights.ARTEFACTS[entry].serves] == []


def test_the_document_tells_of_every_file() -> None:
    """Its table has each name, file and licence."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for entry in weights.ARTEFACTS.values():
        assert [row for row in rows if f"`{entry.name}`" in row and f"`{entry.file}`" in row and entry.licence in row]


def test_the_detector_beside_the_checkout_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's hashes of BlazeFace are those of the real files."""
    shared = Path(__file__).resolve().parents[2] / "shared" / "weights"
    if not shared.is_dir():
        pytest.skip("the detector is not beside this checkout (../shared/weights)")
    monkeypatch.setenv(weights.FOLDER, str(shared))
    for name in ("blazeface", "blazeface_anchors"):
        assert weights.verified(name).stat().st_size == weights.ARTEFACTS[name].size


def test_the_table_is_read_without_torch() -> None:
    """Importing the module, and listing all there is, imports neither torch nor deepface."""
    program = (
        "import sys; from vcmbench import weights; [weights.describe(name) for name in weights.ARTEFACTS]; "
        "print({'torch', 'deepface'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"


# --------------------------------------------------------------------------------------------------------- look-up


def test_folders_are_searched_in_their_order(tmp_path: Path, folder: Path) -> None:
    """Ours first, then torch.hub's, then deepface's."""
    entry = artefact()
    places = [folder, tmp_path / "home/.cache/torch/hub/checkpoints", tmp_path / "home/.deepface/weights"]
    for place in places:
        place.mkdir(parents=True)
        (place / entry.file).write_bytes(BODY)
    for place in places:
        assert weights.find("net", table(entry)) == place / entry.file
        (place / entry.file).unlink()
    assert weights.find("net", table(entry)) is None


@pytest.mark.parametrize(
    "variables",
    [{}, {"XDG_CACHE_HOME": "{0}/cache"}, {"TORCH_HOME": "{0}/torch", "XDG_CACHE_HOME": "{0}"}, {"TORCH_HOME": "~/t"}],
)
def test_the_cache_is_the_one_that_torch_uses(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch.hub downloaded is found, wherever the environment puts it."""
    hub = importlib.import_module("torch.hub")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.format(tmp_path))
    cached = Path(hub.get_dir(), "checkpoints", "net.pth")
    cached.parent.mkdir(parents=True)
    cached.write_bytes(BODY)
    assert weights.find("net", table(artefact())) == cached


def test_the_cache_is_the_one_that_deepface_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What deepface downloaded is found, wherever the environment puts it."""
    pytest.importorskip("deepface")
    homes = importlib.import_module("deepface.commons.folder_utils")
    for home in (tmp_path / "home", tmp_path / "elsewhere"):
        if home.name == "elsewhere":
            monkeypatch.setenv("DEEPFACE_HOME", str(home))
        cached = Path(homes.get_deepface_home(), ".deepface/weights/net.pth")
        cached.parent.mkdir(parents=True)
        cached.write_bytes(BODY)
        assert weights.find("net", table(artefact())) == cached


def test_an_unknown_name_is_told_the_known_ones() -> None:
    """The error lists what there is."""
    with pytest.raises(UsageError, match=r"there are no weights 'vgg19'; there are: vgg16, alexnet, inception"):
        weights.find("vgg19")


def test_what_is_lacking_is_told_with_the_remedy(folder: Path) -> None:
    """Only what is not there is named, once; nothing when all is there."""
    entries = table(artefact(), artefact(name="other"))
    reason = weights.lacking(["net", "other", "net"], entries)
    assert reason == (
        "net.pth (0.26 MB), other.pth (0.26 MB) not on this machine: run `vcmbench weights fetch net other`, "
        "or put them into the folder that VCMBENCH_WEIGHTS names"
    )
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    assert str(weights.lacking(["net", "other"], entries)).startswith("other.pth (0.26 MB) not on this machine: run")
    with pytest.raises(UsageError, match=r"^other\.pth .* fetch other`, or put it into the folder that VCMBENCH_WEIGHTS"):
        weights.verified("other", table=entries)
    (folder / "other.pth").write_bytes(OTHER)
    assert weights.lacking(["net", "other"], entries) is None


# ---------------------------------------------------------------------------------------------------- verification


def test_the_published_file_is_accepted(folder: Path) -> None:
    """By the whole hash, or by the beginning that a file's name publishes."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    for expected in (HASH, HASH[:8]):
        entries = table(artefact(sha256=expected))
        assert weights.verified("net", table=entries) == folder / "net.pth"
        assert weights.published("net", entries) is True
        assert weights.check("net", entries) == f"net: as published, SHA-256 {HASH}, {folder}/net.pth"


def test_another_file_is_refused_unless_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, both hashes and the remedy; a check refuses it even where it may be used."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(OTHER)
    entries = table(artefact())
    message = (
        f"{folder}/net.pth is not the published net: its SHA-256 is {hashlib.sha256(OTHER).hexdigest()} where {HASH} is "
        "published; delete it and run `vcmbench weights fetch net`, or accept it with `unverified_weights: true` or "
        "VCMBENCH_UNVERIFIED_WEIGHTS=1"
    )
    for value in (None, "", "0"):
        if value is not None:
            monkeypatch.setenv(weights.UNVERIFIED, value)
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            weights.verified("net", table=entries)
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        weights.obtain(["net"], progress=False, table=entries)
    assert weights.verified("net", unverified=True, table=entries) == folder / "net.pth"
    weights.obtain(["net"], unverified=True, progress=False, table=entries)
    monkeypatch.setenv(weights.UNVERIFIED, "1")
    assert weights.verified("net", table=entries) == folder / "net.pth"
    assert weights.published("net", entries) is False
    with pytest.raises(UsageError, match="is not the published net"):
        weights.check("net", entries)


def test_a_file_without_a_published_hash_is_accepted_and_named(folder: Path) -> None:
    """Its own hash is what is told; neither a check nor a listing calls it published."""
    folder.mkdir()
    (folder / "net.pth").write_bytes(OTHER)
    entries = table(artefact(sha256=""))
    path = weights.verified("net", table=entries)
    assert weights.published("net", entries) is None
    assert weights.check("net", entries) == f"net: no published hash, SHA-256 {weights.sha256(path)}, {path}"
    assert weights.describe("net", entries).startswith("net: net.pth, 0.26 MB, no published hash, for psnr\n")


def test_a_file_that_changed_is_hashed_again(folder: Path) -> None:
    """The hash of a process's first look does not outlive the file."""
    folder.mkdir()
    path = folder / "net.pth"
    path.write_bytes(BODY)
    assert weights.sha256(path) == HASH
    path.write_bytes(BODY[::-1])
    os.utime(path, ns=(0, 0))
    assert weights.sha256(path) == hashlib.sha256(BODY[::-1]).hexdigest()


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """The error says which file, and why."""
    with pytest.raises(UsageError, match=r"weights/net\.pth cannot be read: No such file or directory"):
        weights.sha256(folder / "net.pth")


def test_a_listing_says_what_a_file_is_for_and_where(folder: Path) -> None:
    """File, size, metrics, origin, licence and place."""
    entries = table(artefact(), artefact(name="other"))
    folder.mkdir()
    (folder / "net.pth").write_bytes(BODY)
    assert weights.describe("net", entries) == f"net: net.pth, 0.26 MB, for psnr\n    here; ours\n    {folder}/net.pth"
    assert weights.describe("other", entries).endswith("\n    not on this machine")
