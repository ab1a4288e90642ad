"""A job file's content, changed by what the command line sets, and checked against its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from vcmbench.config.messages import at, explain, shown
from vcmbench.config.yaml_text import read_yaml
from vcmbench.interfaces import UsageError

File = TypeVar("File", bound=BaseModel)


def read_content(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Read a job file; `overrides` are `key=value` pairs, the key dotted and the value YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the job file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the job file {path} is not text in UTF-8; save it as such") from error
    with at(str(path)):
        content = as_mapping(read_yaml(text))
        for override in overrides:
            _override(content, override)
        return content


def as_mapping(content: object) -> dict[str, Any]:
    """Refuse YAML that holds no keys."""
    if not isinstance(content, dict):
        raise UsageError(f"a job file holds keys and values such as `name: demo`, not {shown(content)}")
    return content


def checked(content: Mapping[str, Any], file: type[File]) -> File:
    """Return the content as a file of this type; raise `UsageError` that names the wrong key."""
    try:
        return file.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain(error, file)) from error


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *parents, last = names = key.split(".")
    if not equals or not all(names):
        raise UsageError(f"--set {override!r} must be key=value, e.g. --set dataset.limit=100")
    section = content
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise UsageError(f"--set {override!r}: {parent} is {shown(section)}, which has no keys")
    with at(f"--set {override!r}"):
        section[last] = read_yaml(text)
