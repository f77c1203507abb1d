"""The command `detect`: detectors on the features of classifiers."""

import argparse

from experiments.core import distributed
from experiments.core.options import add_config, add_workdir
from flowjax_ood.interface.options import directory, whole_number

SUMMARY = (
    "fit detectors to the features of classifiers and compare them with flows, in one "
    "table"
)
EPILOG = """\
With --config, trains the networks in DIR/networks, or restores them.
--config.KEY=VALUE sets any key; --config.detect.flows=DIR,DIR adds trained
flows to the table.

With --outputs, compares detectors on the saved outputs of a network of your own,
trained in any framework: an .npz of test_logits [N, C] and NAME_logits of every OOD
set NAME, with NAME_features [N, D]; for detectors that need them train_logits,
train_features, train_labels, test_labels, and the last layer's weights [D, C] and
bias [C]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `detect`."""
    data = parser.add_mutually_exclusive_group(required=True)
    text = "such as experiments/configs/fashion_mnist_detect.py:smoke"
    add_config(data, text, required=False)
    data.add_argument(
        "--outputs",
        type=directory,
        metavar="FILE.npz",
        help="logits and features of a network of your own",
    )
    parser.add_argument(
        "--validation",
        type=whole_number(),
        help="with --outputs: rows of each set to choose settings by, and to test no "
        "detector on; 0 chooses nothing (default: 1000)",
    )
    add_workdir(parser, "directory of the networks, the table and the figures")
    distributed.add_arguments(parser)
