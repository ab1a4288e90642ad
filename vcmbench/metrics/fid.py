"""FID: the Fréchet Inception distance of Heusel et al. (NeurIPS 2017), as pytorch-fid computes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vcmbench.interfaces import Column, SetMetric, StoredFeature
from vcmbench.metrics.inception import PACKAGES, REQUIRES, WEIGHTS, inception_feature
from vcmbench.metrics.networks import network_identity


class Fid(SetMetric):
    """The Fréchet distance between normal distributions fitted to the Inception features of originals and decoded images."""

    name = "fid"
    summary = "Fréchet Inception distance of the decoded images, as a set, from the originals"
    version = "1"
    kind = "human"
    set_columns: ClassVar[Mapping[str, Column]] = {"fid": Column("FID", "lower", limits=(0, None))}
    value = "vcmbench.reports.set_metrics:fid"
    requires: ClassVar[Mapping[str, str]] = REQUIRES
    weights = WEIGHTS

    @property
    def feature(self) -> StoredFeature:
        """Inception's feature, shared with KID."""
        return inception_feature(self.setup)

    @property
    def identity(self) -> dict[str, object]:
        """The weights, the packages and the precision, besides name and version."""
        return {**super().identity, **network_identity(self.setup, WEIGHTS, PACKAGES)}
