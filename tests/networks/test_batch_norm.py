"""Batch norm: torch's, and of a batch that is spread over an axis of devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import RealNVP
from flowjax_ood.networks import BatchNorm
from flowjax_ood.runtime.shares import batch_axis, reducing_over
from tests.helpers.norm_cases import (
    KEY,
    PARAMS,
    START,
    TRAIN,
    X,
    float64,
    loss,
    quick,
    step,
)

# --- torch's conventions, by hand -----------------------------------------------------

BATCH = jnp.array([[1.0, 10.0], [3.0, 10.0], [8.0, 40.0]])
# mean 4 and 20; biased variance 26/3 and 200; unbiased 13 and 300


@pytest.mark.accelerator
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


def test_batch_norm_rounds_once():
    """In bfloat16 it answers what it would in float32, rounded."""
    x = jnp.asarray(100 + jax.random.normal(KEY, (50, 3)), jnp.bfloat16)
    variables = BatchNorm().init(KEY, x)
    rounded, _ = BatchNorm().apply(variables, x, mutable=["batch_stats"])
    wide = x.astype(jnp.float32)
    exact, _ = BatchNorm().apply(variables, wide, mutable=["batch_stats"])
    np.testing.assert_array_equal(rounded, exact.astype(jnp.bfloat16))


# --- a batch spread over an axis ------------------------------------------------------


def spread(function, *arrays):
    """`function` of the four parts of arrays, which reduce over them; stacked."""

    def local(*parts):
        with reducing_over("data"):
            return function(*parts)

    parts = [a.reshape(4, len(a) // 4, *a.shape[1:]) for a in arrays]
    return jax.vmap(local, axis_name="data")(*parts)


@pytest.mark.thorough
@pytest.mark.parametrize("group", [0, 3])
def test_parts_of_a_batch_are_normalised_as_the_batch(group):
    """Outputs, statistics and gradients, as a step averages those, in float64."""
    with jax.enable_x64(True):
        params, x = float64((PARAMS, X))
        w = jax.random.normal(KEY, x.shape, jnp.float64)

        def both(x, w):
            variables = {"params": params, **float64(START)}
            norm = BatchNorm(group=group)
            mutable = ["batch_stats", "batch_moments"]
            y, state = norm.apply(variables, x, mutable=mutable)
            by_params, by_x = jax.grad(loss, (0, 1))(params, x, group, w)
            return y, dict(state), by_params, by_x

        y, state, by_params, by_x = both(x, w)
        parts = spread(both, x, w)
        agree = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-13)
        agree(parts[0].reshape(x.shape), y)
        # of the mean over parts of their losses
        agree(parts[3].reshape(x.shape) / 4, by_x)
        for found, expected in ((parts[1], state), (parts[2], by_params)):
            jax.tree.map(lambda a, b: agree(a.mean(0), b), found, expected)
        if not group:
            jax.tree.map(lambda a: agree(a, np.broadcast_to(a[:1], a.shape)), parts[1])


def test_parts_far_from_zero_keep_their_variance():
    """The mean of squares less the square of the mean would be rounding errors."""
    x = jnp.asarray(np.float64(X) + 1e4, jnp.float32)
    y = spread(lambda x: step(x)[0], x).reshape(x.shape)
    wide = np.float64(x)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    np.testing.assert_allclose(y, (wide - mean) / np.sqrt(var + 1e-5), atol=5e-3)
    assert np.abs(y).max() > 2


@pytest.mark.thorough
def test_couplings_that_are_repeated_reduce_as_well():
    """The axis is known inside of a scan, and to what is computed again."""
    flow = RealNVP(
        (4, 4, 1), scales=1, couplings=2, width=2, blocks=0, stack="scan", remat="full"
    )
    x = jax.random.uniform(KEY, (8, 4, 4, 1))
    variables = quick(flow.init)(KEY, x)

    def loss(params, x):
        given = variables | {"params": params}
        log_prob, _ = flow.apply(given, x, method="log_prob", mutable=TRAIN)
        return jnp.mean(log_prob)

    both = jax.value_and_grad(loss)
    value, gradient = quick(both)(variables["params"], x)
    parts = quick(lambda p, x: spread(partial(both, p), x))(variables["params"], x)
    found = jax.tree.map(lambda a: a.mean(0), parts)
    np.testing.assert_allclose(found[0], value, rtol=1e-5)
    scale = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
    agree = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4 * scale)
    jax.tree.map(agree, found[1], gradient)


@pytest.mark.thorough
def test_without_a_word_a_part_is_a_batch():
    found = jax.vmap(lambda x: step(x)[0], axis_name="data")(X.reshape(4, 3, 4, 4, 3))
    np.testing.assert_allclose(found.reshape(X.shape), step(X, 3)[0], atol=1e-5)


def test_groups_divide_the_part_of_each_device():
    with pytest.raises(ValueError, match=r"groups of 4 .* on each device of 3"):
        spread(lambda x: step(x, 4)[0], X)


def test_the_axis_is_that_of_the_innermost_and_gone_afterwards():
    assert batch_axis() is None
    with reducing_over("a"):
        with reducing_over(None):
            assert batch_axis() is None
        assert batch_axis() == "a"
    assert batch_axis() is None
    with pytest.raises(KeyError), reducing_over("a"):
        raise KeyError
    assert batch_axis() is None


@pytest.mark.parametrize("group", [0, 2])
def test_an_empty_batch_has_no_statistics(group):
    norm = BatchNorm(group=group)
    variables = norm.init(KEY, BATCH)
    with pytest.raises(ValueError, match=r"to average, got shape \(0, .*leave out"):
        norm.apply(variables, BATCH[:0], mutable=["batch_stats"])
    assert norm.apply(variables, BATCH[:0]).shape == BATCH[:0].shape


def test_running_statistics_keep_their_dtype():
    with jax.enable_x64(True):
        x = jnp.asarray(BATCH, jnp.float64)
        variables = BatchNorm().init(KEY, x)
        y, state = BatchNorm().apply(variables, x, mutable=["batch_stats"])
    assert y.dtype == np.float64
    assert {a.dtype for a in jax.tree.leaves([variables, state])} == {
        np.dtype("float32")
    }
