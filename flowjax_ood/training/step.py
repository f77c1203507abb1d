"""One pure training step, without collectives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow, LogProbParts, bits_per_dim
from flowjax_ood.training.state import TrainState

Batch = dict[str, jax.Array]
Reduce = Callable[[Any], Any]
# (likelihoods of the batch, the batch) -> (loss, metrics)
Objective = Callable[[LogProbParts, Batch], tuple[jax.Array, dict]]


def mean_nll(parts: LogProbParts, batch: Batch) -> tuple[jax.Array, dict]:
    """The objective of maximum likelihood: the mean of -log p(x), nats."""
    return -jnp.mean(parts.log_prob), {}


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
