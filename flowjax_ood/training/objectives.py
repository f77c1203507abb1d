"""Objectives of a training step: the loss, and the fields of a batch it needs."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args

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
from flowjax_ood.ood.detectors.ensembles import cosines
from flowjax_ood.ood.network import as_input

# fields of a batch, by name; every array has a row for each example
Batch = dict[str, jax.Array]
# (uint8 [B, H, W, C], one key an image) -> uint8 [B, H, W, C]
Augment = Callable[[jax.Array, jax.Array], jax.Array]


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
class Reconstruction(Likelihood):
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


@dataclass(frozen=True)
class CrossEntropy:
    """The mean of `-log p(label)`, nats, by the class scores `[B, C]` of a classifier.

    Of images, uint8 `[B, H, W, C]`, which `augment(images, keys)` changes first; or of
    `x`, such as tokens int32 `[B, L]`. `label` is int `[B]`. Metrics: `accuracy`, the
    fraction whose largest score is the label's. A label of no class makes the loss NaN.
    Raises ValueError for a batch with outliers, and for `augment` of a batch of `x`.
    """

    module: nn.Module
    augment: Augment | None = None
    method: ClassVar[Callable | None] = None
    needs: ClassVar[tuple[str, ...]] = ("image or x", "index", "label")
    made_by: ClassVar = "labelled_batches"

    def inputs(self, batch: Batch, step_key: jax.Array) -> tuple:
        if "x" in batch:
            if self.augment:
                raise ValueError(
                    'augment takes images, but the batch has "x", no "image"'
                )
            return (batch["x"],)

        def images(kind, index):
            if self.augment is None:
                return batch[kind]
            return self.augment(batch[kind], example_keys(step_key, batch[index]))

        x = images("image", "index")
        if "outlier" in batch:
            x = jnp.concatenate([x, images("outlier", "outlier_index")])
        return (as_input(x),)

    def loss(self, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        if "outlier" in batch:
            raise ValueError(
                "a batch with outliers needs the objective OutlierExposure, which "
                "tells their scores from those of labelled images"
            )
        return cross_entropy(outputs, batch["label"])


@dataclass(frozen=True)
class OutlierExposure(CrossEntropy):
    """`cross_entropy + weight * mean outlier_loss` of labelled images and outliers.

    They pass through the module together, outliers last, so that batch norm of the
    whole batch sees both. Metrics: `accuracy` and `cross_entropy` of the labelled
    images, `outlier_loss` of the others. Raises ValueError for a negative `weight`.
    """

    weight: float = 0.5
    needs: ClassVar = ("image", "index", "label", "outlier", "outlier_index")
    made_by: ClassVar = "batches_with_outliers"

    def __post_init__(self):
        if not 0 <= self.weight < math.inf:
            raise ValueError(
                f"weight must not be negative or infinite, got {self.weight}"
            )

    def loss(self, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        labelled = len(batch["label"])
        fit, metrics = cross_entropy(outputs[:labelled], batch["label"])
        unsure = jnp.mean(outlier_loss(outputs[labelled:]))
        metrics |= {"cross_entropy": fit, "outlier_loss": unsure}
        return fit + self.weight * unsure, metrics


Agreement = Literal["logsumexp", "max", "mean"]


@dataclass(frozen=True)
class Diverse(OutlierExposure):
    """`mean_m cross_entropy + weight * mean agreement` of members that should differ.

    The first is of labelled images, the mean over members m; the second, `agreement` of
    `kind`, of outliers: on them, members learn to give different answers. `module`
    gives class scores `[B, M, C]`, as `DiverseMembers` does. With `weight` 0 each is
    trained as if alone, with 1 / M of the gradient.

    Metrics: `accuracy`, the mean of the members', and `cross_entropy` of the labelled
    images; `agreement` of the outliers. Raises ValueError for a negative `weight` and
    an unknown `kind`. Source: Kariyappa et al. 2021, section 4; they do not publish the
    weight.
    """

    weight: float = 1.0
    kind: Agreement = "logsumexp"

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in get_args(Agreement):
            raise ValueError(
                f"unknown kind {self.kind!r}; known: {', '.join(get_args(Agreement))}"
            )

    def loss(self, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        if outputs.ndim != 3 or outputs.shape[1] < 2:
            raise ValueError(
                "Diverse needs class scores [B, M, C] of two members or more, got "
                f"shape {outputs.shape}: DiverseMembers makes them of a classifier"
            )
        by_member = jnp.moveaxis(outputs, 1, 0)
        labelled = len(batch["label"])
        fits = [cross_entropy(z[:labelled], batch["label"]) for z in by_member]
        fit = sum(loss for loss, _ in fits) / len(fits)
        agreed = jnp.mean(agreement(by_member[:, labelled:], self.kind))
        accuracy = sum(metrics["accuracy"] for _, metrics in fits) / len(fits)
        metrics = {"accuracy": accuracy, "cross_entropy": fit, "agreement": agreed}
        return fit + self.weight * agreed, metrics


def agreement(logits: jax.Array, kind: Agreement = "logsumexp") -> jax.Array:
    """Of the `cosines` of every two members the largest, the mean, or between: `[B]`.

    "logsumexp" is `log(mean exp cos)`, smooth, between "mean" and "max". All lie in
    [0, 1]: 1 where all members agree, 0 where no two of them share a class. `logits`
    `[M, B, C]`.
    """
    if kind not in get_args(Agreement):
        raise ValueError(
            f"unknown kind {kind!r}; known: {', '.join(get_args(Agreement))}"
        )
    pairs = cosines(logits)
    if kind == "max":
        return jnp.max(pairs, axis=0)
    if kind == "mean":
        return jnp.mean(pairs, axis=0)
    return jax.nn.logsumexp(pairs, axis=0) - math.log(len(pairs))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, dict]:
    """`(mean -log p(label), {"accuracy": ...})`; `logits [B, C]`, `labels` int `[B]`.

    NaN where a label is of no class. ValueError for scores of several members.
    """
    if logits.ndim != 2:
        raise ValueError(
            f"class scores must be [B, C], got shape {logits.shape}; those of several "
            "members, [B, M, C], are of the objective Diverse"
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
