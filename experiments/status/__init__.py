"""What `status` and tools around training can be asked for; light to import."""

import argparse
import math
from pathlib import Path

EPILOG = """\
Reads files alone, so it works while a run trains, from any machine that sees its
workdir, and takes nothing from it. An ablation, a `detect`, a demo, or any directory
with runs below it is a list of them.

state:
  starting   in use, no metrics of this session yet (XLA compiles)
  running    training, or evaluating after it
  silent     in use, but nothing was written for much longer than usual
  stopped    by a signal, all saved: the same command goes on
  crashed    ended without a word, or by an error: the same command goes on from the
             last checkpoint
  diverged   the loss, gradient or state became infinite or NaN
  finished   trained, not evaluated
  evaluated  results.json is there
  new        a config, and nothing trained yet

Exit status: 0 all well; 1 a run needs attention (crashed, diverged, silent, or its
newest checkpoint is damaged); 2 no run there."""


def add_arguments(status: argparse.ArgumentParser) -> None:
    """The arguments of `status`."""
    status.add_argument(
        "--workdir",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="of a run, or with runs below it; any number",
    )
    status.add_argument(
        "--json", action="store_true", help="print JSON, for scripts, not a page"
    )
    status.add_argument(
        "--watch",
        type=_seconds,
        metavar="SECONDS",
        help="show it anew every so often, until Ctrl-C",
    )
    status.add_argument(
        "--check",
        action="store_true",
        help="read the newest checkpoint whole and compare checksums (slow if large)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(
            f"a number of seconds from 0.1 on, such as 10, got {text!r}"
        )
    return seconds
