"""The command `drift`: how fast a change in a stream of images is noticed."""

import argparse

from experiments.core.options import add_counts, add_kept_scores, add_seed
from flowjax_ood.interface.options import number

SUMMARY = "send kept scores as streams that change, and measure alarms and delays"
EPILOG = """\
Reads the scores that `detect` kept in DIR/scores. Every stream begins with
in-distribution scores in random order; from some step on, all, half or a tenth are of
another set, or a class is missing. Monitors bet that nothing changed. Of every detector
and monitor: false alarms in streams without a change, the median delay of an alarm, and
changes that are missed. Baselines are Kolmogorov-Smirnov tests of windows.

Writes in OUT results.json, table.md, drift.html and drift.png."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `drift`."""
    add_kept_scores(
        parser,
        "drift",
        "as detect's table names them (default: a handful)",
    )
    counts = (
        ("calibrate", 20, 1000, "calibration scores of a stream"),
        ("streams", 1, 200, "streams of every change"),
        ("steps", 2, 1000, "length of a stream"),
        ("change", 1, 300, "the last step before the change"),
        ("window", 8, 100, "scores of a window of the baselines"),
    )
    add_counts(parser, counts)
    parser.add_argument(
        "--alarm",
        type=number(1.0),
        default=100.0,
        metavar="W",
        help="the wealth that rings (default: %(default)g)",
    )
    add_seed(parser, "of the streams")
