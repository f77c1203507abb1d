"""st-networks by their formulas: sizes, names, conditioning, dropout, precision."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamShapeError

from flowjax_ood.networks import (
    MLP,
    Autoencoder,
    GlowConvNet,
    Highway,
    ResidualBlock,
    ResNet,
    ResNetAE,
    WNConv,
)
from flowjax_ood.networks.autoencoder import sizes
from flowjax_ood.precision import PRECISIONS

KEY = jax.random.key(0)


def params_of(module, *args):
    """Shapes of the parameters, by name, without computing any."""
    shapes = jax.eval_shape(lambda key: module.init(key, *args), KEY)["params"]
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    return {"/".join(k.key for k in path): leaf.shape for path, leaf in leaves}


@pytest.mark.thorough
@pytest.mark.parametrize("skip", [True, False])
def test_resnet_by_its_formula(skip):
    x = jax.random.normal(KEY, (2, 4, 4, 2))
    net = ResNet(width=3, blocks=2, norm="none", skip=skip)
    variables = net.init(KEY, x, 4)
    params = variables["params"]

    def conv(name, x, kernel=3, features=3):
        return WNConv(features, kernel).apply({"params": params[name]}, x)

    h = conv("in_conv", nn.relu(jnp.concatenate([x, -x], -1)))
    total = conv("in_skip", h, 1) if skip else 0
    for i in range(2):
        block = params[f"block_{i}"]
        r = WNConv(3, use_bias=False).apply({"params": block["in_conv"]}, nn.relu(h))
        h = h + WNConv(3).apply({"params": block["out_conv"]}, nn.relu(r))
        if skip:
            total = total + conv(f"skip_{i}", h, 1)
    expected = conv("out_conv", nn.relu(total if skip else h), 1, 4)
    np.testing.assert_allclose(net.apply(variables, x, 4), expected, atol=1e-5)


def test_input_gain_multiplies_the_normed_input():
    x = jax.random.normal(KEY, (2, 4, 4, 1))
    plain = ResNet(width=3, blocks=1)
    variables = plain.init(KEY, x, 2)
    doubled = ResNet(width=3, blocks=1, input_gain=2.0).apply(variables, x, 2)
    variables["params"]["in_norm"]["scale"] = jnp.array([2.0])
    np.testing.assert_allclose(doubled, plain.apply(variables, x, 2), rtol=1e-6)


def test_parameter_names_and_shapes():
    x = jnp.zeros((2, 4, 4, 2))
    block = {"in_conv": (3, 3, 5, 5), "out_conv": (3, 3, 5, 5)}
    shapes = params_of(ResidualBlock(), jnp.zeros((2, 4, 4, 5)))
    assert {k: v for k, v in shapes.items() if k.endswith("/v")} == {
        f"{name}/v": shape for name, shape in block.items()
    }
    assert "in_conv/bias" not in shapes
    assert shapes["out_conv/bias"] == shapes["in_norm/scale"] == (5,)
    shapes = params_of(ResNetAE(width=5, blocks=4, latent_dim=3), x, 4)
    assert shapes["encode/kernel"] == (80, 3)
    assert shapes["decode/kernel"] == (3, 80)
    assert not any("skip" in name for name in shapes)
    shapes = params_of(MLP(width=7, layers=2), jnp.zeros((1, 3)), 6, jnp.zeros((1, 4)))
    assert shapes["in_dense/kernel"] == (7, 7)
    assert shapes["dense_1/kernel"] == (7, 7)
    assert shapes["out_dense/kernel"] == (7, 6)
    assert len(shapes) == 8


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (28, [28, 25, 22, 10, 4]),
        (14, [14, 11, 8, 5, 2]),
        (32, [32, 29, 26, 12, 5]),
        (16, [16, 13, 10, 7, 4]),
    ],
)
def test_autoencoder_sizes(size, expected):
    assert sizes(size, size // 14) == expected
    shapes = params_of(Autoencoder(latent_dim=3), jnp.zeros((1, size, size, 1)), 2)
    assert shapes["encode/kernel"] == (128 * expected[-1] ** 2, 3)


@pytest.mark.parametrize(
    ("channels", "size", "latent_dim", "count"),
    [
        (1, 28, 10, 503_756),
        (1, 28, 50, 667_636),
        (1, 28, 100, 872_486),
        (2, 14, 10, 473_038),
        (2, 14, 50, 514_038),
        (2, 14, 100, 565_288),
    ],
)
def test_autoencoder_parameter_counts(channels, size, latent_dim, count):
    x = jnp.zeros((1, size, size, channels))
    shapes = params_of(Autoencoder(latent_dim), x, 2 * channels)
    assert sum(math.prod(shape) for shape in shapes.values()) == count


@pytest.mark.thorough
def test_autoencoder_answers_at_its_inputs_size_and_hears_cond():
    net = Autoencoder(latent_dim=3)
    x = jax.random.normal(KEY, (2, 14, 14, 2))
    cond = jnp.array([[1.0], [2.0]])

    shapes = jax.eval_shape(lambda key: net.init(key, x, 4, cond), KEY)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda a: 0.1 * rng.normal(size=a.shape), shapes)
    variables = jax.tree.map(jnp.float32, variables)
    y, other = (net.apply(variables, x, 4, c) for c in (cond, cond.at[0].add(1)))
    assert y.shape == (2, 14, 14, 4)
    assert (y[0] != other[0]).any()
    np.testing.assert_allclose(y[1], other[1], rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (12, 14), (14, 13), (30, 30)])
def test_autoencoder_refuses_sizes_it_cannot_return(shape):
    message = f"cannot take {shape[0]}x{shape[1]} images"
    with pytest.raises(ValueError, match=message):
        params_of(Autoencoder(), jnp.zeros((1, *shape, 1)), 2)


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (ResNet(4, 1, norm="layer"), (1, 4, 4, 1), "unknown norm 'layer'"),
        (ResNetAE(4, blocks=1), (1, 4, 4, 1), "at least 2, got blocks=1"),
        (MLP(4), (1, 4, 4, 1), r"takes \[B, D\], got shape \(1, 4, 4, 1\)"),
    ],
)
def test_errors_name_the_value(net, shape, message):
    with pytest.raises(ValueError, match=message):
        params_of(net, jnp.zeros(shape), 2)


def test_dropout_acts_with_its_stream_alone():
    net = MLP(width=64, dropout=0.5)
    x = jax.random.normal(KEY, (3, 4))
    variables = net.init(KEY, x, 2)
    still = net.apply(variables, x, 2)
    np.testing.assert_array_equal(net.apply(variables, x, 2), still)
    plain = MLP(width=64).apply(variables, x, 2)
    np.testing.assert_array_equal(plain, still)
    first, again, other = (
        net.apply(variables, x, 2, rngs={"dropout": jax.random.key(k)})
        for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != still).any()


NETS = {
    "resnet": (partial(ResNet, 4, 1), (2, 4, 4, 1)),
    "resnet_ae": (partial(ResNetAE, 4, 2, 3), (2, 4, 4, 1)),
    "autoencoder": (partial(Autoencoder, 3), (2, 14, 14, 1)),
    "highway": (partial(Highway, 4, 2), (2, 4, 4, 1)),
    "glow_convnet": (partial(GlowConvNet, 4), (2, 4, 4, 1)),
    "mlp": (partial(MLP, 4), (2, 5)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_conditional_network_does_without_cond_on_no_account(name):
    make, shape = NETS[name]
    net, x, cond = make(), jnp.zeros(shape), jnp.zeros((2, 3))

    def tried(with_cond, without):
        variables = net.init(KEY, x, 2, *with_cond)
        return net.apply(variables, x, 2, *without)

    answer = (*shape[:-1], 2)
    assert jax.eval_shape(partial(tried, (), ())).shape == answer
    assert jax.eval_shape(partial(tried, (cond,), (cond,))).shape == answer
    # the MLP takes cond for a part of its input: another width is no silent matter
    error, message = ValueError, f"{type(net).__name__} .* give cond to every method"
    if name == "mlp":
        error, message = ScopeParamShapeError, "kernel"
    with pytest.raises(error, match=message):
        jax.eval_shape(partial(tried, (cond,), ()))


@pytest.mark.parametrize(("make", "shape"), NETS.values(), ids=NETS)
def test_reduced_precision_keeps_float32_variables(make, shape):
    x, cond = jnp.zeros(shape), jnp.zeros((2, 3))
    for name, answer in (("tensorfloat32", "float32"), ("bfloat16", "bfloat16")):
        net = make(precision=PRECISIONS[name])
        both = jax.eval_shape(lambda k, n=net: n.init_with_output(k, x, 2, cond), KEY)
        assert both[0].dtype == answer
        assert {a.dtype for a in jax.tree.leaves(both[1])} == {np.dtype("float32")}
