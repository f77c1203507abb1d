"""The command `decide`: what a detector's scores are worth as decisions."""

import argparse

from experiments.core.options import add_out, add_workdir
from flowjax_ood.interface.options import SEED, whole_number

SUMMARY = "turn kept scores into decisions, and measure false alarms, finds and errors"
EPILOG = """\
Reads the scores that `detect` kept in DIR/scores. Some in-distribution scores
calibrate, others test, in several random splits. Of every detector: the false alarms
of p <= 0.01 and p <= 0.05 and the interval they are promised to lie in; what is found;
Benjamini and Hochberg's procedure in batches of 200 images with 20 outliers; and a
threshold taken from training images, where those are scored, too: let detect's
config.data.ood name the training set. With the classes that `detect` keeps: false
alarms by class, and errors of a classifier that may abstain, also on corrupted images,
of which nothing is promised.

Writes in OUT results.json, table.md, decisions.html and decisions.png."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `decide`."""
    add_workdir(parser, "directory of a finished `detect`")
    add_out(parser, "directory of what is written (default: decide in --workdir)")
    add = parser.add_argument
    add(
        "--detectors",
        default="",
        metavar="NAME[,NAME...]",
        help="as the table names them (default: all, but those that chose by real "
        "outliers)",
    )
    add(
        "--network",
        metavar="NAME",
        help="a folder of DIR/scores, such as seed_1 (default: the first)",
    )
    for name, least, default, text in (
        ("calibrate", 20, 2000, "most scores of a split that calibrate"),
        ("test", 200, 2000, "most scores of a split that test"),
        ("splits", 1, 10, "random splits"),
        ("batches", 1, 50, "batches of each split"),
    ):
        add(
            f"--{name}",
            type=whole_number(least),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )
    add(
        "--abstain",
        default="MSP",
        metavar="NAME",
        help="the detector that a classifier abstains by (default: %(default)s)",
    )
    add(
        "--seed",
        type=whole_number(most=SEED),
        default=0,
        metavar="N",
        help="of splits and batches (default: %(default)s)",
    )
