"""The command `decide`: what a detector's scores are worth as decisions."""

import argparse

from experiments.core.options import add_counts, add_kept_scores, add_seed

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
    add_kept_scores(
        parser,
        "decide",
        "as the table names them (default: all, but those that chose by real outliers)",
    )
    counts = (
        ("calibrate", 20, 2000, "most scores of a split that calibrate"),
        ("test", 200, 2000, "most scores of a split that test"),
        ("splits", 1, 10, "random splits"),
        ("batches", 1, 50, "batches of each split"),
    )
    add_counts(parser, counts)
    parser.add_argument(
        "--abstain",
        default="MSP",
        metavar="NAME",
        help="the detector that a classifier abstains by (default: %(default)s)",
    )
    add_seed(parser, "of splits and batches")
