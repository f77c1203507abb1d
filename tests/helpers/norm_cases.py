"""What the tests of batch norm share."""

from functools import partial

import jax
import jax.numpy as jnp

from flowjax_ood.networks import BatchNorm

KEY = jax.random.key(0)
TRAIN = ["batch_stats"]
# compiled once and run once
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
X = 3 + 2 * jax.random.normal(KEY, (12, 4, 4, 3))


def step(x, group=0, mutable=TRAIN, **variables):
    """`(y, updates)` in training mode."""
    norm = BatchNorm(group=group)
    return norm.apply(norm.init(KEY, x) | variables, x, mutable=mutable)


def loss(params, x, group=0, weights=None):
    """A scalar that depends on every output, not on their mean and variance alone."""
    y, _ = BatchNorm(group=group).apply({"params": params, **START}, x, mutable=TRAIN)
    return jnp.mean(jnp.sin(y) * weights)


START = {"batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
PARAMS = {"scale": jnp.array([1.0, 2.0, -1.0]), "bias": jnp.array([0.0, 1.0, 2.0])}


def float64(tree):
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.float64), tree)
