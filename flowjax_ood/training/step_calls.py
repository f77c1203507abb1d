"""What wraps a training step on its way to the devices: several in a call, one mean."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def several(train_step: Callable, unroll: bool) -> Callable:
    """As many steps as the batches `[K, B, ...]` it is given are for, in one call.

    `unroll`: XLA's convolutions are slow inside a loop on CPU.
    """

    def steps(state, batches, key, **reduce):
        def one(state, batch):
            return train_step(state, batch, key, **reduce)

        return jax.lax.scan(one, state, batches, unroll=unroll)

    return steps


def mean_in_one(tree: Any, axis_name: str) -> Any:
    """Mean over the devices, leaf by leaf, in one all-reduce for each dtype."""
    leaves, treedef = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    found: list = [None] * len(leaves)
    for dtype in dict.fromkeys(leaf.dtype for leaf in leaves):
        own = [i for i, leaf in enumerate(leaves) if leaf.dtype == dtype]
        flat = jnp.concatenate([leaves[i].reshape(-1) for i in own])
        flat = jax.lax.pmean(flat, axis_name)
        ends = np.cumsum([leaves[i].size for i in own])
        for i, part in zip(own, jnp.split(flat, ends[:-1])):
            found[i] = part.reshape(leaves[i].shape)
    return jax.tree.unflatten(treedef, found)
