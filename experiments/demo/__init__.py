"""The command `demo`: the paper's story in a few minutes."""

import argparse
from pathlib import Path

from experiments.core.options import add_workdir

SUMMARY = "train a flow on clothing, see why digits win, and what detects them"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `demo`."""
    text = "directory of report.html and everything else (default: demo)"
    add_workdir(parser, text, required=False, default=Path("demo"))
    parser.add_argument(
        "--fast",
        action="store_true",
        help="a run of one minute, which only shows that everything works",
    )
