"""The command `reconstruct`: volumes from views, with a certificate."""

import argparse

from experiments.core.options import add_config, add_workdir

SUMMARY = "reconstruct volumes from their views, certify pairs, and adapt to new optics"
EPILOG = """\
Stacks images to volumes, and makes of each what a light-field microscope would see of
it. A conditional wavelet flow learns log p(volume | views): it reconstructs volumes,
and its likelihood, as a p-value, says whether a volume and its views belong together as
those of training do. Measured on pairs with other contents, other optics, more noise or
views of another volume, beside a closed-form Gaussian and likelihoods of volumes alone.
Then a stream whose optics change: when a monitor rings, and what a few new pairs mend.

A run that was interrupted goes on by the same command. Writes in DIR results.json,
table.md, reconstruct.html and reconstruct.png."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `reconstruct`."""
    add_config(parser, "a config with the section light_field")
    add_workdir(parser, "directory of the run")
