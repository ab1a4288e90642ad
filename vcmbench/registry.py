"""Name → class, for codecs, metrics and data sets.

Built-in classes are found by scanning their folder, so a new one is one new file; third parties register theirs
through the entry points `vcmbench.codecs`, `vcmbench.metrics` and `vcmbench.datasets`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from vcmbench.interfaces import Codec, Dataset, Metric, UsageError

Plugin = TypeVar("Plugin")


@dataclass(frozen=True)
class Registry(Generic[Plugin]):
    """The known classes of one contract, looked up by the class attribute that names them."""

    contract: type[Plugin]
    noun: str
    package: str
    naming: str

    @cached_property
    def classes(self) -> Mapping[str, type[Plugin]]:
        """Every known class by its name; an entry point that cannot be loaded or takes a used name raises `UsageError`."""
        found: dict[str, type[Plugin]] = {}
        for candidate in [*self._built_in(), *self._third_party()]:
            name = getattr(candidate, self.naming)
            if name in found:
                both = f"{spell(found[name])} and {spell(candidate)}"
                raise UsageError(f"two classes call themselves {self.noun} {name!r}: {both}; uninstall one")
            found[name] = candidate
        return dict(sorted(found.items()))

    def get(self, name: str) -> type[Plugin]:
        """Return the class of that name; an unknown name raises `UsageError` that lists the known ones."""
        if name not in self.classes:
            close = difflib.get_close_matches(str(name), self.classes, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"unknown {self.noun} {name!r}{hint}; known: {', '.join(self.classes)}")
        return self.classes[name]

    def _built_in(self) -> list[type[Plugin]]:
        """The classes that the folder's modules define; of a sub-folder, those that its `__init__` names.

        What else is in a sub-folder is not imported: it may need torch, which a codec process does without.
        """
        package = importlib.import_module(self.package)
        modules = [
            importlib.import_module(info.name) for info in pkgutil.iter_modules(package.__path__, prefix=f"{self.package}.")
        ]
        return [
            candidate
            for module in modules
            for candidate in vars(module).values()
            if self._is_concrete(candidate) and f"{candidate.__module__}.".startswith(f"{module.__name__}.")
        ]

    def _third_party(self) -> list[type[Plugin]]:
        loaded: list[type[Plugin]] = []
        for entry in entry_points(group=self.package):
            try:
                candidate = entry.load()
            except Exception as error:  # a plug-in may fail in any way; its name must reach the user
                raise UsageError(f"the plug-in {entry.value!r} ({self.package}) cannot be loaded: {error}") from error
            if not self._is_concrete(candidate):
                raise UsageError(f"the plug-in {entry.value!r} ({self.package}) is not a {self.contract.__name__} class")
            loaded.append(candidate)
        return loaded

    def _is_concrete(self, candidate: Any) -> bool:
        return inspect.isclass(candidate) and issubclass(candidate, self.contract) and not inspect.isabstract(candidate)


codecs: Registry[Codec] = Registry(Codec, "codec", "vcmbench.codecs", "family")  # type: ignore[type-abstract]  # a contract is abstract
metrics: Registry[Metric] = Registry(Metric, "metric", "vcmbench.metrics", "name")  # type: ignore[type-abstract]  # a contract is abstract
datasets: Registry[Dataset] = Registry(Dataset, "data set", "vcmbench.datasets", "kind")  # type: ignore[type-abstract]  # a contract is abstract


def spell(plugin: type[Any]) -> str:
    """Return the class as `module:Class`, which a worker can load without any registry."""
    return f"{plugin.__module__}:{plugin.__qualname__}"


def load(spelling: str) -> type[Any]:
    """Return the class spelled `module:Class`."""
    module, _, name = spelling.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]  # whatever the module holds
