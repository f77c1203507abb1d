"""The task in JAX libraries: a pure log-density each, trained by one and the same step.

The step is jitted and its state donated: at least as fast as the training loops that
the libraries bring along.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module as peer

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers.tasks import LEARNING_RATE, Calls, Shape

BOUND = 5.0


def ours(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """A `Chain` of couplings: those of `TabularRealNVP(mask="halves")`, or splines."""
    from flowjax_ood.bijectors import Chain
    from flowjax_ood.distributions import Flow

    couplings = [_our_coupling(shape, task, k) for k in range(shape.couplings)]
    return _our_calls(Flow(Chain(couplings), (shape.dim,)), x)


def ours_scan(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """The same couplings as one scanned body."""
    from flowjax_ood.bijectors import Repeat
    from flowjax_ood.distributions import Flow

    block = Repeat(_our_coupling(shape, task, 0), shape.couplings)
    return _our_calls(Flow(block, (shape.dim,)), x)


def _our_coupling(shape: Shape, task: str, index: int):
    from flowjax_ood import masks
    from flowjax_ood.bijectors import AffineCoupling, SplineCoupling
    from flowjax_ood.networks import MLP

    net = partial(MLP, width=shape.width, layers=shape.layers - 1)
    if task == "affine":
        return AffineCoupling(net, masks.alternate_halves, index)
    return SplineCoupling(
        net, masks.alternate_halves, index, bins=shape.bins, bound=BOUND
    )


def _our_calls(flow, x) -> Calls:
    variables = jax.jit(flow.init)(jax.random.key(0), x)
    return _calls(variables, flow.apply, x)


def flowjax(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """`flows.coupling_flow`, which scans over layers and permutes between them."""
    library, paramax, eqx = peer("flowjax"), peer("paramax"), peer("equinox")
    for part in ("flows", "distributions", "bijections"):
        peer(f"flowjax.{part}")
    spline = None
    if task == "spline":
        # its knots are those inside: one less than bins
        spline = library.bijections.RationalQuadraticSpline(
            knots=shape.bins - 1, interval=BOUND
        )
    flow = library.flows.coupling_flow(
        jax.random.key(0),
        base_dist=library.distributions.Normal(jnp.zeros(shape.dim)),
        transformer=spline,
        flow_layers=shape.couplings,
        nn_width=shape.width,
        nn_depth=shape.layers,
    )
    params, static = eqx.partition(
        flow,
        eqx.is_inexact_array,
        is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable),
    )

    def log_prob(params, x):
        return paramax.unwrap(eqx.combine(params, static)).log_prob(x)

    return _calls(params, log_prob, x)


def distrax(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """A `Chain` of `SplitCoupling`s with Flax MLPs; distrax has no networks."""
    import flax.linen as nn

    library, half = peer("distrax"), shape.dim // 2
    numbers = 2 if task == "affine" else 3 * shape.bins + 1

    class MLP(nn.Module):
        features: int

        @nn.compact
        def __call__(self, h):
            for _ in range(shape.layers):
                h = nn.relu(nn.Dense(shape.width)(h))
            # the identity at the start, as in distrax's own example
            return nn.Dense(self.features, kernel_init=nn.initializers.zeros)(h)

    def inner(raw):
        raw = raw.reshape(*raw.shape[:-1], -1, numbers)
        if task == "affine":
            return library.ScalarAffine(
                shift=raw[..., 0], log_scale=jnp.tanh(raw[..., 1])
            )
        return library.RationalQuadraticSpline(
            raw, -BOUND, BOUND, boundary_slopes="identity"
        )

    sizes = [(half, shape.dim - half), (shape.dim - half, half)]
    nets = [MLP(sizes[k % 2][1] * numbers) for k in range(shape.couplings)]
    params = [
        net.init(jax.random.key(k), jnp.zeros((1, sizes[k % 2][0])))
        for k, net in enumerate(nets)
    ]

    def log_prob(params, x):
        couplings = [
            library.SplitCoupling(
                half, 1, partial(net.apply, p), inner, swap=k % 2 == 1
            )
            for k, (net, p) in enumerate(zip(nets, params, strict=True))
        ]
        base = library.MultivariateNormalDiag(jnp.zeros(shape.dim))
        # a distribution's map goes from latents to data; the first inverted is the last
        flow = library.Transformed(base, library.Inverse(library.Chain(couplings)))
        return flow.log_prob(x)

    return _calls(params, log_prob, x)


def _calls(params, log_prob: Callable, x: np.ndarray) -> Calls:
    optimizer, on_device = optax.adam(LEARNING_RATE), jnp.asarray(x)

    def loss_fn(params):
        return -jnp.mean(log_prob(params, on_device))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        loss, grads = jax.value_and_grad(loss_fn)(params)
        changes, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, changes), state, loss

    # the step is donated its own copy
    held = [jax.tree.map(jnp.copy, params)]
    held.append(optimizer.init(held[0]))

    def train() -> float:
        held[0], held[1], loss = step(*held)
        return float(loss)

    density = jax.jit(log_prob)
    return Calls(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        train=train,
        log_prob=lambda: jax.block_until_ready(density(params, on_device)),
    )
