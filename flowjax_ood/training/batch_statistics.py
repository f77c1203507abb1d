"""Batch-norm statistics recomputed over training data, before evaluation."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from flowjax_ood.distributions import Flow


def recompute_batch_stats(
    flow: Flow,
    variables: dict,
    batches: Iterable[jax.Array],
    place: Callable = lambda x: x,
) -> dict:
    """`variables` whose running statistics are those of the given batches, pooled.

    `mean = E[m]`, `var = E[v] + E[m^2] - E[m]^2` over the batches' means m and unbiased
    variances v, every batch passing through the flow in batch-statistics mode. The
    running averages of training lag behind the weights and let the likelihood of rare
    inputs explode (in the paper's code, outliers wreck the means); these do not lag.
    `batches` are dequantised images of one size. Without batch norm, `variables` come
    back as they are. Source: Wu and Johnson 2021, section 3 ("precise BN").
    """
    if not variables.get("batch_stats"):
        return variables

    @jax.jit
    def moments(variables, x):
        collections = ["batch_stats", "batch_moments"]
        _, updates = flow.apply(variables, x, mutable=collections)
        return updates["batch_moments"]

    total, count = None, 0
    for x in batches:
        found = _pair_up(moments(variables, place(x)))
        total = found if total is None else jax.tree.map(jnp.add, total, found)
        count += 1
    if not count:
        raise ValueError("recompute_batch_stats needs at least one batch, got none")
    return variables | {"batch_stats": _pooled(total, count)}


def _pair_up(tree: dict) -> dict:
    """Each layer's `{mean, var}` with the mean's square beside it."""
    if set(tree) == {"mean", "var"}:
        return {**tree, "square": tree["mean"] ** 2}
    return {name: _pair_up(child) for name, child in tree.items()}


def _pooled(tree: dict, count: int) -> dict:
    if set(tree) == {"mean", "var", "square"}:
        mean = tree["mean"] / count
        spread = jnp.maximum(tree["square"] / count - mean**2, 0)
        return {"mean": mean, "var": tree["var"] / count + spread}
    return {name: _pooled(child, count) for name, child in tree.items()}
