"""Recompute batch-norm statistics over training data, before evaluation."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.distributions import Flow
from flowjax_ood.runtime.processes import fetch


def recompute_batch_stats(
    flow: Flow,
    variables: dict,
    batches: Iterable[jax.Array | tuple],
    place: Callable = lambda x: x,
) -> dict:
    """`mean = E[m]`, `var = E[v] + E[m^2] - E[m]^2`: statistics of all batches, pooled.

    Expectations are over the batches' means m and unbiased variances v, every batch
    passing through the flow in batch-statistics mode. The running averages of training
    lag behind the weights and let the likelihood of rare inputs explode (in the paper's
    code, outliers wreck the means); these do not lag.
    Source: Wu and Johnson 2021, section 3 ("precise BN").

    Args:
        flow: of these variables.
        variables: not changed.
        batches: dequantised images `x [B, ...]`, or pairs `(x, cond)` for a conditional
            flow, all of one size.
        place: puts each of their arrays on the devices.

    Returns:
        `variables` with new running statistics; as they are without batch norm.

    Raises:
        ValueError: no batch, batches of several sizes, tuples that are not pairs, and
            layers that keep running statistics without sowing their batch's `mean` and
            `var` in `batch_moments`.
    """
    running = variables.get("batch_stats")
    if not running:
        return variables

    @jax.jit
    def moments(variables, batch):
        collections = ["batch_stats", "batch_moments"]
        with jax.default_matmul_precision("highest"):
            _, updates = flow.apply(variables, *batch, mutable=collections)
        return updates.get("batch_moments", {})

    sizes, results = set(), []
    for batch in batches:
        if not isinstance(batch, tuple):
            batch = (batch,)
        elif len(batch) != 2:
            raise ValueError(
                f"a batch must be x or a pair (x, cond), got a tuple of {len(batch)}"
            )
        sizes.add(len(batch[0]))
        if len(sizes) > 1:
            raise ValueError(
                f"batches of {sorted(sizes)} images weigh the same in the pooled "
                "statistics; give batches of one size"
            )
        results.append(moments(variables, jax.tree.map(place, batch)))
    if not results:
        raise ValueError("recompute_batch_stats needs at least one batch, got none")
    given: Any = jax.tree.structure(results[0])
    if given != jax.tree.structure(running):
        raise ValueError(
            "a layer of this flow keeps running statistics but does not sow the mean "
            "and var of its batch in `batch_moments`; use networks.BatchNorm"
        )
    # float64: the spread of the means is a small difference of large squares
    stacked = jax.tree.map(
        lambda *leaves: np.stack(leaves).astype(np.float64), *fetch(results)
    )
    return variables | {"batch_stats": _pooled(stacked)}


def _pooled(tree: dict) -> dict:
    """Each layer's `{mean, var}`, stacked over the batches, to that of all batches."""
    if set(tree) == {"mean", "var"}:
        mean, var = tree["mean"], tree["var"].mean(0) + tree["mean"].var(0)
        return {
            "mean": jnp.asarray(mean.mean(0), jnp.float32),
            "var": jnp.asarray(var, jnp.float32),
        }
    return {name: _pooled(child) for name, child in tree.items()}
