"""YAML as people mean it: version 1.2's numbers, no dates, and no key twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

from vcmbench.interfaces import UsageError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, no dates, and no key twice.

    YAML 1.1 reads `4:4:4` as 14644 in base 60 and `010` as 8, and PyYAML keeps the last of two equal keys.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        mapping = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key {key.value!r} stands here a second time; keep one"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return mapping


_YAML_1_1 = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _YAML_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def read_yaml(text: str) -> Any:
    """Parse YAML with the number rules of YAML 1.2; raise `UsageError` that names the line."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        malformed = isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError)
        remedy = "; check the indentation (spaces, no tabs), quotes and brackets" if malformed else ""
        problem = ": ".join(filter(None, (error.context, error.problem)))
        raise UsageError(f"{place}{problem}{remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"not YAML: {' '.join(str(error).split())}") from error
