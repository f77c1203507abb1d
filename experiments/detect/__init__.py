"""The command `detect`: detectors on the features of classifiers."""

import argparse

from experiments.core import distributed
from experiments.core.options import add_config, add_workdir

SUMMARY = (
    "fit detectors to the features of classifiers and compare them with flows, in one "
    "table"
)
EPILOG = """\
Trains the networks in DIR/networks, or restores them. --config.KEY=VALUE
sets any key; --config.detect.flows=DIR,DIR adds trained flows to the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `detect`."""
    add_config(parser, "such as experiments/configs/fashion_mnist_detect.py:smoke")
    add_workdir(parser, "directory of the networks, the table and the figures")
    distributed.add_arguments(parser)
