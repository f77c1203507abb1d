"""What training minimises, and how much a step and an epoch see of it."""

from ml_collections import ConfigDict

from experiments.config import UserError
from experiments.sets import Sets
from flowjax_ood.training.negative import negative_objective
from flowjax_ood.training.parallel import AXIS
from flowjax_ood.training.step import Objective, mean_nll


def objective(config: ConfigDict, sets: Sets, dims: int) -> Objective:
    """That of maximum likelihood, or of negative training, for flows of `dims`.

    UserError for a threshold of negative training that is not finite.
    """
    if sets.negative is None:
        return mean_nll
    axis_name = None if config.parallel == "jit" else AXIS
    threshold = config.train.negative_threshold
    try:
        return negative_objective(dims, threshold, axis_name=axis_name)
    except ValueError as error:
        raise UserError(f"config.train.negative_threshold: {error}") from error


def rows(config: ConfigDict, sets: Sets) -> int:
    """Rows of a batch: `train.batch_size`, and as many negatives, if any."""
    return config.train.batch_size * (1 if sets.negative is None else 2)


def epoch_length(sets: Sets) -> int:
    """Images to learn in an epoch, which ends with the smaller set (appendix B)."""
    if sets.negative is None:
        return len(sets.train)
    return min(len(sets.train), len(sets.negative))
