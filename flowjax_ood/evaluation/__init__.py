"""A trained model over a whole set, to one number per example."""
