"""Verification: whether a face recogniser still tells people apart when the images are coded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vcmbench.interfaces import Column, Extractor, Parameter, SetMetric, Setup, StoredFeature
from vcmbench.metrics.face_crops import PACKAGES, REQUIRES, weight_names
from vcmbench.metrics.faces import PARAMETERS as BOX_PARAMETERS
from vcmbench.metrics.identity import LENGTH, PARAMETERS, embedding
from vcmbench.metrics.networks import network_identity


class Verification(SetMetric):
    """The true-accept rate at a fixed false-accept rate, over the pairs of a data set with several photos of each person."""

    name = "verification"
    summary = "how often two photos of a person are recognised as one (TAR), where two people rarely are (fixed FAR)"
    version = "1"
    kind = "machine"
    set_columns: ClassVar[Mapping[str, Column]] = {
        "tar_at_far_1e_2": Column("TAR at FAR 1 %", "higher", limits=(0, 1)),
        "tar_at_far_1e_3": Column("TAR at FAR 0.1 %", "higher", limits=(0, 1)),
    }
    value = "vcmbench.reports.set_metrics:verification"
    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    requires: ClassVar[Mapping[str, str]] = REQUIRES

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        super().__init__(setup, **params)
        self.embedding = embedding(self.params, self.setup)
        self.weights = weight_names(str(self.params["network"]), self.embedding.boxes)

    @property
    def feature(self) -> StoredFeature:
        """The embedding, named after its network and after what else differs from the defaults."""
        boxes = [str(self.params[name]) for name, box in BOX_PARAMETERS.items() if self.params[name] != box.default]
        return StoredFeature("_".join(["embedding", str(self.params["network"]), *boxes]), LENGTH, self.embedding)

    @property
    def extractors(self) -> tuple[Extractor[Any], ...]:  # type: ignore[override]  # as in `SetMetric`
        """The face boxes of the originals, which every setting asks for, and the embedding."""
        return (self.embedding.boxes, self.embedding)

    @property
    def identity(self) -> dict[str, object]:
        """The weights, the packages and the precision, besides name, version and parameters."""
        return {**super().identity, **network_identity(self.setup, self.weights, PACKAGES)}
