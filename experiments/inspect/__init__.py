"""The command `inspect`: latents and couplings of a trained flow."""

import argparse
from dataclasses import dataclass

from experiments.core.options import add_workdir
from flowjax_ood.interface.options import several, whole_number

SUMMARY = "look into the latents and couplings of a run, in- and out-of-distribution"
EPILOG = """\
Writes in DIR/inspect: inspect.json, and as PNG
  latents        images and their latents: one dequantisation draw, and averages
  terms          log p(z) and the log-determinant, by the statistics of batch norm
  couplings_*    -t and exp(s) of every coupling, for one image of each set
  depth          how well each coupling predicts what it changes
  coadaptation   for single-scale stacks of couplings: what they read of each other

--config.KEY=VALUE sets the same keys as in evaluate."""


@dataclass(frozen=True)
class InspectOptions:
    """Which images and channels `inspect` looks at.

    `images` are shown in figures, `count` first images of each set give numbers. The
    latents of `averaged` of these are averaged, over `draws` draws each. `channel` of
    latents and couplings is shown.
    """

    images: tuple[int, ...] = (0, 1, 2)
    count: int = 1000
    averaged: int = 64
    draws: int = 40
    channel: int = 0

    @classmethod
    def of(cls, args: argparse.Namespace) -> "InspectOptions":
        """The options among parsed arguments."""
        return cls(*(getattr(args, name) for name in cls.__dataclass_fields__))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `inspect`."""
    add, default = parser.add_argument, InspectOptions()
    add_workdir(parser, "directory of the run; DIR/inspect is replaced")
    add(
        "--images",
        type=several(whole_number(), "0,1,2"),
        default=default.images,
        metavar="I,J,...",
        help="positions of the images that are shown, in each set (default: 0,1,2)",
    )
    for name, least, text in (
        ("count", 2, "first images of each set that numbers are taken over"),
        ("averaged", 2, "first images of each set whose latents are averaged"),
        ("draws", 1, "dequantisation draws they are averaged over"),
        ("channel", 0, "channel of latents and couplings that is shown"),
    ):
        add(
            f"--{name}",
            type=whole_number(least),
            default=getattr(default, name),
            metavar="N",
            help=f"{text} (default: {getattr(default, name)})",
        )
