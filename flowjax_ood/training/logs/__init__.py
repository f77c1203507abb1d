"""Records of a run: events, metrics, TensorBoard files, profiles."""
