"""log p(x) = log p(z) + logdet with batch statistics: a score of groups."""

from collections.abc import Callable

import jax

from flowjax_ood.distributions import Flow


def batch_likelihood_terms(flow: Flow) -> Callable[[dict, jax.Array], tuple]:
    """`f(variables, x [B, H, W, C]) -> (log_pz [B], logdet [B])`, nats, compiled.

    Batch norm uses the mean and variance of this very batch, as in training. The result
    is a score of an image *in its group*: a batch of OOD images alone tells the layers
    so. To score images one by one, use running statistics
    (`training.likelihood.evaluate_likelihood`). The variables are not changed.
    """

    @jax.jit
    def terms(variables, x):
        with jax.default_matmul_precision("highest"):
            parts, _ = flow.apply(
                variables, x, method="log_prob_parts", mutable=["batch_stats"]
            )
        return parts.log_pz, parts.logdet

    return terms
