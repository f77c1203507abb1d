"""The command `train`: a flow, by its config."""

import argparse
import re

from experiments.core import distributed
from experiments.core.options import add_config, add_workdir, known_configs
from flowjax_ood.interface.options import directory_or_bucket

SUMMARY = "train the flow of a config, or resume it, then evaluate it"
EPILOG = """\
--config.KEY=VALUE, any number of times, sets any key of the config:
  --config.train.batch_size=64  --config.data.ood=mnist:test,mnist:train

in experiments/configs:
  """ + "\n  ".join(known_configs())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    add_config(
        parser,
        "such as experiments/configs/fashion_mnist_realnvp.py:smoke; the file's header "
        "names its variants",
    )
    add_workdir(
        parser,
        "directory of the run, or gs:// or s3://BUCKET/DIR; a run that is there is "
        "resumed",
        type=directory_or_bucket,
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write metrics for TensorBoard, in DIR/tensorboard "
        "(pip install -e '.[tensorboard]')",
    )
    parser.add_argument(
        "--profile",
        type=profiled_steps,
        metavar="FIRST:LAST",
        help="trace these steps with jax.profiler, in DIR/profile, such as 20:24",
    )
    distributed.add_arguments(parser)


def profiled_steps(text: str) -> tuple[int, int]:
    """`(first, last)` of `FIRST:LAST`, steps counted from 1, both included.

    Raises ArgumentTypeError for anything else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    first, last = (int(n) for n in match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(
            f"steps to profile are FIRST:LAST with 1 <= FIRST <= LAST, such as 20:24, "
            f"got {text!r}"
        )
    return first, last
