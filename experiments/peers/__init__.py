"""The command `peers`: one task, equal shapes, alternating rounds of each library."""

import argparse
from pathlib import Path

from experiments.core.options import add_out, number, whole_number
from experiments.peers.tasks import LIBRARIES, OURS, TASKS

PACKAGES = sorted({library.package for library in LIBRARIES.values()} - {OURS})
SUMMARY = "compare our throughput with that of other libraries"
EPILOG = f"""\
Compares with {", ".join(PACKAGES)}. A library that is not installed keeps a row
that says so; to install all of them: pip install 'flowjax_ood[peers]'

Lists are separated by commas: --task=affine,spline --library=flowjax,zuko
On a machine that is busy with other work, the numbers mean little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `peers`."""
    text = "directory of peers.json (default: peers)"
    add_out(parser, text, default=Path("peers"))
    everything = ",".join(TASKS)
    parser.add_argument(
        "--task", default=everything, help=f"kinds of coupling (default: {everything})"
    )
    parser.add_argument("--library", default="", help="libraries (default: all)")
    parser.add_argument(
        "--batch",
        type=whole_number(1),
        default=512,
        help="vectors in a batch (default: 512)",
    )
    parser.add_argument(
        "--seconds", type=number(), default=1.0, help="length of a round (default: 1)"
    )
    parser.add_argument(
        "--rounds",
        type=whole_number(1),
        default=5,
        help="of each library in turn (default: 5)",
    )
