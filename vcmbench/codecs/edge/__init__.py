"""The scalable face codec of Yang et al. (2021): a sparse edge map, then key reference points, in one stream."""

from vcmbench.codecs.edge.codec import Edge

__all__ = ["Edge"]
