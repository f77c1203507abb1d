"""The command `steal`: what a copy of a classifier learns from its answers."""

import argparse

from experiments.core.options import add_config, add_workdir

SUMMARY = "train diverse members, copy them by their answers, detect by disagreement"
EPILOG = """\
Trains some classifiers apart, and trains them further to differ on outliers made of
training images. One of them answers each query. An attacker trains a clone on the
answers to images of another set; the table says how good it gets, against one network
and against members without diversity. The same members detect outliers by disagreement,
beside a Gaussian of pixels.

This is no security guarantee: rows of an attacker who averages answers, or who has
images like the training data, are in the table.

Writes in DIR results.json, table.md, steal.html and steal.png. Run again, it goes
on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `steal`."""
    add_config(parser, "experiments/configs/fashion_mnist_steal.py, say, with :cpu")
    add_workdir(parser, "directory of the run")
