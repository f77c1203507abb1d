"""How fast other libraries do the same: one task, equal shapes, alternating rounds."""

import argparse
from pathlib import Path

from experiments.peers.tasks import LIBRARIES, OURS, TASKS

PACKAGES = sorted({library.package for library in LIBRARIES.values()} - {OURS})
EPILOG = f"""\
Compares with {", ".join(PACKAGES)}. One that is not installed keeps a row that
says so; to have them all: pip install 'flowjax_ood[peers]'

Lists are separated by commas: --task=affine,spline --library=flowjax,zuko
On a machine that does other work at the same time, the numbers are worth little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `peers`."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("peers"),
        metavar="DIR",
        help="where peers.json goes (default: peers)",
    )
    everything = ",".join(TASKS)
    parser.add_argument(
        "--task", default=everything, help=f"kinds of coupling (default: {everything})"
    )
    parser.add_argument("--library", default="", help="rows (default: all of them)")
    parser.add_argument(
        "--batch", type=int, default=512, help="vectors in a batch (default: 512)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="length of a round (default: 1)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="of each library in turn (default: 5)"
    )
