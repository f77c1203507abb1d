"""The command `maps`: where in images flows find them likelier than usual."""

import argparse

from experiments.core.options import add_out, add_workdir
from flowjax_ood.interface.options import several, whole_number

SUMMARY = "show where in images log p(x) of one or more runs comes from"
EPILOG = """\
log p(x) is a sum over the pixels of an image: of the log-density of each latent, and of
how much couplings, autoregressive and elementwise maps stretch each value. maps.png
shows, for images of every set and for the median of many, how much likelier or less
likely each pixel is than in the median test image; maps.json has the medians. How a
flow divides log p(x) among its layers is its own: between flows, compare sums of large
parts of images.

--config.KEY=VALUE sets the same keys as in evaluate, of all runs:
  --config.data.path=DIR"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `maps`."""
    text = "directories of the runs, in the order of the figure's columns"
    add_workdir(parser, text, nargs="+")
    add_out(parser, "directory of both files", required=True)
    parser.add_argument(
        "--images",
        type=several(whole_number(), "0,1,2"),
        default=(0, 1),
        metavar="I,J,...",
        help="which images of each set to show (default: 0,1)",
    )
    parser.add_argument(
        "--count",
        type=whole_number(2),
        default=1000,
        metavar="N",
        help="images of each set that medians are of, the first (default: %(default)s)",
    )
