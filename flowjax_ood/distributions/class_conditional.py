"""Flows conditioned on a class: one-hot conditions, Bayes' rule, the mixture.

A flow `log p(x | y)` is also a classifier and, with the class summed out, a density:

    by_class = class_log_prob(flow, variables, x, num_classes)    # [B, K]
    predicted = class_log_posterior(by_class).argmax(-1)          # [B]
    score = marginal_log_prob(by_class)         # [B], higher = more in-distribution
"""

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.distributions.flow import Flow


def one_hot_condition(labels, num_classes: int) -> jax.Array:
    """`cond[b, k] = 1 where labels[b] == k, else 0`: float32 `[B, num_classes]`.

    `labels`: integers `[B]` in 0 ... num_classes - 1. Raises ValueError for others;
    under jit, where values are not known, their rows are NaN, and so is what a flow
    makes of them.
    """
    _check_num_classes(num_classes)
    traced = isinstance(labels, jax.core.Tracer)
    labels = labels if traced else np.asarray(labels)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"class labels must be integers [B], got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    known = (labels >= 0) & (labels < num_classes)
    if not traced and not known.all():
        at = known.argmin()
        raise ValueError(
            f"class labels must lie in 0 ... {num_classes - 1}, got {labels[at]} at "
            f"position {at}"
        )
    rows = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    return jnp.where(known[:, None], rows, jnp.nan)


def class_log_prob(flow: Flow, variables, x, num_classes: int) -> jax.Array:
    """`log p(x | y = k)` in nats for every class k: `[B, num_classes]`.

    Class k is given to the flow as the k-th unit vector. What does not depend on it is
    computed once: all couplings, for a flow with `conditional_bijector=False`. The rest
    takes `num_classes` times the work and memory of `log_prob`.
    """
    _check_num_classes(num_classes)

    def given(unit):
        cond = jnp.broadcast_to(unit, (x.shape[0], num_classes))
        return flow.apply(variables, x, cond, method="log_prob")

    return jax.vmap(given, out_axes=1)(jnp.eye(num_classes, dtype=jnp.float32))


def class_log_posterior(class_log_probs, log_prior=None) -> jax.Array:
    """`log p(y | x) = log p(x | y) + log p(y) - log p(x)`: Bayes' rule, `[B, K]` nats.

    `class_log_probs [B, K]`: of `class_log_prob`, or of K separate flows. `log_prior
    [K]`: log-probabilities of the classes, up to a constant; uniform if left out.
    """
    return jax.nn.log_softmax(_joint(class_log_probs, log_prior), axis=-1)


def marginal_log_prob(class_log_probs, log_prior=None) -> jax.Array:
    """`log p(x) = log sum_y p(x | y) p(y)`: `[B]`, nats.

    The density of the mixture of all classes, for events whose class is not known.
    Arguments as for the posterior.
    """
    return jax.nn.logsumexp(_joint(class_log_probs, log_prior), axis=-1)


def _joint(class_log_probs, log_prior):
    """`log p(x, y)`."""
    class_log_probs = jnp.asarray(class_log_probs)
    if class_log_probs.ndim != 2:
        raise ValueError(
            f"class log-probabilities must be [B, K], got {class_log_probs.shape}"
        )
    classes = class_log_probs.shape[1:]
    if log_prior is None:
        log_prior = jnp.zeros(classes, class_log_probs.dtype)
    log_prior = jnp.asarray(log_prior)
    if log_prior.shape != classes:
        raise ValueError(
            f"log_prior must be [K] with K = {classes[0]}, got {log_prior.shape}"
        )
    return class_log_probs + jax.nn.log_softmax(log_prior)[None]


def _check_num_classes(num_classes: int) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
