"""Negative training: a flow told which images to find unlikely (paper, appendix B).

train_step = make_train_step(
    flow, optimizer, objective=negative_objective(flow.dims, threshold=-30_000.0)
)
batches = batches_with_negatives(images, negatives, batch_size=32, seed=0)
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.data.batching import WHOLE, Part, batch_indices
from flowjax_ood.distributions import (
    LogProbParts,
    bits_per_dim,
    discrete_log_likelihood,
)
from flowjax_ood.training.step import Batch, Objective

# Added to the seed: what is told of is shuffled by itself, and by no run's own seed.
NEGATIVE_STREAM = 2**32


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


def batches_with_negatives(
    images: np.ndarray, negatives: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)`: `batch_size` of `images` and as many of `negatives`.

    Both uint8 `[N, H, W, C]`, each in a shuffled stream of its own. A batch holds
    `image` `[2 batch_size, H, W, C]`, an image to learn and a negative by turns, so
    that devices share both kinds evenly; `negative`, boolean, which is which; and
    `index`, int32, of which their noise depends: negatives follow the images. A pure
    function of `(seed, step)`; that of the images is `image_batches`' own.

    Raises ValueError where the images differ in shape.
    """
    if images.shape[1:] != negatives.shape[1:]:
        raise ValueError(
            f"images of shape {images.shape[1:]} cannot be trained with negatives of "
            f"shape {negatives.shape[1:]}"
        )
    which = np.tile([False, True], batch_size)

    def batches(step: int, part: Part = WHOLE) -> dict[str, np.ndarray]:
        own = batch_indices(len(images), batch_size, seed, step)
        told = batch_indices(len(negatives), batch_size, seed + NEGATIVE_STREAM, step)
        own, told = part.of(own), part.of(told)
        return {
            "image": _by_turns(images[own], negatives[told]),
            "index": _by_turns(own, len(images) + told).astype(np.int32),
            "negative": part.of(which),
        }

    return batches


def _mean_over(mask, values, mean):
    """Mean of the values where `mask`; over devices, its share of the whole mean."""
    count = mean(jnp.sum(mask, dtype=jnp.float32))
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.where(count > 0, count, 1.0)


def _by_turns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`first[0], second[0], first[1], second[1], ...`"""
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])
