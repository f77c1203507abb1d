"""The command `ablate`: a grid of runs over several seeds."""

import argparse

from experiments.core.options import add_config, add_workdir

SUMMARY = "train and evaluate every row of a grid over several seeds, in one table"
EPILOG = """\
The section `ablate` of the config (seeds, grids) lists the runs. Started again, the
command resumes; several processes with the same --workdir share the runs.
--config.KEY=VALUE sets any key of all runs, and ablate.seeds:
  --config.ablate.seeds=0,1,2,3,4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ablate`."""
    add_config(parser, "such as experiments/configs/fashion_mnist_ablation.py:smoke")
    add_workdir(parser, "directory of the runs (in runs/), the table and the figures")
