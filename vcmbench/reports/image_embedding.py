"""Pictures for a page that makes no request: lossless, as data URIs, as many as a page can carry."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import PIL.Image

from vcmbench.feature_tables import ORIGINAL
from vcmbench.interfaces import Image
from vcmbench.reports.image_rows import StoredImages
from vcmbench.reports.pictures import Picture, Showing, decoded, original
from vcmbench.run_index import SettingRecord

LARGEST_PAGE = 14_000_000
"""Bytes of all pictures together, as they stand in the page."""

MOST_PAIRS = 120
"""Pairs of pictures; each is coded again, which some codecs take a second for."""


@dataclass(frozen=True)
class Pair:
    """One image under the two settings that are compared."""

    image: str
    settings: tuple[SettingRecord, SettingRecord]


@dataclass(frozen=True)
class Embedded:
    """Data URIs, and what is wrong with pictures, by image and setting's key (`feature_tables.ORIGINAL` of the original)."""

    pictures: Mapping[tuple[str, str], str]
    problems: Mapping[tuple[str, str], str]
    pairs: int
    """How many pairs the page took."""


def embed(stored: StoredImages, showing: Showing, pairs: Sequence[Pair]) -> Embedded:
    """Make the pictures of these pairs, the first ones first, until they fill the page."""
    pictures: dict[tuple[str, str], str] = {}
    problems: dict[tuple[str, str], str] = {}
    size = 0
    for number, pair in enumerate(pairs):
        if size > LARGEST_PAGE:
            return Embedded(pictures, problems, number)
        for key, picture in _made(stored, showing, pair, pictures.keys() | problems.keys()).items():
            if picture.problem:
                problems[pair.image, key] = picture.problem
            if picture.image is not None:
                pictures[pair.image, key] = data_uri(picture.image)
                size += len(pictures[pair.image, key])
    return Embedded(pictures, problems, len(pairs))


def _made(stored: StoredImages, showing: Showing, pair: Pair, done: Collection[tuple[str, str]]) -> Mapping[str, Picture]:
    """The pair's pictures that are not done yet, and with them the original's, by setting's key."""
    missing = [setting for setting in pair.settings if (pair.image, setting.key) not in done]
    if not missing:
        return {}
    first = original(stored, showing, pair.image)
    made = decoded(stored, pair.image, first.image, missing)
    return made if (pair.image, ORIGINAL) in done else {ORIGINAL: first, **made}


def data_uri(image: Image) -> str:
    """Return an image (H×W×3 uint8) as lossless WebP."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
