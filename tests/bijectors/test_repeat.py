"""Repeated blocks: every mode is the chain of separate blocks, values and gradients."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv1x1,
    Repeat,
    SplineCoupling,
    restack,
    stack_layers,
    unstack_layers,
)
from flowjax_ood.networks import MLP, ResNet

N = 3
NET = partial(ResNet, width=3, blocks=1, norm="none", skip=False)
SETTINGS = [
    {"mode": "scan"},
    {"mode": "unroll"},
    {"mode": "scan", "remat": "full"},
    {"mode": "unroll", "remat": "st"},
    {"mode": "scan", "reversible": True},
    {"mode": "unroll", "reversible": True},
]


def glow_step(k=0):
    coupling = AffineCoupling(NET, masks.alternate_channel_wise, k)
    return Chain([ActNorm(), InvertibleConv1x1(), coupling])


def spline_step(k=0):
    return SplineCoupling(NET, masks.cycle, k, bins=3)


STEPS = {"glow": glow_step, "spline": spline_step}


@cache
def case(name):
    """The chain of separate blocks with drawn parameters, in float64."""
    step = STEPS[name]
    chain = Chain([step(k) for k in range(N)])
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 2))
    params = chain.init(jax.random.key(1), x)["params"]
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    drawn = [a + 0.3 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves)]
    return chain, structure.unflatten(drawn), x


def loss_and_gradients(bijector, params, x):
    """Weighs latents and log-determinants unevenly; the gradient by both arguments."""

    def loss(params, x):
        z, logdet = bijector.apply({"params": params}, x)
        weight = jnp.arange(1.0, 1 + z.size).reshape(z.shape)
        return jnp.sum(jnp.sin(weight) * z) + logdet @ jnp.array([1.0, -2.0])

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, x)


@cache
def expected(name):
    with jax.enable_x64(True):
        chain, params, x = case(name)
        wide = jax.tree.map(lambda a: a.astype(jnp.float64), (params, x))
        return jax.tree.map(np.asarray, loss_and_gradients(chain, *wide))


# a mode does not look into its block: all for one kind of step, two for the other
CASES = [("glow", s) for s in SETTINGS] + [
    ("spline", s) for s in ({"mode": "unroll"}, {"mode": "scan", "reversible": True})
]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "setting"), CASES, ids=str)
def test_every_mode_is_the_chain(name, setting):
    chain, params, x = case(name)
    repeat = Repeat(STEPS[name](), N, **setting)
    value, (by_params, by_x) = expected(name)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: a.astype(jnp.float64), (params, x))
        stacked = restack(chain, wide[0], repeat)
        found, (found_params, found_x) = loss_and_gradients(repeat, stacked, wide[1])
    np.testing.assert_allclose(found, value, rtol=1e-9)
    np.testing.assert_allclose(found_x, by_x, rtol=1e-9, atol=1e-9)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9),
        restack(repeat, found_params, chain),
        by_params,
    )


@pytest.mark.thorough
def test_data_dependent_initialisation_goes_through_the_stack():
    """Each ActNorm normalises what the blocks before it give, as in a chain."""
    repeat = Repeat(glow_step(), N)
    x = 3 + 2 * jax.random.normal(jax.random.key(3), (8, 4, 4, 2))
    params = repeat.init(jax.random.key(4), x)["params"]
    for k, layer in enumerate(unstack_layers(params)):
        z, _ = ActNorm().apply({"params": layer["bijectors_0"]}, x)
        np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=1e-5)
        x, _ = glow_step(k).apply({"params": layer}, x)


@pytest.mark.thorough
def test_batch_statistics_are_those_of_the_chain():
    net = partial(ResNet, width=3, blocks=1)
    chain = Chain([AffineCoupling(net, index=k) for k in range(N)])
    repeat = Repeat(AffineCoupling(net), N)
    x = jax.random.normal(jax.random.key(5), (4, 4, 4, 1))
    variables = chain.init(jax.random.key(6), x)
    stacked = {k: restack(chain, tree, repeat) for k, tree in variables.items()}
    collections = ["batch_stats", "batch_moments"]
    (z, logdet), updates = chain.apply(variables, x, mutable=collections)
    (again, also), found = repeat.apply(stacked, x, mutable=collections)
    np.testing.assert_allclose(again, z, atol=1e-5)
    np.testing.assert_allclose(also, logdet, atol=1e-4)
    for name in collections:
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
            restack(repeat, found[name], chain),
            updates[name],
        )
    reversible = Repeat(AffineCoupling(net), N, reversible=True)
    with pytest.raises(ValueError, match="cannot train batch norm"):
        reversible.apply(stacked, x, mutable=["batch_stats"])


@pytest.mark.thorough
def test_reversible_memory_does_not_grow_with_depth():
    """As a training step asks for it: batch statistics may be written, by any flow."""

    def temporary(n, **setting):
        repeat = Repeat(AffineCoupling(NET, masks.alternate_checkerboard), n, **setting)
        x = jnp.zeros((16, 8, 8, 1))
        params = jax.eval_shape(repeat.init, jax.random.key(0), x)["params"]

        def loss(params, x):
            out, _ = repeat.apply({"params": params}, x, mutable=["batch_stats"])
            return jnp.sum(out[0]) + jnp.sum(out[1])

        compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # the parameters' gradients alone grow
    assert temporary(32, reversible=True) < 1.2 * temporary(4, reversible=True)
    assert temporary(32) > 2 * temporary(4)


def test_masks_of_other_widths_are_refused():
    net = partial(MLP, width=3)
    repeat = Repeat(AffineCoupling(net, masks.alternate_halves), 2)
    assert repeat.latent_shape((4,)) == (4,)
    with pytest.raises(ValueError, match=r"equally many channels.*\(5,\)"):
        repeat.latent_shape((5,))
    with pytest.raises(ValueError, match="equally many channels"):
        jax.eval_shape(repeat.init, jax.random.key(0), jnp.zeros((2, 5)))


def test_masks_of_other_layouts_are_refused():
    def mixed(k, shape):
        return (masks.alternate_tabular, masks.alternate_halves)[k % 2](k, shape)

    repeat = Repeat(AffineCoupling(partial(MLP, width=3), mixed), 2)
    with pytest.raises(ValueError, match="masks of one layout"):
        repeat.latent_shape((4,))


@pytest.mark.thorough
def test_the_body_is_compiled_once_however_long_the_stack():
    def length(n, mode):
        repeat = Repeat(glow_step(), n, mode)
        x = jnp.zeros((2, 4, 4, 2))
        variables = jax.eval_shape(repeat.init, jax.random.key(0), x)
        lowered = jax.jit(repeat.apply).lower(variables, x)
        return len(lowered.compile().as_text().splitlines())

    assert length(8, "scan") == length(16, "scan")
    assert length(16, "unroll") > 1.5 * length(8, "unroll")


def test_stacking_layers_and_taking_them_apart():
    layers = [{"a": jnp.full(2, float(k))} for k in range(3)]
    stacked = stack_layers(layers)
    assert stacked["stack"]["a"].shape == (3, 2)
    for layer, again in zip(layers, unstack_layers(stacked), strict=True):
        np.testing.assert_array_equal(layer["a"], again["a"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n >= 1, got 0"),
        ({"mode": "loop"}, "unknown mode 'loop'"),
        ({"remat": "some"}, "unknown remat 'some'"),
        ({"remat": "full", "reversible": True}, "give remat=None"),
    ],
)
def test_unknown_settings(arguments, message):
    repeat = Repeat(glow_step(), **({"n": 2} | arguments))
    with pytest.raises(ValueError, match=message):
        repeat.latent_shape((4, 4, 2))
    with pytest.raises(ValueError, match=message):
        repeat.init(jax.random.key(0), jnp.zeros((2, 4, 4, 2)))


def test_different_stacks_are_not_rearranged():
    chain, params, _ = case("glow")
    with pytest.raises(ValueError, match=r"9 layers.* given, 6 layers.* needed"):
        restack(chain, params, Repeat(glow_step(), 2))


def plu(seed):
    return InvertibleConv1x1("plu", seed)


@pytest.mark.thorough
def test_convolutions_are_rearranged_where_their_seeds_agree():
    x = jax.random.normal(jax.random.key(0), (2, 2, 2, 3))
    repeat, chain = Repeat(plu(7), N), Chain([plu(7) for _ in range(N)])
    params = repeat.init(jax.random.key(1), x)["params"]
    params = jax.tree.map(
        lambda a: a + 0.1 * jnp.arange(a.size).reshape(a.shape), params
    )
    z, logdet = repeat.apply({"params": params}, x)
    same, also = chain.apply({"params": restack(repeat, params, chain)}, x)
    np.testing.assert_allclose(same, z, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(also, logdet, rtol=1e-5)


def test_convolutions_of_other_seeds_are_not_rearranged():
    """Their permutations and signs are not among the parameters."""
    chain, repeat = Chain([plu(k) for k in range(N)]), Repeat(plu(0), N)
    x = jnp.zeros((1, 2, 2, 3))
    for source, target in ((chain, repeat), (repeat, chain)):
        params = source.init(jax.random.key(0), x)["params"]
        with pytest.raises(ValueError, match=r"of seed [01] to one of seed [01]"):
            restack(source, params, target)
