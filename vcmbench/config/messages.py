"""What is said of a wrong job file: the key, what it must be, and what it is."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from vcmbench.interfaces import UsageError


@contextmanager
def at(where: str) -> Iterator[None]:
    """Begin an error's message with where it belongs."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def explain(error: ValidationError, file: type[BaseModel]) -> str:
    """The problem nearest to the root as one line; an unknown key comes first, since it may be a missing one misspelled."""
    problem = min(error.errors(), key=lambda entry: (entry["type"] != "extra_forbidden", len(entry["loc"])))
    known = file.model_fields
    keys: list[str] = []
    wanted: str | None = None
    for part in problem["loc"]:
        keys.append(str(part))
        if keys[-1] not in known:
            return unknown(keys, list(known), file)
        wanted = known[keys[-1]].description
        section = _nested(known[keys[-1]])
        if section is None:  # the rest names the branches of a type
            break
        known = section.model_fields
    where = ".".join(keys)
    if problem["type"] == "missing":
        return f"the key {where} is missing; it must be {wanted}"
    return f"{where} must be {wanted}, not {shown(problem['input'])}{_remedy(problem)}"


def explain_option(problem: ErrorDetails, key: str, kind: str) -> str:
    """A problem with one of a data set's own options as one line."""
    if problem["type"] == "value_error":  # raised by the data set itself
        return f"{key}: {problem['ctx']['error']}"
    where = f"{key}.{problem['loc'][0]}"
    if problem["type"] == "missing":
        return f"the key {where} is missing; a data set of kind {kind} needs it"
    wanted = problem["msg"].removeprefix("Input should be ")
    return f"{where} must be {wanted}, not {shown(problem['input'])}{_remedy(problem)}"


def _remedy(problem: ErrorDetails) -> str:
    looks_like_a_number = problem["type"] == "string_type" and isinstance(problem["input"], int | float)
    return "; write it in quotes" if looks_like_a_number else ""


def unknown(keys: Sequence[str], known: Sequence[str], file: type[BaseModel]) -> str:
    """A key that is not known, with the one that may be meant."""
    *parents, name = keys
    elsewhere = [path for path in _paths(file) if path.rpartition(".")[2] == name]
    beside = [".".join([*parents, close]) for close in difflib.get_close_matches(name, known, n=1)]
    hint = f" (did you mean {(elsewhere + beside)[0]}?)" if elsewhere + beside else ""
    return f"unknown key {'.'.join(keys)}{hint}; known here: {', '.join(known)}"


def _paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a section and the ones in it, dotted."""
    for name, field in section.model_fields.items():
        yield prefix + name
        nested = _nested(field)
        if nested is not None:
            yield from _paths(nested, f"{prefix}{name}.")


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def shown(value: object) -> str:
    """A value as it would stand in YAML, shortened."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else reprlib.repr(value)
