"""Finding codecs by name: the built-in folder, installed plug-ins, and what is said when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vcmbench import registry
from vcmbench.codecs import create
from vcmbench.interfaces import Codec, UsageError
from vcmbench.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PLUG_IN = """
from vcmbench.codecs.png import Png

class Acme(Png):
    family = "{family}"
    summary = "PNG under another name"

def make():
    return Acme()
"""

Install = Callable[..., Registry[Codec]]


def write_distribution(folder: Path, name: str, source: str, target: str) -> None:
    """Lay out a distribution as an installer does: a module, and metadata with an entry point at `name:target`."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[vcmbench.codecs]\n{name} = {name}:{target}\n")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution for the length of the test, and return a registry that has not looked yet."""

    def install_and_look(name: str, source: str, target: str = "Acme") -> Registry[Codec]:
        write_distribution(tmp_path, name, source, target)
        monkeypatch.syspath_prepend(tmp_path)
        return replace(registry.codecs)

    return install_and_look


# -------------------------------------------------------------------------------------------------------- built in


def test_built_in_codecs_are_found_in_their_folder() -> None:
    """Every concrete class of the folder is known by its family, sorted; shared base classes are not."""
    classes = registry.codecs.classes
    assert list(classes) == sorted(classes)
    assert {"avif", "downscale", "jpeg", "jpeg2000", "png", "webp"} <= set(classes)
    assert all(name == found.family for name, found in classes.items())
    assert "PillowCodec" not in {found.__name__ for found in classes.values()}


def test_a_folder_within_is_known_by_what_it_names() -> None:
    """The class that a sub-package's `__init__` names is found, and what else lies there is not imported: it needs torch."""
    listing = (
        "import sys; from vcmbench.registry import codecs; print(codecs.get('edge').__module__, 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["vcmbench.codecs.edge.codec", "False"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    """The error has the wrong name, the closest known one, and all of them."""
    with pytest.raises(UsageError, match=r"unknown codec 'jpg' \(did you mean 'jpeg'\?\); known: avif, .*webp"):
        create("jpg")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    """A suggestion is made only where one is close."""
    with pytest.raises(UsageError, match=r"unknown codec 'qqqq'; known: "):
        create("qqqq")


@pytest.mark.parametrize("family", list(registry.codecs.classes))
def test_a_class_is_found_by_its_spelling(family: str) -> None:
    """A worker loads from `module:Class` what the registry found."""
    found = registry.codecs.get(family)
    assert registry.load(registry.spell(found)) is found


# --------------------------------------------------------------------------------------------------------- plug-ins


def test_an_installed_plug_in_is_found(install: Install) -> None:
    """A class named by an entry point codes like a built-in one, and the built-in ones stay."""
    codecs = install("acme_found", PLUG_IN.format(family="acme"))
    codec = codecs.get("acme")()
    image = np.zeros((3, 4, 3), np.uint8)
    assert np.array_equal(codec.decode(codec.encode(image)), image)
    assert registry.spell(type(codec)) == "acme_found:Acme"
    assert "jpeg" in codecs.classes


def test_the_contract_suite_takes_an_installed_plug_in(tmp_path: Path) -> None:
    """Installing a plug-in is all it takes to run the contract suite on it."""
    write_distribution(tmp_path, "acme_contract", PLUG_IN.format(family="acme"), "Acme")
    child = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_codec_contract.py", "-k", "acme", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stdout
    assert " passed" in child.stdout


def test_a_used_name_is_refused(install: Install) -> None:
    """Two classes of one name are both spelled, so that the user knows which to remove."""
    codecs = install("acme_twice", PLUG_IN.format(family="jpeg"))
    with pytest.raises(UsageError, match=r"codec 'jpeg': vcmbench\.codecs\.jpeg:Jpeg and acme_twice:Acme"):
        codecs.get("png")


@pytest.mark.parametrize(
    ("name", "source", "target", "message"),
    [
        ("acme_import", "import no_such_module", "Acme", "cannot be loaded: No module named 'no_such_module'"),
        ("acme_raises", "1 / 0", "Acme", "cannot be loaded: division by zero"),
        ("acme_lacks", "", "Acme", "cannot be loaded: .*Acme"),
        ("acme_other", PLUG_IN.format(family="acme"), "make", "is not a Codec class"),
        ("acme_abstract", "from vcmbench.interfaces import Codec as Acme", "Acme", "is not a Codec class"),
    ],
)
def test_a_broken_plug_in_is_named(install: Install, name: str, source: str, target: str, message: str) -> None:
    """A plug-in that cannot be imported, or is no codec, is an error with its entry point and the reason."""
    codecs = install(name, source, target)
    with pytest.raises(UsageError, match=f"'{name}:{target}'.*{message}"):
        codecs.get("jpeg")
