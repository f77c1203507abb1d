"""One pure training step, without collectives, of flows and classifiers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from flowjax_ood.training.objectives import Batch, Objective, check_fields
from flowjax_ood.training.state import TrainState


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
) -> Callable[..., tuple[TrainState, dict]]:
    """`train_step(state, batch, key, reduce) -> (state, metrics)`.

    Minimises `objective`, such as `Likelihood(flow)` or `CrossEntropy(classifier)`.
    Noise, augmentation and dropout depend on `(key, state.step, batch["index"])` alone:
    noise and augmentation are the same for every way of splitting the batch, dropout
    differs between devices.

    Args:
        objective: the loss, and what it needs of a batch (`objectives`).
        optimizer: as `make_optimizer` makes it.
        ema_decay: in (0, 1), averages the parameters, `ema = d * ema + (1 - d) *
            params` with `d = min(ema_decay, (1 + step) / (10 + step))`, so that short
            runs forget their start, in a state made by `create_state(average=True)`.
            0 does not.

    Returns:
        The step. `reduce` averages a pytree over the devices that hold parts of the
        batch; under a global-view jit it is the identity. Metrics are scalars: `loss`,
        those of the objective, and `grad_norm` of the mean gradient before clipping.

    Raises:
        ValueError: for an `ema_decay` out of range and, at the first step, where it
            does not go with the state, or the batch lacks what the objective needs.
    """
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay must lie in [0, 1), got {ema_decay}")

    def train_step(state: TrainState, batch: Batch, key, reduce=lambda tree: tree):
        if bool(ema_decay) != bool(state.ema):
            raise ValueError(
                f"ema_decay is {ema_decay}, but the state has "
                f"{'' if state.ema else 'no '}averaged parameters; "
                f"create_state(average={bool(ema_decay)}) makes one that fits"
            )
        check_fields(objective, batch)
        step_key = jax.random.fold_in(key, state.step)
        inputs = objective.inputs(batch, step_key)
        # a stream of its own, as no example has number 2^32 - 1, and not the same on
        # every device
        stream = jax.random.fold_in(step_key, 2**32 - 1)
        rngs = {"dropout": jax.random.fold_in(stream, batch["index"][0])}

        def loss_fn(params):
            outputs, updates = objective.module.apply(
                {"params": params, "batch_stats": state.batch_stats},
                *inputs,
                method=objective.method,
                mutable=["batch_stats"],
                rngs=rngs,
            )
            loss, metrics = objective.loss(outputs, batch)
            return loss, (updates.get("batch_stats", {}), metrics)

        gradient = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, (batch_stats, metrics)), grads = gradient(state.params)
        metrics = {"loss": loss, **metrics}
        grads, metrics, batch_stats = reduce((grads, metrics, batch_stats))
        metrics["grad_norm"] = optax.tree.norm(grads)
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        ema = state.ema
        if ema_decay:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(params, ema, 1 - decay)
        return TrainState(state.step + 1, params, batch_stats, opt_state, ema), metrics

    return train_step
