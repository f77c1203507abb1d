"""What no memory here holds, refused before any work: a slip of the keyboard, mostly.

A step takes several times as much; what is refused here could not even begin.
"""

import math
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from flowjax_ood.data.checks import check_bytes
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.training.state import TrainState, byte_count, parameter_count


def check_batches(config: ConfigDict, shape: Sequence[int], ahead: int = 0) -> None:
    """Raise UserError naming the key of batches, of events of `shape`, too large.

    `ahead`: how many batches are read before they are needed.
    """
    event = math.prod(shape) / jax.process_count()
    train, scored = config.train.batch_size, config.eval.batch_size
    # couplings that are given the class score all classes in one batch
    data = config.data
    each = data.get("classes", 0) if data.get("condition") == "couplings" else 0
    takes = {
        # models compute in float32, and pixels are read as bytes
        f"train.batch_size={train}": 4 * train * event,
        f"eval.batch_size={scored}": 4 * scored * max(each, 1) * event,
        f"data.read_ahead={config.data.read_ahead}": ahead * train * event,
    }
    for key, size in takes.items():
        with user_errors(f"config.{key}", ValueError):
            check_bytes(size, "batches take", "set it to less")


def check_state(state: TrainState) -> None:
    """Raise UserError for more parameters and moments than memory holds.

    `state`: arrays, or their shapes.
    """
    with user_errors("config.model", ValueError):
        check_bytes(
            byte_count(state),
            f"its {parameter_count(state.params):,} parameters and their moments take",
            "make it smaller, or use a machine with more",
        )
