"""Layers of the st-networks against torch's conventions, worked out by hand."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.networks import BatchNorm, Dense, WNConv, weight_norm

KEY = jax.random.key(0)

# --- batch norm --------------------------------------------------------------------

BATCH = jnp.array([[1.0, 10.0], [3.0, 10.0], [8.0, 40.0]])
# mean 4 and 20; biased variance 26/3 and 200; unbiased 13 and 300


def test_batch_norm_in_training_mode_is_torchs():
    norm = BatchNorm()
    variables = norm.init(KEY, BATCH)
    y, state = norm.apply(variables, BATCH, mutable=["batch_stats"])
    expected = (BATCH - jnp.array([4.0, 20.0])) / jnp.sqrt(jnp.array([26 / 3, 200.0]))
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    stats = state["batch_stats"]
    np.testing.assert_allclose(stats["mean"], [0.4, 2.0], rtol=1e-6)
    np.testing.assert_allclose(stats["var"], [0.9 + 1.3, 0.9 + 30.0], rtol=1e-6)


def test_batch_norm_in_evaluation_mode_uses_the_running_statistics():
    norm = BatchNorm()
    variables = {
        "params": {"scale": jnp.array([2.0, 1.0]), "bias": jnp.array([0.5, 0.0])},
        "batch_stats": {"mean": jnp.array([1.0, 0.0]), "var": jnp.array([4.0, 100.0])},
    }
    y = norm.apply(variables, BATCH)
    expected = np.array([[0.5, 1.0], [2.5, 1.0], [7.5, 4.0]])
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_batch_norm_starts_from_mean_zero_and_variance_one():
    variables = BatchNorm().init(KEY, 7 * BATCH)
    stats = variables["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], [0.0, 0.0])
    np.testing.assert_array_equal(stats["var"], [1.0, 1.0])
    assert set(variables) == {"params", "batch_stats"}


def test_batch_norm_pools_over_positions_and_sows_the_moments():
    x = jax.random.normal(KEY, (4, 3, 5, 2))
    norm = BatchNorm()
    variables = norm.init(KEY, x)
    y, state = norm.apply(variables, x, mutable=["batch_stats", "batch_moments"])
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-4)
    moments = state["batch_moments"]
    np.testing.assert_allclose(moments["mean"], x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(moments["var"], x.var((0, 1, 2), ddof=1), rtol=1e-5)


def test_batch_norm_of_one_value_stays_finite():
    x = jnp.ones((1, 3))
    y, state = BatchNorm().apply(BatchNorm().init(KEY, x), x, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_allclose(state["batch_stats"]["var"], [0.9] * 3, rtol=1e-6)


def test_batch_norm_keeps_statistics_in_float32():
    x = jnp.asarray(BATCH, jnp.bfloat16)
    y, state = BatchNorm().apply(BatchNorm().init(KEY, x), x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(state)} == {np.dtype("float32")}


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


def test_dense_has_torchs_initial_values():
    params = Dense(200).init(KEY, jnp.zeros((1, 25)))["params"]
    for array in params.values():
        assert 0.19 < np.abs(array).max() <= 0.2
        assert abs(float(array.mean())) < 0.02
