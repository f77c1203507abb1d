"""Layers of the st-networks against torch's conventions, worked out by hand."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.networks import Conv, Dense, WNConv, weight_norm
from flowjax_ood.precision import BFLOAT16

KEY = jax.random.key(0)

# --- weight norm -------------------------------------------------------------------


def test_weight_norm_by_hand():
    v = jnp.array([[3.0, 1.0], [4.0, 0.0]])
    w = weight_norm(v, jnp.array([10.0, -2.0]))
    np.testing.assert_allclose(w, [[6.0, -2.0], [8.0, 0.0]], rtol=1e-6)


def test_a_weight_normed_convolution_starts_as_a_plain_one():
    x = jax.random.normal(KEY, (2, 5, 4, 3))
    y, variables = WNConv(6).init_with_output(KEY, x)
    params = variables["params"]
    norm = np.sqrt((np.asarray(params["v"]) ** 2).sum((0, 1, 2)))
    np.testing.assert_allclose(params["g"], norm, rtol=1e-6)
    bound = 1 / math.sqrt(27)
    for name in ("v", "bias"):
        assert 0.8 * bound < np.abs(params[name]).max() <= bound
    plain = nn.Conv(6, (3, 3)).apply(
        {"params": {"kernel": params["v"], "bias": params["bias"]}}, x
    )
    np.testing.assert_allclose(y, plain, atol=1e-5)


@pytest.mark.thorough
def test_a_weight_normed_convolution_learns_from_zero():
    x = jax.random.normal(KEY, (2, 3, 3, 2))
    conv = WNConv(4, 1, zero_init=True)
    y, variables = conv.init_with_output(KEY, x)
    np.testing.assert_array_equal(y, 0)
    gradient = jax.grad(lambda v: (conv.apply(v, x) ** 2 + conv.apply(v, x)).sum())
    gradient = gradient(variables)["params"]
    assert all(np.isfinite(g).all() for g in gradient.values())
    assert (gradient["g"] != 0).all()
    assert (gradient["bias"] != 0).all()


def test_the_direction_has_no_gradient_along_itself():
    x = jax.random.normal(KEY, (2, 3, 3, 2))
    conv = WNConv(4)
    variables = conv.init(KEY, x)
    gradient = jax.grad(lambda v: (conv.apply(v, x) ** 2).sum())(variables)["params"]
    along = (gradient["v"] * variables["params"]["v"]).sum((0, 1, 2))
    np.testing.assert_allclose(along, 0, atol=1e-5)
    assert np.abs(gradient["v"]).max() > 0.1


def test_weight_norm_takes_its_norm_in_float32():
    """Only the finished kernel is rounded to bfloat16."""
    x = jax.random.normal(KEY, (2, 4, 4, 3))
    conv = WNConv(5, use_bias=False, precision=BFLOAT16)
    variables = conv.init(KEY, x)
    kernel = weight_norm(variables["params"]["v"], variables["params"]["g"])
    plain = nn.Conv(5, (3, 3), use_bias=False, dtype=jnp.bfloat16)
    expected = plain.apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_array_equal(conv.apply(variables, x), expected)


# --- plain convolution -------------------------------------------------------------


def test_a_convolution_starts_as_torchs():
    params = Conv(8, 5).init(KEY, jnp.zeros((1, 6, 6, 2)))["params"]
    bound = 1 / math.sqrt(5 * 5 * 2)
    assert params["kernel"].shape == (5, 5, 2, 8)
    for array in params.values():
        assert 0.7 * bound < np.abs(array).max() <= bound
    # torch counts a transposed convolution's fan-in over its outputs
    up = Conv(8, 5, transpose=True).init(KEY, jnp.zeros((1, 6, 6, 2)))["params"]
    assert 0.9 / math.sqrt(200) < np.abs(up["kernel"]).max() <= 1 / math.sqrt(200)


def test_a_convolution_with_an_initializer_has_no_bias_at_first():
    conv = Conv(8, kernel_init=nn.initializers.normal(0.05))
    params = conv.init(KEY, jnp.zeros((1, 6, 6, 20)))["params"]
    np.testing.assert_array_equal(params["bias"], 0)
    assert 0.045 < params["kernel"].std() < 0.055


def test_a_transposed_convolution_is_the_transpose():
    """`<A x, y> = <x, A^T y>`, the kernel's taps and channels reversed."""
    x, y = jax.random.normal(KEY, (1, 9, 9, 2)), jax.random.normal(KEY, (1, 4, 4, 3))
    down = Conv(3, 3, stride=2, padding="VALID")
    up = Conv(2, 3, stride=2, padding="VALID", transpose=True)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 3))
    params = {"kernel": kernel, "bias": jnp.zeros(3)}
    turned = {"kernel": kernel[::-1, ::-1].swapaxes(2, 3), "bias": jnp.zeros(2)}
    forth = down.apply({"params": params}, x)
    back = up.apply({"params": turned}, y)
    assert back.shape == x.shape
    np.testing.assert_allclose((forth * y).sum(), (x * back).sum(), rtol=1e-4)


def test_dense_has_torchs_initial_values():
    params = Dense(200).init(KEY, jnp.zeros((1, 25)))["params"]
    for array in params.values():
        assert 0.19 < np.abs(array).max() <= 0.2
        assert abs(float(array.mean())) < 0.02
