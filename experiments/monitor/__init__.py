"""The command `monitor`: alarms for items that are unusual, or out of context."""

import argparse

from experiments.core.options import add_config, add_workdir

SUMMARY = "train a monitor of scenes in two layers, and measure what each of them sees"
EPILOG = """\
Scenes are outfits: items of clothing that are worn together. Layer 1 is the density of
an item, the classifier's answer and its explanation together; layer 2 the probability
of the answer given the other items. Tested are items of other sets, corrupted items,
and items that two scenes have exchanged; beside them the parts of the joint density,
and baselines. A run that was interrupted goes on where it was.

Writes in DIR results.json, table.md, monitor.html and monitor.png."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `monitor`."""
    add_config(parser, "such as experiments/configs/fashion_mnist_monitor.py:cpu")
    add_workdir(parser, "run directory; an existing run is resumed")
