"""The command `federated`: clients with few classes, and outliers for their heads."""

import argparse

from experiments.core.options import add_config, add_workdir

SUMMARY = "train clients that know a few classes each, with outliers of unseen classes"
EPILOG = """\
Clients share a LeNet and no images, and each has a few classes. What the others know is
out of distribution for it. Rows of the table: clients alone, federated averaging with
one head and with heads of their own, and heads that learned to be unsure of outliers
made in feature space: from the tails of a client's own classes, by a generator of
unseen classes (FOSTER), or of real images that no client may see. Differences to heads
without outliers are paired by client.

Writes in DIR results.json, table.md, federated.html and federated.png. Interrupted, the
same command goes on after the last whole round."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `federated`."""
    add_config(parser, "config of clients, such as fashion_mnist_federated.py:cpu")
    add_workdir(parser, "directory of the run; one that is there is gone on with")
