"""The command `demo`: the paper's story in a few minutes."""

import argparse
from pathlib import Path

SUMMARY = "train two small flows on clothing, score digits, write a report"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `demo`."""
    parser.add_argument(
        "--workdir",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="directory of report.html and everything else (default: demo)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="a run of one minute, which only shows that everything works",
    )
