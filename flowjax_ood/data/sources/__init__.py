"""Sources of data sets, each in a file of its name."""
