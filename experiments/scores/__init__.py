"""The command `scores`: scores of trained flows on a battery of outliers."""

import argparse

from experiments.core.options import add_counts, add_out, add_seed, add_workdir
from flowjax_ood.interface.options import directories, whole_number

SUMMARY = "compare scores of trained flows, and controls, on many kinds of outliers"
EPILOG = """\
Several runs of the same images, such as those of other seeds, are averaged, and are an
ensemble for WAIC. Outliers
are made of test images in three blocks: seen (kinds that scores were compared on while
they were made), told (kinds that some scores are made of), and kept back (kinds to be
looked at once, when all is settled: with --lock). Scores are fitted to and calibrated
on images that no run was trained on.

Writes in OUT results.json, table.md, scores.html, heatmap.png, summary.png of few rows,
and scores/, all scores of all images: run again, it goes on where it was.

--lock writes lock.json, a digest of the scores, the flows, the images and the library's
code, and looks at what is kept back. As long as all of this stays the same, so does the
lock; a lock of anything else is counted in results.json. Looks are noted in the runs'
own folders, too, looks.json: another OUT does not start the count anew.

--config.KEY=VALUE sets the same keys as in evaluate, of all runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `scores`."""
    text = "directories of the runs, separated by commas"
    add_workdir(parser, text, type=directories, metavar="DIR[,DIR...]")
    parser.add_argument(
        "--background",
        type=directories,
        action="append",
        default=[],
        metavar="DIR[,DIR...]",
        help="runs whose flows are the background of a likelihood ratio: one for all, "
        "or one for each run, such as of config.data.mutated=0.2; given again, it adds "
        "a row",
    )
    add_out(parser, "directory of what is written", required=True)
    add = parser.add_argument
    counts = (
        ("fit", 20, 2000, "most images that scores are fitted to"),
        ("calibrate", 20, 2000, "most images that scores are calibrated on"),
        ("test", 20, 1000, "most test images, and outliers of each kind"),
    )
    add_counts(parser, counts)
    add_seed(parser, "of the outliers, and of which images are for what")
    add("--lock", action="store_true", help="look at the kinds that are kept back")
    add(
        "--passes",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="most passes of a flow an image that a score may take: 3 adds stability "
        "and reconstruction, 17 gradients and regret, 1000 the local "
        "dimension, which takes hours (default: %(default)s)",
    )
