"""Outliers made of training data, to choose settings by without an OOD set."""
