"""The task in JAX libraries: pure functions of each, trained by one and the same step.

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
    """A `Chain` of couplings by halves, or of autoregressive maps by turns."""
    from flowjax_ood.bijectors import Chain
    from flowjax_ood.distributions import Flow

    maps = [_our_map(shape, task, k) for k in range(shape.couplings)]
    return _our_calls(Flow(Chain(maps), (shape.dim,)), x)


def ours_scan(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """The same maps as one scanned body."""
    from flowjax_ood.bijectors import Chain, Repeat, Reverse
    from flowjax_ood.distributions import Flow

    body = _our_map(shape, task, 0)
    if task == "autoregressive":
        body = Chain([body, Reverse()])
    return _our_calls(Flow(Repeat(body, shape.couplings), (shape.dim,)), x)


def _our_map(shape: Shape, task: str, index: int):
    from flowjax_ood import masks
    from flowjax_ood.bijectors import AffineCoupling, MaskedAffine, SplineCoupling
    from flowjax_ood.networks import MADE, MLP

    if task == "autoregressive":
        made = partial(MADE, (shape.width,) * shape.layers)
        # as many passes as the others take: Jacobi would end at once, as every map is
        # the identity at the start
        return MaskedAffine(made, ("raster", "reversed")[index % 2], "sequential")
    net = partial(MLP, width=shape.width, layers=shape.layers - 1)
    if task == "affine":
        return AffineCoupling(net, masks.alternate_halves, index)
    return SplineCoupling(
        net, masks.alternate_halves, index, bins=shape.bins, bound=BOUND
    )


def _our_calls(flow, x) -> Calls:
    variables = jax.jit(flow.init)(jax.random.key(0), x)

    def sample(variables, key):
        return flow.apply(variables, key, len(x), method="sample")

    return _calls(variables, flow.apply, sample, x)


def flowjax(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """`flows.coupling_flow` and its like; they scan, and permute between layers."""
    library, paramax, eqx = peer("flowjax"), peer("paramax"), peer("equinox")
    for part in ("flows", "distributions", "bijections"):
        peer(f"flowjax.{part}")
    spline = None
    if task == "spline":
        # its knots are those inside: one less than bins
        spline = library.bijections.RationalQuadraticSpline(
            knots=shape.bins - 1, interval=BOUND
        )
    build = library.flows.coupling_flow
    if task == "autoregressive":
        build = library.flows.masked_autoregressive_flow
    flow = build(
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

    def whole(params):
        return paramax.unwrap(eqx.combine(params, static))

    return _calls(
        params,
        lambda params, x: whole(params).log_prob(x),
        lambda params, key: whole(params).sample(key, (len(x),)),
        x,
    )


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

    def whole(params):
        couplings = [
            library.SplitCoupling(
                half, 1, partial(net.apply, p), inner, swap=k % 2 == 1
            )
            for k, (net, p) in enumerate(zip(nets, params, strict=True))
        ]
        base = library.MultivariateNormalDiag(jnp.zeros(shape.dim))
        # a distribution's map goes from latents to data; the first inverted is the last
        return library.Transformed(base, library.Inverse(library.Chain(couplings)))

    return _calls(
        params,
        lambda params, x: whole(params).log_prob(x),
        lambda params, key: whole(params).sample(seed=key, sample_shape=(len(x),)),
        x,
    )


def _calls(params, log_prob: Callable, sample: Callable, x: np.ndarray) -> Calls:
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

    density, draw, key = jax.jit(log_prob), jax.jit(sample), jax.random.key(0)
    return Calls(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        train=train,
        log_prob=lambda: jax.block_until_ready(density(params, on_device)),
        sample=lambda: jax.block_until_ready(draw(params, key)),
    )
