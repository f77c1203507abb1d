"""The command `peers`: equal tasks and shapes, alternating rounds of each library."""

import argparse
from pathlib import Path

from experiments.core.options import add_out
from experiments.peers.tasks import CONTESTS, FLOWS, OURS
from flowjax_ood.interface.options import number, whole_number

LIBRARIES = [library for c in CONTESTS.values() for library in c.libraries.values()]
PACKAGES = sorted({library.package for library in LIBRARIES} - {OURS})
SUMMARY = "compare our throughput with that of other libraries"
EPILOG = f"""\
Compares with {", ".join(PACKAGES)}. A library that is not installed keeps a row
that says so; to install all of them: pip install 'flowjax_ood[peers]'

Lists are separated by commas: --task=affine,spline --library=flowjax,zuko
On a machine that is busy with other work, the numbers mean little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `peers`."""
    text = "directory of the results (default: peers)"
    add_out(parser, text, default=Path("peers"))
    parser.add_argument(
        "--of",
        choices=list(CONTESTS),
        default="flows",
        help="flows: training, log-density and sampling | detectors: fitting and "
        "scoring, on 50,000 features of 512 values in 100 classes (default: flows)",
    )
    everything = ",".join(FLOWS.tasks)
    parser.add_argument(
        "--task",
        default="",
        help=f"kinds of flow ({everything}), or detectors by name (default: all)",
    )
    parser.add_argument("--library", default="", help="libraries (default: all)")
    parser.add_argument(
        "--batch",
        type=whole_number(1),
        help="vectors in a batch of flows (default: 512)",
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
