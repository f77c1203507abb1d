"""The command `compare`: several flows, by what `scores` measured of each."""

import argparse

from experiments.core.options import add_out
from flowjax_ood.interface.options import directories

SUMMARY = "compare flows of several kinds, by what `scores` measured of each"
EPILOG = """\
--scores names directories that `scores` wrote, one for each kind of flow, all of the
same test images: pooled seeds are one row. Says of every flow its size, bits/dim, and
how likelihood and its remedies fare on every block of outliers; and whether a better
density is a better detector.

Writes in OUT results.json, table.md, compare.html and compare.png."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    parser.add_argument(
        "--scores",
        type=directories,
        required=True,
        metavar="DIR[,DIR...]",
        help="directories that `scores` wrote, separated by commas",
    )
    add_out(parser, "directory of what is written", required=True)
