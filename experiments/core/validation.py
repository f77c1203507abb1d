"""What chooses the best state of a training: the likelihood of events held back."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core.sets import Sets
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.early_stopping import Validation

STATISTICS: dict[str, Callable] = {"mean": np.mean, "median": np.median}


def validation(
    config: ConfigDict, sets: Sets, num_steps: int, model: Flow, key: jax.Array
) -> Validation | None:
    """The mean log-likelihood of the validation set in nats, or its median.

    `train.validate_by` says which; None without a validation set. `model` is the flow
    as it is evaluated, `key` that of the noise.

    Of images it is of one draw of the dequantisation noise at every look. Batch norm
    acts by its running statistics; those of results are recomputed over training
    batches, once, of the state that was chosen. Of several processes, all call it, each
    scores a part, and all get the score.
    """
    if sets.validation is None:
        return None
    c = config.train
    if c.validate_every > num_steps:
        raise UserError(
            f"config.train.validate_every={c.validate_every} is never reached in "
            f"{num_steps} steps; set it to less, or data.validation to 0"
        )
    statistic = STATISTICS[c.validate_by]
    events = sets.inputs(sets.validation)

    def score(variables) -> float:
        likelihoods = evaluate_likelihood(
            model,
            variables,
            events,
            key=key,
            batch_size=min(config.eval.batch_size, len(events)),
            parallel=Parallel("jit"),
            label=None,
            bins=sets.bins,
        )
        return float(statistic(likelihoods.log_prob))

    return Validation(score, c.validate_every, c.patience)
