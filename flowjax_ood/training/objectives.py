"""Objectives of a training step, and those of flows: a loss and the fields it needs."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import real_number
from flowjax_ood.data.dequantize import check_bins, dequantize, example_keys
from flowjax_ood.distributions import (
    ClassMixture,
    Flow,
    LogProbParts,
    bits_per_dim,
    discrete_log_likelihood,
    one_hot_condition,
)

# fields of a batch, by name; every array has a row for each example
Batch = dict[str, jax.Array]


class Objective(Protocol):
    """A loss that `make_train_step` minimises.

    A step applies `module`, its `method`, or the function `method(module, ...)`, to
    `inputs(batch, step_key)` and takes the gradient of the loss by its parameters. What
    is random in the inputs is a function of `(step_key, batch["index"])`: the same for
    every way of splitting the batch.

    * `needs`: fields of a batch without which there is no loss; "image or x" is met by
      either. `made_by` names a function that makes such batches;
    * `loss(outputs, batch) -> (loss, metrics)`: scalars, of this device's rows alone.
    """

    # read alone: fields of frozen dataclasses, or class variables
    @property
    def module(self) -> nn.Module: ...
    @property
    def method(self) -> str | Callable | None: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def made_by(self) -> str: ...

    def inputs(self, batch: Batch, step_key: jax.Array) -> tuple: ...

    def loss(self, outputs: Any, batch: Batch) -> tuple[jax.Array, dict]: ...


def check_fields(objective: Objective, batch: Batch) -> None:
    """Raise ValueError unless the batch has all fields that the objective needs."""
    for field in objective.needs:
        if not any(name in batch for name in field.split(" or ")):
            raise ValueError(
                f"{type(objective).__name__} needs batches with {field}, got "
                f"{', '.join(sorted(batch))}; {objective.made_by} makes them"
            )


@dataclass(frozen=True)
class Likelihood:
    """Maximum likelihood: the mean of `-log p(x)`, nats.

    Of images, uint8 `[B, H, W, C]`, dequantised; or of `x`, floating-point `[B, ...]`.
    A conditional flow is given `cond`, `[B, K]` or `[B, h, w, K]`, where the batch has
    it; a `ClassMixture` its classes, where the batch has `label`. `bins`: how many
    values a pixel has, as of `dequantize`. `noise`: standard deviation of Gaussian
    noise that is added to images; the density learned is that of such noisy images,
    whose samples `distributions.denoise` cleans. Raises ValueError for noise that is
    negative or not finite, and for other bins than `dequantize` takes.

    Metrics: `bits_per_dim` and `bits_per_dim_prior` (its part from log p(z)); of `x`,
    which has no pixels, `log_pz` and `logdet` in nats.
    """

    module: Flow
    _: KW_ONLY
    bins: int = 256
    noise: float = 0.0
    method: ClassVar[str | Callable] = "log_prob_parts"
    needs: ClassVar[tuple[str, ...]] = ("image or x", "index")
    made_by: ClassVar = "image_batches or vector_batches"

    def __post_init__(self):
        check_bins(self.bins)
        if real_number("noise", self.noise) < 0:
            raise ValueError(f"noise must not be negative, got {self.noise}")

    def inputs(self, batch: Batch, step_key: jax.Array) -> tuple:
        x = batch.get("x")
        if x is None:
            keys = example_keys(step_key, batch["index"])
            x = dequantize(batch["image"], keys, self.bins)
            if self.noise:
                x = x + self.noise * _normal(keys, x)
        if isinstance(self.module, ClassMixture) and "label" in batch:
            return x, one_hot_condition(batch["label"], self.module.classes)
        return x, batch.get("cond")

    def loss(self, outputs: LogProbParts, batch: Batch) -> tuple[jax.Array, dict]:
        if "x" in batch:
            terms = {"log_pz": outputs.log_pz, "logdet": outputs.logdet}
        else:
            pixels = self.module.dims, self.bins
            terms = {
                "bits_per_dim": bits_per_dim(outputs.log_prob, *pixels),
                "bits_per_dim_prior": bits_per_dim(outputs.log_pz, *pixels),
            }
        return -jnp.mean(outputs.log_prob), jax.tree.map(jnp.mean, terms)


def _normal(keys: jax.Array, x: jax.Array) -> jax.Array:
    """N(0, 1), as x, of one key an example, which noise between pixels has as well."""
    own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    return jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(own)


@dataclass(frozen=True)
class LikelihoodAndReconstruction(Likelihood):
    """`(1 - w) mean(-log p(x | cond)) / D + w mean |x_hat - x|^2 / D`, w = `weight`.

    x_hat is the flow's event at temperature 0, for latents N(0, I) that of latents 0.
    Of `x`, floating-point `[B, ...]` with D dimensions, and its `cond`. Weight 0 is
    maximum likelihood in nats a dimension; 0.41 is the published weight. Source: Page
    Vizcaino et al. 2024.

    Metrics: `log_pz` and `logdet` in nats, and `squared_error` a dimension. For flows
    without batch norm: x_hat is a second pass. Raises ValueError for a weight outside
    [0, 1).
    """

    weight: float = 0.41
    needs: ClassVar = ("x", "index")
    made_by: ClassVar = "conditional_batches"

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.weight < 1:
            raise ValueError(f"weight must lie in [0, 1), got {self.weight}")

    @staticmethod
    def method(flow: Flow, x: jax.Array, cond=None) -> tuple:
        """`(parts of log p(x | cond), x_hat, x)`."""
        # temperature 0: the key is of no consequence
        still = flow.sample(jax.random.key(0), len(x), 0.0, cond)
        return flow.log_prob_parts(x, cond), still, x

    def loss(self, outputs: tuple, batch: Batch) -> tuple[jax.Array, dict]:
        parts, still, x = outputs
        error = jnp.mean((still - x) ** 2)
        nll, metrics = super().loss(parts, batch)
        loss = (1 - self.weight) * nll / self.module.dims + self.weight * error
        return loss, metrics | {"squared_error": error}


@dataclass(frozen=True)
class Negative(Likelihood):
    """Negative training: `negative_loss` of images to learn and images to push down.

    `batch["negative"]` says which is which; they pass through the flow together, so
    that batch norm sees both. LL is the discrete log-likelihood of an image of D values
    of 256 levels, or `bins`: `log p(x) - D log 256`, nats. (The original's is
    `D log(256/255)` lower, 3.07 nats for 28 x 28 grey pixels and 12.02 for 32 x 32
    colour ones; so are its thresholds, of tens of thousands, in our units higher by
    that much.)

    `axis_name`: of the devices, where the step runs on each device's part of the batch
    (`parallel.AXIS` for "pmap" and "shard_map"); None under a global view.

    Metrics: `bits_per_dim` and `bits_per_dim_prior` of the ID images alone,
    `negative_fraction`, that of the negatives above the threshold, and
    `log_likelihood_of_negatives` of all negatives, nats. Raises ValueError for a
    threshold that is not finite.
    """

    threshold: float
    axis_name: str | None = None
    needs: ClassVar = ("image", "index", "negative")
    made_by: ClassVar = "batches_with_negatives"

    def __post_init__(self):
        super().__post_init__()
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}")

    def loss(self, outputs: LogProbParts, batch: Batch) -> tuple[jax.Array, dict]:
        negative, axis = batch["negative"], self.axis_name
        pixels = self.module.dims, self.bins

        def mean(value):
            return value if axis is None else jax.lax.pmean(value, axis)

        log_likelihood = discrete_log_likelihood(outputs.log_prob, *pixels)
        loss, pushed = negative_loss(log_likelihood, negative, self.threshold, mean)

        def of(mask, values):
            return jax.lax.stop_gradient(_mean_over(mask, values, mean))

        metrics = {
            "bits_per_dim": of(~negative, bits_per_dim(outputs.log_prob, *pixels)),
            "bits_per_dim_prior": of(~negative, bits_per_dim(outputs.log_pz, *pixels)),
            "negative_fraction": of(negative, pushed),
            "log_likelihood_of_negatives": of(negative, log_likelihood),
        }
        return loss, metrics


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


def _mean_over(mask, values, mean):
    """Mean of the values where `mask`; over devices, its share of the whole mean."""
    count = mean(jnp.sum(mask, dtype=jnp.float32))
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.where(count > 0, count, 1.0)
