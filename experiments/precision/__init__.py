"""The command `precision`: likelihoods in lower precision."""

import argparse

from experiments.core.options import add_workdir

SUMMARY = "measure what lower precision does to the likelihoods of a run"
EPILOG = "--config.KEY=VALUE sets the same keys as in evaluate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `precision`."""
    add_workdir(parser, "directory of the run; its precision.json is replaced")
