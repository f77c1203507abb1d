"""Objectives of classifiers: labelled images, alone, or beside outliers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.data.dequantize import example_keys
from flowjax_ood.ood.detectors.ensembles import cosines
from flowjax_ood.ood.network import as_input
from flowjax_ood.training.objectives import Batch

# (uint8 [B, H, W, C], one key an image) -> uint8 [B, H, W, C]
Augment = Callable[[jax.Array, jax.Array], jax.Array]


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
