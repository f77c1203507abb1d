"""Flows with conditional couplings and base densities, shared by their tests."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    FactorOut,
    Logit,
    Repeat,
    SplineCoupling,
    Squeeze,
    leaves,
)
from flowjax_ood.distributions import ConditionalNormal, Flow
from flowjax_ood.networks import MLP, ResNet

BATCH, K = 4, 3
DENSE = partial(MLP, width=5)
CONV = partial(ResNet, width=3, blocks=1, norm="none", skip=False)


def vector_flow(base, **repeat):
    block = Chain([ActNorm(), AffineCoupling(DENSE, masks.alternate_tabular)])
    last = SplineCoupling(DENSE, masks.alternate_tabular, 1, bins=4)
    return Flow(Chain([Repeat(block, 3, **repeat), last]), (3,), base)


def image_flow(base):
    inner = Chain([ActNorm(), AffineCoupling(CONV, masks.alternate_channel_wise)])
    parts = [Logit(), AffineCoupling(CONV), Squeeze(), FactorOut(inner)]
    return Flow(Chain(parts), (2, 2, 1), base)


FLOWS = {
    "vector": vector_flow(ConditionalNormal(hidden=(4,))),
    "image": image_flow(ConditionalNormal(per="channel")),
}


def run(function, *args):
    """The outputs of a compiled function; small programs need no optimisation."""
    options = {"xla_backend_optimization_level": 0}
    compiled = jax.jit(function, compiler_options=options)
    return jax.tree.map(np.asarray, compiled(*args))


def wide(tree):
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)


def inputs(flow, num=BATCH):
    """Events in [0, 1) and conditions that are not one-hot."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0.05, 0.95, (num, *flow.event_shape)).astype(np.float32)
    return x, rng.normal(size=(num, K)).astype(np.float32)


def drawn(flow):
    """Variables with noise on everything that starts at zero."""
    start = jax.eval_shape(lambda *a: flow.init(jax.random.key(0), *a), *inputs(flow))
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda like: (0.5 * rng.normal(size=like.shape)).astype(np.float32),
        dict(start),
    )


def flat(event):
    return jnp.concatenate([a.reshape(len(a), -1) for a in leaves(event)], axis=1)
