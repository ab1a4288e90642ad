"""A run's images as pictures, each checked against what was stored.

Originals are read again. Bitstreams that the run has kept are decoded; where there are none, the originals are coded again.

Nothing here ends a report. What cannot be had is a reason in place of a picture, and a picture that is not the one whose
values the run holds says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vcmbench import registry
from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.interfaces import Codec, Dataset, Image, content_hash
from vcmbench.reports.image_rows import StoredImages
from vcmbench.reports.kept_bitstreams import Lost
from vcmbench.run_index import SettingRecord

NO_ORIGINAL = "there is no original to code"
TOLD = 12
"""Problems that are named one by one."""


@dataclass(frozen=True)
class Showing:
    """That a report shows images, where these come from, and which ones and which settings its figures are of.

    `image_names` are as in the manifest and `settings` are variants; empty ones are chosen by the report. `warn` is told, in
    one line each, what is not as stored.
    """

    dataset: Dataset
    preparation: Preparation
    feature_images: int
    """Of so many images, the first of the manifest, the run stores landmarks."""
    image_names: tuple[str, ...]
    settings: tuple[str, ...]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Picture:
    """An image (H×W×3 uint8) with what is different from the stored one, or None with the reason."""

    image: Image | None
    problem: str = ""


def original(stored: StoredImages, showing: Showing, name: str) -> Picture:
    """Read and prepare an image again."""
    row = stored.manifest.get(name)
    if row is None:
        return Picture(None, "the run has no image of this name")
    try:
        image = prepare(showing.dataset.read(row["path"]), _box(row), showing.preparation).image
    except Exception as error:  # noqa: BLE001  # a plug-in or a damaged file may raise anything
        return Picture(None, f"the image cannot be read: {_words(error)}")
    hashes = {each["source_hash"] for (other, _), each in stored.rows.items() if other == name} - {None}
    return Picture(image, "" if hashes <= {_hash_of(image)} else "the image is not the one that was coded")


def decoded(stored: StoredImages, name: str, image: Image | None, settings: Sequence[SettingRecord]) -> dict[str, Picture]:
    """Decode an image's kept bitstreams, or code the prepared image again; return a picture for each setting's key.

    An image × setting that failed in the run is not tried again: the codec may hang, or end this process.
    """
    pictures: dict[str, Picture] = {}
    families: dict[type[Codec], list[_Again]] = {}
    kept = _kept(stored, name, settings)
    for setting in settings:
        row = stored.rows.get((name, setting.key))
        if row is None:
            pictures[setting.key] = Picture(None, "the run has no result of this image yet")
        elif row["status"] == "error":
            pictures[setting.key] = Picture(None, f"failed in the run: {_line(row['error'] or 'no reason was stored')}")
        else:
            bitstream = kept.get(setting.key)
            try:
                codec = registry.codecs.get(setting.family)(**setting.params)
                again = _Again(setting, codec, row, _loss(bitstream))
                if isinstance(bitstream, bytes):
                    pictures[setting.key] = _decode(again, bitstream, (row["height"], row["width"], 3))
                elif image is None:
                    pictures[setting.key] = Picture(None, "; ".join(filter(None, (again.loss, NO_ORIGINAL))))
                else:
                    families.setdefault(type(codec), []).append(again)
            except Exception as error:  # noqa: BLE001  # a codec may raise anything
                pictures[setting.key] = Picture(None, _words(error))
    for family in families.values():
        pictures |= _code_family(image, family) if image is not None else {}
    return pictures


def _kept(stored: StoredImages, name: str, settings: Sequence[SettingRecord]) -> Mapping[str, bytes | Lost]:
    """The image's bitstreams that the run has kept, or should have, by setting's key."""
    rows = {setting.key: stored.rows.get((name, setting.key), {}) for setting in settings}
    hashes = {key: row["bitstream_hash"] for key, row in rows.items() if row.get("bitstream_hash")}
    if stored.bitstreams is None or not hashes:
        return {}
    return stored.bitstreams.of(stored.manifest[name]["shard"], name, hashes)


def _loss(bitstream: bytes | Lost | None) -> str:
    return f"the kept bitstream cannot be used ({bitstream.reason})" if isinstance(bitstream, Lost) else ""


def told(problems: Iterable[tuple[str, str]]) -> list[str]:
    """Return one sentence for each different pair of a name and its problem, and how often it is there; at most 12.

    What only follows from an original's problem is left out.
    """
    counts = Counter((name, problem) for name, problem in problems if problem != NO_ORIGINAL)
    sentences = [f"{name}: {problem} (pictures: {count})" for (name, problem), count in counts.items()]
    more = len(sentences) - TOLD
    return [*sentences[:TOLD], f"and {more} more"] if more > 0 else sentences


@dataclass(frozen=True)
class _Again:
    """A setting that an image is coded with again, and what it came to before."""

    setting: SettingRecord
    codec: Codec
    row: Mapping[str, Any]
    loss: str = ""
    """What became of the bitstream that the run has kept."""


def _code_family(image: Image, family: Sequence[_Again]) -> dict[str, Picture]:
    """Code an image with settings that share its analysis; if one of them fails, with each alone."""
    try:
        bitstreams = type(family[0].codec).encode_many(image, [again.codec for again in family])
        return {
            each.setting.key: _decode(each, stream, image.shape) for each, stream in zip(family, bitstreams, strict=True)
        }
    except Exception as error:  # noqa: BLE001  # a codec may raise anything
        if len(family) == 1:
            return {family[0].setting.key: Picture(None, _told(family[0], _words(error)))}
    return {key: picture for each in family for key, picture in _code_family(image, [each]).items()}


def _decode(again: _Again, bitstream: bytes, shape: tuple[int, ...]) -> Picture:
    """Decode a bitstream, which raises what the codec raises, and compare it and its picture with the stored hashes."""
    picture = again.codec.decode(bitstream)
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != shape:
        return Picture(None, _told(again, "what was decoded is not an image of the original's size"))
    if content_hash(bitstream) != again.row["bitstream_hash"]:
        return Picture(picture, _told(again, f"the bitstream is not the stored one{_change(again)}"))
    if _hash_of(picture) != again.row["decoded_hash"]:
        problem = f"the bitstream is the stored one, but decodes to other pixels{_change(again)}"
        return Picture(picture, _told(again, problem))
    return Picture(picture, _told(again))


def _told(again: _Again, problem: str = "") -> str:
    """A problem after the loss of the kept bitstream, which was the reason to code again."""
    return "; ".join(filter(None, (again.loss and f"{again.loss}, so that it was coded again", problem)))


def _change(again: _Again) -> str:
    before, now = again.setting.backend, again.codec.backend()
    return "" if before == now else f" (then {before}; now {now})"


def _box(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    sides = row["box_x"], row["box_y"], row["box_width"], row["box_height"]
    return None if any(side is None for side in sides) else sides


def _words(error: Exception) -> str:
    """An error in one line; of the system's, only what it says, since the path that it names is this machine's."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _line(text) or type(error).__name__


def _line(text: str) -> str:
    return " ".join(text.split())


def _hash_of(image: Image) -> str:
    return content_hash(np.ascontiguousarray(image).data)
