"""Objectives of a training step: what is minimised, and what it needs of a batch."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flowjax_ood.distributions import (
    LogProbParts,
    bits_per_dim,
    discrete_log_likelihood,
)

Batch = dict[str, jax.Array]
# (likelihoods of the batch, the batch) -> (loss, metrics)
Objective = Callable[[LogProbParts, Batch], tuple[jax.Array, dict]]


def mean_nll(parts: LogProbParts, batch: Batch) -> tuple[jax.Array, dict]:
    """The objective of maximum likelihood: the mean of -log p(x), nats."""
    return -jnp.mean(parts.log_prob), {}


def negative_loss(
    log_likelihood: jax.Array,
    negative: jax.Array,
    threshold: float,
    mean: Callable = lambda count: count,
) -> tuple[jax.Array, jax.Array]:
    """`0.5 (mean_ID -LL + mean_N LL)`, or `mean_ID -LL` where N is empty.

    N are the negative images with `LL > threshold`: they are pushed down until they
    are below it, and then left alone. Returns the loss and N, boolean `[B]`.

    `log_likelihood` `[B]` in nats, `negative` boolean `[B]`, both kinds in one batch.
    Where a batch is spread over devices, `mean` averages a number over them: the mean
    over devices of the losses returned is then that of the whole batch, however N is
    spread. A likelihood that does not count has the gradient 0, even an infinite one.
    Source: paper, appendix B, equation and code (which has no 0.5 where N is empty).
    """
    pushed = negative & (log_likelihood > threshold)
    nll = _mean_over(~negative, -log_likelihood, mean)
    push = _mean_over(pushed, log_likelihood, mean)
    loss = jnp.where(mean(jnp.mean(pushed)) > 0, 0.5 * (nll + push), nll)
    return loss, pushed


def negative_objective(
    dims: int, threshold: float, *, axis_name: str | None = None
) -> Objective:
    """`objective(parts, batch)` of `make_train_step`: `negative_loss` of the batch.

    The batch holds images to learn and images to push down, `batch["negative"]` says
    which; they pass through the flow together, so that batch norm sees both. LL is the
    discrete log-likelihood of an image of `dims` 8-bit values, `log p(x) - dims log
    256`, nats. (The original's is `dims log(256/255)` lower, 3.07 nats for 28 x 28 grey
    pixels and 12.02 for 32 x 32 colour ones; so are its thresholds, of tens of
    thousands, in our units higher by that much.)

    `axis_name`: of the devices, where the step runs on each device's part of the batch
    (`parallel.AXIS` for "pmap" and "shard_map"); None under a global view.

    Metrics: `bits_per_dim` and `bits_per_dim_prior` of the ID images alone,
    `negative_fraction`, that of the negatives above the threshold, and
    `log_likelihood_of_negatives` of all negatives, nats. Raises ValueError for a
    threshold that is not finite.
    """
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be finite, got {threshold}")

    def mean(value):
        return value if axis_name is None else jax.lax.pmean(value, axis_name)

    def objective(parts: LogProbParts, batch: Batch) -> tuple[jax.Array, dict]:
        negative = batch["negative"]
        log_likelihood = discrete_log_likelihood(parts.log_prob, dims)
        loss, pushed = negative_loss(log_likelihood, negative, threshold, mean)

        def of(mask, values):
            return jax.lax.stop_gradient(_mean_over(mask, values, mean))

        metrics = {
            "bits_per_dim": of(~negative, bits_per_dim(parts.log_prob, dims)),
            "bits_per_dim_prior": of(~negative, bits_per_dim(parts.log_pz, dims)),
            "negative_fraction": of(negative, pushed),
            "log_likelihood_of_negatives": of(negative, log_likelihood),
        }
        return loss, metrics

    return objective


def _mean_over(mask, values, mean):
    """Mean of the values where `mask`; over devices, its share of the whole mean."""
    count = mean(jnp.sum(mask, dtype=jnp.float32))
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.where(count > 0, count, 1.0)


# (class scores [B, C], the batch) -> (loss, metrics)
ClassifierObjective = Callable[[jax.Array, Batch], tuple[jax.Array, dict]]


def cross_entropy(logits: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
    """The mean of `-log p(label)`, nats; `logits [B, C]`, `batch["label"]` int `[B]`.

    Metrics: `accuracy`, the fraction whose largest score is the label's. A label of no
    class makes the loss NaN. Raises ValueError for a batch with outliers.
    """
    labels = batch["label"]
    if "outlier" in batch:
        raise ValueError(
            "a batch with outliers needs objective=outlier_exposure(), which tells "
            "their scores from those of labelled images"
        )
    # a sum over classes rather than a look-up: a split batch stays where it is
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    log_prob = jnp.sum(own * jax.nn.log_softmax(logits), -1)
    known = (labels >= 0) & (labels < logits.shape[-1])
    right = jnp.argmax(logits, -1) == labels
    accuracy = jnp.mean(right, dtype=jnp.float32)
    return -jnp.mean(jnp.where(known, log_prob, jnp.nan)), {"accuracy": accuracy}


def outlier_loss(logits: jax.Array) -> jax.Array:
    """Cross-entropy of the uniform distribution, `logsumexp(z) - mean_c z_c`, nats.

    `logits` `[B, C]`; returns `[B]`, at least log C, which it is where all scores are
    the same.
    """
    return jax.nn.logsumexp(logits, -1) - jnp.mean(logits, -1)


def outlier_exposure(weight: float = 0.5) -> ClassifierObjective:
    """`objective(logits, batch)`: `cross_entropy + weight * mean outlier_loss`.

    The cross-entropy is of the first rows of `logits`, those of the labelled images,
    and the outlier loss of the others. Metrics: `accuracy` and `cross_entropy` of the
    former, `outlier_loss` of the latter. Raises ValueError for a negative `weight`.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must not be negative or infinite, got {weight}")

    def objective(logits: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        if "outlier" not in batch:
            raise ValueError(
                "outlier_exposure needs batches with outliers, got "
                f"{', '.join(sorted(batch))}; batches_with_outliers makes them"
            )
        labelled = len(batch["label"])
        own = {name: batch[name] for name in batch if name != "outlier"}
        fit, metrics = cross_entropy(logits[:labelled], own)
        unsure = jnp.mean(outlier_loss(logits[labelled:]))
        metrics |= {"cross_entropy": fit, "outlier_loss": unsure}
        return fit + weight * unsure, metrics

    return objective
