"""The built-in codecs: one file or folder per family, found by scanning this folder."""

from __future__ import annotations

from vcmbench import registry
from vcmbench.interfaces import Codec


def create(family: str, **params: object) -> Codec:
    """Return one setting of a codec family, e.g. `create("jpeg", quality=10)`.

    Raises `UsageError` for an unknown family and `ParameterError` for an unknown or invalid parameter.
    """
    return registry.codecs.get(family)(**params)
