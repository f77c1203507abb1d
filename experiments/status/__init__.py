"""The command `status`: progress and health of runs, from their files alone."""

import argparse

from experiments.core.options import add_workdir
from flowjax_ood.interface.options import directory_or_bucket, number

SUMMARY = "show the progress of runs: step, ETA, last checkpoint, health"
EPILOG = """\
Only reads files, so it works while a run trains, from any machine that sees its
workdir, and costs the run nothing. An ablation, a `detect`, a demo, or any directory
with runs below it is shown as a list.

state:
  starting   in use, no metrics of this session yet (XLA compiles)
  running    training, or evaluating after it
  silent     in use, but nothing was written for much longer than usual
  stopped    by a signal, everything saved: the same command resumes
  crashed    ended without notice, or by an error: the same command resumes from the
             last checkpoint
  diverged   the loss, gradient or state became infinite or NaN
  finished   trained, not evaluated
  evaluated  results.json is written
  new        a config, and nothing trained yet

Exit status: 0 all is well; 1 a run needs attention (crashed, diverged, silent, its
newest checkpoint is damaged, or a file of it is unreadable); 2 there is no run."""
# JAX alone would take longer to import than the answer takes
USES_JAX = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `status`."""
    text = "directories of runs, or with runs below them; gs:// or s3://BUCKET/DIR, too"
    add_workdir(parser, text, nargs="+", type=directory_or_bucket)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON for scripts instead of a page",
    )
    parser.add_argument(
        "--watch",
        type=number(0.1, above=False),
        metavar="SECONDS",
        help="repeat after so many seconds, until Ctrl-C",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read all of the newest checkpoint and compare checksums (slow if large)",
    )
