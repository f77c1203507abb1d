"""Denoising by a density of noisy events: Tweedie's formula."""

from typing import Any

import jax

from flowjax_ood.arguments import real_number
from flowjax_ood.distributions.flow import Flow


def denoise(
    flow: Flow, variables: dict, y: jax.Array, sigma: float, cond=None
) -> jax.Array:
    """`y + sigma^2 * grad log p(y)`: the mean of x given `y = x + sigma * e`, e normal.

    Exact where the flow is the density of such noisy events; `sigma` is the standard
    deviation of that noise, in the units of y `[B, *event_shape]`. For TarFlow on
    images in [0, 1), that is half the published number, which is of [-1, 1].

    Raises ValueError for a sigma that is not positive, and as `Flow.log_prob` does.
    Source: Efron 2011; Zhai et al. 2024, section 3.3.
    """
    if not real_number("sigma", sigma) > 0:
        raise ValueError(
            f"sigma must be positive, got {sigma}: it is the noise that the flow was "
            "trained with"
        )

    def total(y):
        log_prob: Any = flow.apply(variables, y, cond, method="log_prob")
        return log_prob.sum()

    return y + sigma**2 * jax.grad(total)(y)
