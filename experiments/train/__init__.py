"""The command `train`."""

import argparse

from flowjax_ood.training.logs.profiling import profiled_steps


def add_observation(train: argparse.ArgumentParser) -> None:
    """The arguments of `train` about looking on."""
    train.add_argument(
        "--tensorboard",
        action="store_true",
        help="write metrics for TensorBoard, too, in DIR/tensorboard "
        "(pip install -e '.[tensorboard]')",
    )
    train.add_argument(
        "--profile",
        type=_steps,
        metavar="FIRST:LAST",
        help="trace these steps by jax.profiler, in DIR/profile, such as 20:24",
    )


def _steps(text: str) -> tuple[int, int]:
    try:
        return profiled_steps(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
