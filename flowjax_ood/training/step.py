"""One pure training step, without collectives."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow, bits_per_dim
from flowjax_ood.ood.network import as_input
from flowjax_ood.training.objectives import (
    Batch,
    ClassifierObjective,
    Objective,
    cross_entropy,
    mean_nll,
)
from flowjax_ood.training.state import TrainState

Reduce = Callable[[Any], Any]


def make_train_step(
    flow: Flow,
    optimizer: optax.GradientTransformation,
    *,
    objective: Objective = mean_nll,
    ema_decay: float = 0.0,
) -> Callable[..., tuple[TrainState, dict]]:
    """`train_step(state, batch, key, reduce) -> (state, metrics)`.

    Minimises `objective(parts, batch) -> (loss, metrics)`, the mean negative
    log-likelihood in nats unless given, where `parts` are the likelihoods of
    `batch["image"]`, uint8 `[B, H, W, C]`, dequantised here with noise that depends on
    `(key, state.step, batch["index"])` alone: the same for every way of splitting the
    batch. Or of `batch["x"]`, floating-point `[B, ...]`, as it is. A conditional flow
    is given `batch["cond"]`, floating-point `[B, K]`, where the batch has it.

    `reduce` averages a pytree over the devices that hold parts of the batch; under a
    global-view jit it is the identity. Metrics are scalars: `loss`, `bits_per_dim`,
    `bits_per_dim_prior` (its part from log p(z)), or, of `batch["x"]`, `log_pz` and
    `logdet` in nats, and `grad_norm` of the mean gradient before clipping; those of
    the objective add to these or replace them.

    `ema_decay` in (0, 1) averages the parameters, `ema = d * ema + (1 - d) * params`
    with `d = min(ema_decay, (1 + step) / (10 + step))`, so that short runs forget their
    start, in a state that has room for it (`create_state(average=True)`); 0 does not.
    Raises ValueError where it is out of range, and, at the first step, where it does
    not go with the state.
    """
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay must lie in [0, 1), got {ema_decay}")

    def train_step(state: TrainState, batch: Batch, key, reduce: Reduce = _identity):
        if bool(ema_decay) != bool(state.ema):
            raise ValueError(
                f"ema_decay is {ema_decay}, but the state has "
                f"{'' if state.ema else 'no '}room for averaged parameters; "
                f"create_state(average={bool(ema_decay)}) makes one that fits"
            )
        step_key = jax.random.fold_in(key, state.step)
        x = batch.get("x")
        if x is None:
            x = dequantize(batch["image"], example_keys(step_key, batch["index"]))
        # dropout, where a flow has it: a stream of its own, as no example has number
        # 2^32 - 1, and not the same on every device
        own = jax.random.fold_in(step_key, 2**32 - 1)
        rngs = {"dropout": jax.random.fold_in(own, batch["index"][0])}

        def loss_fn(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            parts, updates = flow.apply(
                variables,
                x,
                batch.get("cond"),
                method="log_prob_parts",
                mutable=["batch_stats"],
                rngs=rngs,
            )
            loss, more = objective(parts, batch)
            return loss, (parts, updates, more)

        (loss, (parts, updates, more)), grads = jax.value_and_grad(
            loss_fn, has_aux=True
        )(state.params)
        if "x" in batch:  # no pixels, no bits/dim
            terms = {"log_pz": parts.log_pz, "logdet": parts.logdet}
        else:
            terms = {
                "bits_per_dim": bits_per_dim(parts.log_prob, flow.dims),
                "bits_per_dim_prior": bits_per_dim(parts.log_pz, flow.dims),
            }
        metrics = {"loss": loss, **jax.tree.map(jnp.mean, terms), **more}
        batch_stats = updates.get("batch_stats", {})
        grads, metrics, batch_stats = reduce((grads, metrics, batch_stats))
        metrics["grad_norm"] = optax.tree.norm(grads)
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        ema = state.ema
        if ema_decay:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(params, ema, 1 - decay)
        new = TrainState(state.step + 1, params, batch_stats, opt_state, ema)
        return new, metrics

    return train_step


def _identity(tree):
    return tree


def crop_flip(images: jax.Array, keys: jax.Array, *, padding: int = 4) -> jax.Array:
    """A random window of each image padded with zeros, flipped left to right or not.

    `images` `[B, H, W, C]` of any dtype, `keys` `[B]`; what becomes of an image depends
    on its key alone. All `(2 padding + 1)^2` windows of size H x W are as likely, and
    half of them flipped. Raises ValueError for a negative `padding`.

    The usual augmentation of CIFAR-10, with padding 4 at 32x32. `padding` of another
    number: `partial(crop_flip, padding=2)`.
    """
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}")
    return jax.vmap(partial(_crop_flip, padding=padding))(images, keys)


def _crop_flip(image, key, padding):
    where, side = jax.random.split(key)
    row, column = jax.random.randint(where, (2,), 0, 2 * padding + 1)
    wide = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    window = lax.dynamic_slice(wide, (row, column, 0), image.shape)
    return jnp.where(jax.random.bernoulli(side), window[:, ::-1], window)


# (uint8 [B, H, W, C], one key an image) -> uint8 [B, H, W, C]
Augment = Callable[[jax.Array, jax.Array], jax.Array]


def make_classifier_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    augment: Augment | None = None,
    objective: ClassifierObjective = cross_entropy,
) -> Callable[..., tuple[TrainState, dict]]:
    """`train_step(state, batch, key, reduce) -> (state, metrics)`, as of flows.

    Minimises `objective(logits, batch) -> (loss, metrics)`, `cross_entropy` unless
    given. `logits [B, C]` are those of `batch["image"]`, uint8 `[B, H, W, C]`, divided
    by 255 here, or of `batch["x"]`, such as tokens int32 `[B, L]`, as it is. Where the
    batch has `outlier`, more images, their logits are the rows after the first B: they
    pass the module together, so that batch norm of the whole batch sees both.

    `augment(images, keys)` changes the images first, by keys that depend on `(key,
    state.step, batch["index"])` alone (of outliers, `outlier_index`): the same however
    the batch is split. Dropout draws from a stream of its own, of the same three; it
    differs between devices.

    Metrics are scalars: `loss`, `grad_norm`, and those of the objective. Raises
    ValueError, at the first step, for `augment` where there are no images.
    """

    def train_step(state: TrainState, batch: Batch, key, reduce: Reduce = lambda t: t):
        step_key = jax.random.fold_in(key, state.step)
        x = _inputs(batch, step_key, augment)
        # as in make_train_step: no example has number 2^32 - 1
        own = jax.random.fold_in(step_key, 2**32 - 1)
        rngs = {"dropout": jax.random.fold_in(own, batch["index"][0])}

        def loss_fn(params):
            logits, updates = module.apply(
                {"params": params, "batch_stats": state.batch_stats},
                x,
                mutable=["batch_stats"],
                rngs=rngs,
            )
            loss, more = objective(logits, batch)
            return loss, (updates, more)

        (loss, (updates, more)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        metrics = {"loss": loss, **more}
        batch_stats = updates.get("batch_stats", {})
        grads, metrics, batch_stats = reduce((grads, metrics, batch_stats))
        metrics["grad_norm"] = optax.tree.norm(grads)
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        new = TrainState(state.step + 1, params, batch_stats, opt_state, state.ema)
        return new, metrics

    return train_step


def _inputs(batch: Batch, step_key, augment: Augment | None) -> jax.Array:
    """What the module sees of a batch: its examples, and after them its outliers."""
    if "x" in batch:
        if augment:
            raise ValueError('augment takes images, but the batch has "x", no "image"')
        return batch["x"]

    def images(kind, index):
        if augment is None:
            return batch[kind]
        return augment(batch[kind], example_keys(step_key, batch[index]))

    own = images("image", "index")
    if "outlier" in batch:
        own = jnp.concatenate([own, images("outlier", "outlier_index")])
    return as_input(own)
