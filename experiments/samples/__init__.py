"""The command `samples`: samples of several runs at several temperatures."""

import argparse

from experiments.core.options import add_out, add_seed, add_workdir
from flowjax_ood.interface.options import number, several, whole_number

SUMMARY = "draw samples of one or more runs at several temperatures, in one figure"
EPILOG = """\
Writes samples.png, with one row per run and one group of samples per temperature, and
samples.json: for every run and temperature, how similar samples are to held-out images
(distance to the nearest, roughness, spread). The samples of all runs and temperatures
are made from the same noise, pixel by pixel.

--config.KEY=VALUE sets the same keys as in evaluate, of all runs:
  --config.data.path=DIR"""
MOST_IMAGES = 64
TEMPERATURES = (0.5, 0.7, 0.85, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `samples`."""
    text = "directories of the runs, in the order of the figure's rows"
    add_workdir(parser, text, nargs="+")
    add_out(parser, "directory of both files", required=True)
    parser.add_argument(
        "--temperatures",
        type=several(number(), "0.7,1.0"),
        default=TEMPERATURES,
        metavar="T,...",
        help="standard deviations of the latents (default: 0.5,0.7,0.85,1.0)",
    )
    parser.add_argument(
        "--count",
        type=whole_number(1, MOST_IMAGES),
        default=8,
        metavar="N",
        help="samples shown in a group (default: %(default)s)",
    )
    add_seed(parser, "of the noise")
