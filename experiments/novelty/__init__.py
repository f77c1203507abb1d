"""The command `novelty`: what `flowjax-ood` promises, measured on real images."""

import argparse

from experiments.core.options import add_counts, add_out, add_seed
from flowjax_ood.interface.options import directory, several

SUMMARY = "measure what flowjax-ood promises: false alarms, and what it finds"
EPILOG = """\
For each collection of images: fit, calibrate and test on random parts, again and again,
and score images of other kinds. Collections:

  clothing   FashionMNIST, against digits, letters, and clothing that was changed;
             IDX files in --data, or else the 2,000 images of the package
  emoji      people in colour, against things, hands and flags
  textures   tiles of photographs of gravel, grass and brick, against tiles of other
             photographs and of scanned text (takes the extra `pictures`)

Writes results.json and table.md in OUT."""
COLLECTIONS = ("clothing", "emoji", "textures")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `novelty`."""
    add_out(parser, "directory of what is written", required=True)
    add = parser.add_argument
    add(
        "--collections",
        type=several(str, "clothing,emoji"),
        default=COLLECTIONS,
        metavar="NAME[,NAME...]",
        help=f"of {', '.join(COLLECTIONS)} (default: all)",
    )
    add(
        "--methods",
        type=several(str, "pixels,both"),
        default=("pixels", "encoder", "both"),
        metavar="NAME[,NAME...]",
        help="of pixels, encoder, both (default: all)",
    )
    add("--data", type=directory, metavar="DIR", help="IDX files of FashionMNIST")
    counts = (
        ("splits", 2, 10, "random parts, each fitted and tested"),
        ("images", 60, 5000, "normal images that `fit` is given, at most"),
        ("test", 20, 2000, "unseen normal images, and outliers of each kind, at most"),
    )
    add_counts(parser, counts)
    add_seed(parser, "of the parts")
