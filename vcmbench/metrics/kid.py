"""KID: the kernel Inception distance of Bińkowski, Sutherland, Arbel and Gretton (ICLR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vcmbench.interfaces import Column, SetMetric, StoredFeature
from vcmbench.metrics.inception import PACKAGES, REQUIRES, WEIGHTS, inception_feature
from vcmbench.metrics.networks import network_identity


class Kid(SetMetric):
    """The squared maximum mean discrepancy of Inception's features, of the originals and of the decoded images."""

    name = "kid"
    summary = "kernel Inception distance of the decoded images, as a set, from the originals, with its error"
    version = "1"
    kind = "human"
    set_columns: ClassVar[Mapping[str, Column]] = {"kid": Column("KID", "lower")}
    value = "vcmbench.reports.set_metrics:kid"
    requires: ClassVar[Mapping[str, str]] = REQUIRES
    weights = WEIGHTS

    @property
    def feature(self) -> StoredFeature:
        """Inception's feature, shared with FID."""
        return inception_feature(self.setup)

    @property
    def identity(self) -> dict[str, object]:
        """The weights, the packages and the precision, besides name and version."""
        return {**super().identity, **network_identity(self.setup, WEIGHTS, PACKAGES)}
