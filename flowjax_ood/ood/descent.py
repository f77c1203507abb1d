"""Adam with half a cosine, for the small models that some scores are made of.

`flowjax_ood.training` is for models that take longer: it resumes and spreads over
devices, and it stands above this package.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowjax_ood.ood.batched import compiled
from flowjax_ood.runtime.once import run_once

# steps of one compiled program
CHUNK = 25
WARMUP = 20
CLIP_NORM = 100.0

# (parameters, rows of a batch, key) -> the loss, a scalar
Loss = Callable[[Any, Any, jax.Array], jax.Array]


def minimised(
    loss: Loss,
    params: Any,
    columns: Any,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    name: str,
) -> Any:
    """The parameters after `steps` steps of Adam on `loss`, rates falling to 0.

    Args:
        loss: of parameters, the rows of a batch and a key; it compares and hashes, so
            that fits of the same model share a program.
        params: where it starts, a pytree.
        columns: a pytree of arrays `[N, ...]`; a batch has rows of them that are drawn
            with repetition by `seed`.
        steps: of training, the first 20 with rising rates.
        batch_size: rows of a batch.
        learning_rate: the highest rate.
        seed: of the batches and of the keys.
        name: of the detector, for the error.

    Raises:
        ValueError: the loss did not stay finite.
    """
    count = len(jax.tree.leaves(columns)[0])
    rows, key = np.random.default_rng(seed), jax.random.key(seed)
    columns = jax.tree.map(jnp.asarray, columns)
    state = params, _optimizer().init(params)
    for number, chunk in enumerate(rates(learning_rate, steps)):
        chosen = rows.integers(count, size=(CHUNK, batch_size)).astype(np.int32)
        keys = jax.random.split(jax.random.fold_in(key, number), CHUNK)
        state, losses = _advance(loss, state, columns, chosen, chunk, keys)
        if not np.isfinite(losses).all():
            raise ValueError(
                f"{name}: training did not stay finite, after {number * CHUNK} to "
                f"{(number + 1) * CHUNK} steps: give a smaller learning_rate than "
                f"{learning_rate:g}"
            )
    return jax.device_get(state[0])


def started(module: nn.Module, seed: int, *inputs) -> Any:
    """The parameters that a module starts from, for inputs of those shapes."""
    return run_once(module.init, jax.random.key(seed), *inputs).get("params", {})


def _optimizer() -> optax.GradientTransformation:
    clip = optax.clip_by_global_norm(CLIP_NORM)
    return optax.chain(clip, optax.scale_by_adam())


def rates(learning_rate: float, steps: int) -> np.ndarray:
    """Rates of steps `[chunks, CHUNK]`: warm-up, half a cosine, and 0 after the end."""
    done = np.arange(-(-steps // CHUNK) * CHUNK)
    found = learning_rate * np.minimum(1, (done + 1) / min(WARMUP, steps))
    found = found * (1 + np.cos(np.pi * np.minimum(done / steps, 1))) / 2
    return found.astype(np.float32).reshape(-1, CHUNK)


@partial(compiled, static_argnums=0)
def _advance(loss: Loss, state, columns, chosen, rates, keys):
    """Steps by the rows `chosen [C, B]` at `rates [C]`: `(state, losses [C])`."""

    def one(state, at):
        params, moments = state
        index, rate, key = at
        rows = jax.tree.map(lambda column: column[index], columns)
        value, gradients = jax.value_and_grad(loss)(params, rows, key)
        updates, moments = _optimizer().update(gradients, moments)
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return (params, moments), value

    return jax.lax.scan(one, state, (chosen, rates, keys))
