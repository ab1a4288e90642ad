"""Training of the edge codec's decoder: from a data set's pictures to weights."""
