"""What the laws look at: each bijector of the table, compiled and run once."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.bijectors import leaves
from flowjax_ood.distributions import standard_normal_log_prob
from tests.helpers.law_table import BATCH, case

# XLA's optimisation passes cost more than they save on programs this small
COMPILER = {"xla_backend_optimization_level": 0}
KEY = jax.random.key(7)


class RoundTrip(NamedTuple):
    """`x -> z -> x_again`, everything flattened to `[B, D]`."""

    x: jax.Array
    z: jax.Array
    logdet: jax.Array
    x_again: jax.Array
    inverse_logdet: jax.Array


class Alone(NamedTuple):
    """Each example as a batch of its own, mapped by vmap."""

    z: jax.Array
    logdet: jax.Array
    jacobian: jax.Array


@cache
def in_float64(name) -> tuple[RoundTrip, RoundTrip, Alone]:
    """Round trips from the data and from random latents, and single examples.

    The second is one of the inverse: its x are latents, its z are events.
    """
    subject = case(name)

    def alone(variables, x, cond):
        def latents(x, cond):
            cond = None if cond is None else cond[None]
            z, logdet = subject.bijector.apply(variables, x[None], cond)
            z = flat(z)[0]
            return z, (z, logdet[0])

        jacobian, (z, logdet) = jax.jacfwd(latents, has_aux=True)(x, cond)
        return Alone(z, logdet, jacobian.reshape(z.size, x.size))

    def compute(variables, x, cond):
        apply = partial(subject.bijector.apply, variables)
        z, logdet = apply(x, cond)
        random = jax.tree.map(lambda a: jax.random.normal(KEY, a.shape, a.dtype), z)
        # one call inverts both the latents of the data and random ones
        both = jax.tree.map(lambda *parts: jnp.concatenate(parts), z, random)
        twice = None if cond is None else jnp.concatenate([cond, cond])
        events, inverse_logdet = apply(both, twice, method="inverse")
        again, forward_logdet = apply(events[BATCH:], cond)
        there = RoundTrip(
            flat(x), flat(z), logdet, flat(events[:BATCH]), inverse_logdet[:BATCH]
        )
        back = RoundTrip(
            flat(random),
            flat(events[BATCH:]),
            inverse_logdet[BATCH:],
            flat(again),
            forward_logdet,
        )
        return there, back, jax.vmap(alone, (None, 0, 0))(variables, x, cond)

    with jax.enable_x64(True):
        args = wide((subject.variables, subject.x, subject.cond))
        return run(compute, *args)


@cache
def in_float32(name) -> tuple[RoundTrip, dict, np.ndarray]:
    """`(round trip, d log_prob/d params, d log_prob/dx)`, one program."""
    subject = case(name)

    def log_prob(params, x):
        variables = subject.variables | {"params": params}
        z, logdet = subject.bijector.apply(variables, x, subject.cond)
        return jnp.mean(standard_normal_log_prob(z) + logdet), (z, logdet)

    def compute(variables, x):
        params = variables.get("params", {})
        by_both, (z, logdet) = jax.grad(log_prob, (0, 1), has_aux=True)(params, x)
        x_again, inverse_logdet = subject.bijector.apply(
            variables, z, subject.cond, method="inverse"
        )
        trip = RoundTrip(flat(x), flat(z), logdet, flat(x_again), inverse_logdet)
        return trip, *by_both

    return run(compute, subject.variables, subject.x)


def run(function, *args):
    """The outputs of a compiled function, as NumPy arrays."""
    compiled = jax.jit(function, compiler_options=COMPILER)
    return jax.tree.map(np.asarray, compiled(*args))


def wide(tree):
    """The tree in float64; only inside `jax.enable_x64(True)`."""
    return jax.tree.map(lambda a: a.astype(jnp.float64), tree)


def flat(event) -> jax.Array:
    """`[B, D]`: the arrays of an event, side by side."""
    return jnp.concatenate([a.reshape(a.shape[0], -1) for a in leaves(event)], axis=1)
