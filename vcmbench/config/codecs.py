"""A `codecs:` list as settings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from vcmbench import registry
from vcmbench.config.messages import at, shown
from vcmbench.config.yaml_text import read_yaml
from vcmbench.interfaces import Codec, UsageError


def parse_codec(words: str) -> Codec:
    """Return the setting spelled like its variant, e.g. "edge points=122"; raise `UsageError` for anything else."""
    family, *pairs = words.split() or [""]
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"codec {words!r}: {pair!r} must be parameter=value")
        if name in params:
            raise UsageError(f"codec {words!r}: {name} is given twice; keep one")
        with at(f"codec {words!r}"):
            params[name] = read_yaml(value)
    return registry.codecs.get(family)(**params)


def codecs_of(entries: Sequence[object]) -> tuple[Codec, ...]:
    """Return every setting of the list; raises `UsageError` for wrong ones and for one that is there twice."""
    codecs: dict[str, Codec] = {}
    for place, entry in enumerate(entries):
        with at(f"codecs[{place}]"):
            for setting in _settings(entry):
                if setting.variant in codecs:
                    raise UsageError(f"{setting.variant} is asked for twice; remove one")
                codecs[setting.variant] = setting
    return tuple(codecs.values())


def check_settings_shown(variants: Sequence[str], codecs: Sequence[Codec]) -> None:
    """Raise `UsageError` where the report shall show settings that the job has not."""
    known = [codec.variant for codec in codecs]
    for variant in variants:
        if variant not in known:
            raise UsageError(f"report.settings: {variant!r} is no setting of this job; its settings are: {', '.join(known)}")


def _settings(entry: object) -> list[Codec]:
    """Every combination of an entry's listed parameter values, the last one varying fastest."""
    if isinstance(entry, str):
        return [parse_codec(entry)]
    if not isinstance(entry, dict) or len(entry) != 1:
        raise UsageError(f"one codec must stand here, such as `jpeg: {{quality: [4, 10]}}` or `png`, not {shown(entry)}")
    [(family, params)] = entry.items()
    plugin = registry.codecs.get(family)
    if not isinstance(params, dict | None):
        raise UsageError(f"{family} must be followed by its parameters, such as {{quality: [4, 10]}}, not {shown(params)}")
    lists = {str(name): value if isinstance(value, list) else [value] for name, value in (params or {}).items()}
    for name, values in lists.items():
        if not values:
            raise UsageError(f"{family}: {name} is an empty list; give at least one value")
    return [plugin(**dict(zip(lists, values, strict=True))) for values in itertools.product(*lists.values())]
