"""The st-network of conditions that are images; and vectors' networks refuse them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.networks import MLP, GlowConvNet, ImageConditioned, ResNet
from tests.helpers.generic_variables import generic_variables

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(2, 6, 7, 1)), jnp.float32)
COND = jnp.asarray(RNG.normal(size=(2, 6, 7, 3)), jnp.float32)
NET = ImageConditioned(width=4, layers=1)


def convolved(x, kernel, bias):
    """3x3 with zeros around, in float64."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    h, w = x.shape[1:3]
    taps = [
        padded[:, i : i + h, j : j + w] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    ]
    return sum(taps) + bias


@pytest.mark.parametrize("x", [X, None])
def test_it_convolves_x_and_cond_side_by_side(x):
    variables = generic_variables(NET, RNG, x, 5, COND)
    p = jax.tree.map(lambda a: np.asarray(a, float), variables["params"])
    both = np.asarray(COND if x is None else np.concatenate([x, COND], -1), float)
    h = np.maximum(convolved(both, **p["conv_0"]), 0)
    expected = convolved(h, **p["out_conv"])
    found = NET.apply(variables, x, 5, COND)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "reach"), [(3, 2), (1, 1), (5, 3)])
def test_a_pixel_sees_the_condition_around_it(kernel, reach):
    """Half a kernel, and a pixel for the 3x3 of the last layer."""
    net = ImageConditioned(width=4, layers=1, kernel=kernel)
    cond = jnp.asarray(RNG.normal(size=(2, 6, 9, 3)), jnp.float32)
    variables = generic_variables(net, RNG, None, 2, cond)

    def output(cond):
        return net.apply(variables, None, 2, cond)[0, 3, 4].sum()

    seen = np.abs(jax.grad(output)(cond)).sum(-1) > 0
    assert not seen[1].any()
    far = np.maximum(abs(np.arange(6) - 3)[:, None], abs(np.arange(9) - 4))
    assert not seen[0][far > reach].any()
    assert seen[0][:, [4 - reach, 4 + reach]].any(0).all()


def test_it_starts_at_zero():
    variables = NET.init(jax.random.key(0), X, 2, COND)
    np.testing.assert_array_equal(NET.apply(variables, X, 2, COND), 0)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (None, "got None"),
        (COND[:, :3], r"needs cond \[B, 6, 7, K\].*\(2, 3, 7, 3\)"),
        (COND[:, 0, 0], "for vectors .* GlowConvNet"),
    ],
)
def test_other_conditions_are_refused(cond, message):
    with pytest.raises(ValueError, match=message):
        NET.init(jax.random.key(0), X, 2, cond)


@pytest.mark.parametrize(
    "net", [GlowConvNet(width=2), ResNet(width=2, blocks=1), MLP(width=2)]
)
def test_networks_of_vector_conditions_name_this_one(net):
    x = X[:, 0, :, 0] if isinstance(net, MLP) else X
    with pytest.raises(ValueError, match=r"\[B, K\].*networks.ImageConditioned"):
        net.init(jax.random.key(0), x, 2, COND)


@pytest.mark.parametrize(
    "arguments",
    [{"width": 0}, {"layers": 0}, {"width": 1.5}, {"kernel": 0}, {"kernel": 4}],
)
def test_numbers_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ImageConditioned(**arguments)
