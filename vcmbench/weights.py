"""The files of pretrained networks: what they are, where they lie, whether they are the published ones, how to get them.

A file is looked up in the folder that the environment variable `VCMBENCH_WEIGHTS` names, then where `torch.hub` keeps its
downloads, then where deepface does. Neither is imported, so that listings and reports start without them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vcmbench import downloads
from vcmbench.interfaces import UsageError

FOLDER = "VCMBENCH_WEIGHTS"
"""Names the folder that is searched first and that downloads go to."""
UNVERIFIED = "VCMBENCH_UNVERIFIED_WEIGHTS"
"""Set to anything but 0, it accepts files whose hash is not the published one."""


@dataclass(frozen=True)
class Artefact:
    """A file that networks are made from."""

    name: str
    file: str
    urls: tuple[str, ...]
    """Where it can be had; the first is asked first."""
    sha256: str
    """Hexadecimal, all of it or its beginning; empty where none is published."""
    size: int
    """Bytes; about so many where nobody states them."""
    licence: str
    source: str
    serves: tuple[str, ...]
    """The metrics that need it."""


Table: TypeAlias = Mapping[str, Artefact]

_TORCHVISION = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are for non-commercial research"
_FACE_ALIGNMENT = "BSD-3-Clause (face-alignment); trained on images that others own"
_BLAZEFACE = "Apache-2.0 (MediaPipe)"

# A file's name publishes the beginning of its hash; all of it is what projects that pin the file agree on. BlazeFace's
# authors publish none: theirs are the hashes of the files as they were downloaded.
ARTEFACTS: Table = {
    artefact.name: artefact
    for artefact in (
        Artefact(
            name="vgg16",
            file="vgg16-397923af.pth",
            urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            size=553_433_881,
            licence=_TORCHVISION,
            source="torchvision's VGG16, IMAGENET1K_V1",
            serves=("perceptual_l", "perceptual_h", "lpips_vgg", "dists"),
        ),
        Artefact(
            name="alexnet",
            file="alexnet-owt-7be5be79.pth",
            urls=("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            size=244_408_911,
            licence=_TORCHVISION,
            source="torchvision's AlexNet, IMAGENET1K_V1",
            serves=("lpips_alex",),
        ),
        Artefact(
            name="inception",
            file="pt_inception-2015-12-05-6726825d.pth",
            urls=(
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            ),
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            size=95_628_359,
            licence="Apache-2.0 (TensorFlow, pytorch-fid); trained on ImageNet, whose terms are for non-commercial research",
            source="TensorFlow's Inception of 2015-12-05, converted by pytorch-fid",
            serves=("fid", "kid"),
        ),
        Artefact(
            name="fan",
            file="2DFAN4-11f355bf06.pth.tar",
            urls=("https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",),
            sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
            size=95_800_000,
            licence=_FACE_ALIGNMENT,
            source="face-alignment's 2D-FAN-4",
            serves=("landmarks",),
        ),
        Artefact(
            name="sfd",
            file="s3fd-619a316812.pth",
            urls=("https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",),
            sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
            size=89_843_225,
            licence=_FACE_ALIGNMENT,
            source="face-alignment's S3FD detector",
            serves=("landmarks", "gender", "identity", "verification"),
        ),
        Artefact(
            name="blazeface",
            file="blazeface.pth",
            urls=("https://github.com/hollance/BlazeFace-PyTorch/blob/master/blazeface.pth?raw=true",),
            sha256="54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4",
            size=420_224,
            licence=_BLAZEFACE,
            source="MediaPipe's BlazeFace detector for front cameras, converted by BlazeFace-PyTorch",
            serves=("landmarks", "gender", "identity", "verification"),
        ),
        Artefact(
            name="blazeface_anchors",
            file="anchors.npy",
            urls=("https://github.com/hollance/BlazeFace-PyTorch/blob/master/anchors.npy?raw=true",),
            sha256="a10bb2fb93ab54ca426d6c750bfc3aad685028a16dcf231357d03694f261fd95",
            size=28_800,
            licence=_BLAZEFACE,
            source="the anchor boxes of blazeface",
            serves=("landmarks", "gender", "identity", "verification"),
        ),
        Artefact(
            name="gender",
            file="gender_model_weights.pth",
            urls=(
                "https://github.com/serengil/deepface_models/releases/download/v1.0/gender_model_weights.pth",
                "https://huggingface.co/serengil/deepface/resolve/main/gender_model_weights.pth",
            ),
            sha256="",
            size=537_100_000,
            licence="CC BY-NC (Oxford VGG), as the VGG-Face that it was trained from; MIT (DeepFace) for the code",
            source="DeepFace's gender classifier",
            serves=("gender",),
        ),
        Artefact(
            name="arcface",
            file="arcface_weights.pth",
            urls=(
                "https://github.com/serengil/deepface_models/releases/download/v1.0/arcface_weights.pth",
                "https://huggingface.co/serengil/deepface/resolve/main/arcface_weights.pth",
            ),
            sha256="",
            size=136_800_000,
            licence="MIT (Keras_insightface, as DeepFace states); trained on CASIA-WebFace, which is for research",
            source="Keras_insightface's ArcFace with ResNet-34, converted by DeepFace",
            serves=("identity", "verification"),
        ),
        Artefact(
            name="facenet512",
            file="facenet512_weights.pth",
            urls=(
                "https://github.com/serengil/deepface_models/releases/download/v1.0/facenet512_weights.pth",
                "https://huggingface.co/serengil/deepface/resolve/main/facenet512_weights.pth",
            ),
            sha256="",
            size=94_300_000,
            licence="MIT (David Sandberg's facenet, as DeepFace states)",
            source="facenet's Inception-ResNet v1 with 512 outputs, converted by DeepFace",
            serves=("identity", "verification"),
        ),
    )
}


# --------------------------------------------------------------------------------------------------------- look-up


def find(name: str, table: Table = ARTEFACTS) -> Path | None:
    """Return where the file lies on this machine, unread; None where it does not."""
    file = _artefact(name, table).file
    return next((folder / file for folder in _folders() if (folder / file).is_file()), None)


def verified(name: str, *, unverified: bool = False, table: Table = ARTEFACTS) -> Path:
    """Return where the published file lies; if `unverified`, or where no hash is published, any file of that name.

    Raises `UsageError` with the remedy where it is not on this machine, cannot be read or is not the published one.
    """
    path = _required(name, table)
    if not unverified and os.environ.get(UNVERIFIED, "0") in ("", "0") and published(name, table) is False:
        raise UsageError(_not_published(path, table[name]))
    return path


def published(name: str, table: Table = ARTEFACTS) -> bool | None:
    """Whether the file on this machine is the published one; None where no hash is published, or there is no file."""
    expected, path = _artefact(name, table).sha256, find(name, table)
    return sha256(path).startswith(expected) if expected and path else None


def lacking(names: Iterable[str], table: Table = ARTEFACTS) -> str | None:
    """Say which of the files are not on this machine, and the remedy; None where all are. No file is read."""
    missing = _absent(names, table)
    return _missing(missing, table) if missing else None


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal, computed once a process; raises `UsageError` where it cannot be read."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


@functools.cache
def _sha256(path: Path, size: int, changed: int) -> str:  # noqa: ARG001  # another size or time means another file
    return downloads.sha256(path)


def _required(name: str, table: Table) -> Path:
    path = find(name, table)
    if path is None:
        raise UsageError(_missing([name], table))
    return path


def _artefact(name: str, table: Table) -> Artefact:
    if name not in table:
        raise UsageError(f"there are no weights {name!r}; there are: {', '.join(table)}")
    return table[name]


def _absent(names: Iterable[str], table: Table) -> list[str]:
    return [name for name in dict.fromkeys(names) if find(name, table) is None]


def _folders() -> Iterator[Path]:
    if folder := os.environ.get(FOLDER):
        yield Path(folder).expanduser()
    yield _torch_hub()
    yield Path(os.environ.get("DEEPFACE_HOME", "~")).expanduser() / ".deepface" / "weights"


def _torch_hub() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def _missing(names: list[str], table: Table) -> str:
    files = ", ".join(f"{table[name].file} ({_megabytes(table[name].size)})" for name in names)
    them = "it" if len(names) == 1 else "them"
    return f"{files} not on this machine: run `{_fetch(names)}`, or put {them} into the folder that {FOLDER} names"


def _not_published(path: Path, artefact: Artefact) -> str:
    return (
        f"{path} is not the published {artefact.name}: its SHA-256 is {sha256(path)} where {artefact.sha256} is published; "
        f"delete it and run `{_fetch([artefact.name])}`, or accept it with `unverified_weights: true` or {UNVERIFIED}=1"
    )


def _fetch(names: list[str]) -> str:
    return f"vcmbench weights fetch {' '.join(names)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size < 1e6 else f"{size / 1e6:.0f} MB"


# -------------------------------------------------------------------------------------------------------- downloads


def obtain(names: Iterable[str], *, unverified: bool = False, progress: bool = True, table: Table = ARTEFACTS) -> None:
    """Download the files that are not on this machine, and verify the others.

    They go to the folder that `VCMBENCH_WEIGHTS` names, or else where `torch.hub` keeps its own. A download must be the
    published file, whether `unverified` or not. A file that no server gives does not keep the others from coming; but where
    the first server cannot even be connected to, no other is tried.

    Raises `UsageError`, which says what could not be had and the remedy.
    """
    names = list(names)
    missing = _absent(names, table)
    _download(missing, next(_folders()), table, progress=progress)
    for name in names:
        if name not in missing:
            verified(name, unverified=unverified, table=table)


def _download(names: list[str], folder: Path, table: Table, *, progress: bool) -> None:
    connected = False
    failures = []
    for name in names:
        target = folder / table[name].file
        try:
            downloads.download(table[name].urls, target, table[name].sha256, progress=progress)
            connected = True
        except downloads.NoConnection as error:
            if not connected:
                remedy = f"run `{_fetch(names)}` on a machine with a network, and copy the files into {folder}"
                raise downloads.NoConnection(f"{error}; {remedy}") from error
            failures.append(str(error))
        except downloads.DownloadError as error:
            connected = True
            failures.append(str(error))
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}; {FOLDER} can name another folder") from error
    if failures:
        raise downloads.DownloadError(f"{'; '.join(failures)}; try again later, or put the files into {folder}")


# ------------------------------------------------------------------------------------------------ the command line


def describe(name: str, table: Table = ARTEFACTS) -> str:
    """Say in three lines what the file is for, whose it is, and whether it is on this machine. It is not read."""
    artefact = _artefact(name, table)
    hashed = "" if artefact.sha256 else ", no published hash"
    return (
        f"{name}: {artefact.file}, {_megabytes(artefact.size)}{hashed}, for {', '.join(artefact.serves)}\n"
        f"    {artefact.source}; {artefact.licence}\n"
        f"    {find(name, table) or 'not on this machine'}"
    )


def check(name: str, table: Table = ARTEFACTS) -> str:
    """Say what the file on this machine is, by its hash.

    Raises `UsageError` where it is missing or not the published one, even if the environment accepts such.
    """
    path = _required(name, table)
    standing = published(name, table)
    if standing is False:
        raise UsageError(_not_published(path, table[name]))
    return f"{name}: {'as published' if standing else 'no published hash'}, SHA-256 {sha256(path)}, {path}"
