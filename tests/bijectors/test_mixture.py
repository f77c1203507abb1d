"""Mixtures of logistics: the map in both tails, its inverse and its gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    Mixture,
    MixtureCoupling,
    mixture_forward,
    mixture_inverse,
    mixture_parameters,
)
from flowjax_ood.bijectors.mixture import mixture_bracket
from flowjax_ood.networks import MLP
from tests.helpers.law_runs import run, wide

COUNT, K = 400, 4


def drawn(count=COUNT, components=K, size=1.0):
    """Raw numbers of mixtures with narrow and wide components, and points to |50|."""
    raw = size * np.random.default_rng(0).normal(size=(count, 3 * components))
    raw[:, 2 * components :] *= 1.5
    x = np.linspace(-50, 50, count)
    return jnp.asarray(raw, jnp.float32), jnp.asarray(x, jnp.float32)


def restated(x, mixture):
    """`(logit F, log slope)` in float64, by the published formulas as they stand."""
    log_weight, mean, log_scale = (np.asarray(part, np.float64) for part in mixture)
    u = (np.asarray(x, np.float64)[..., None] - mean) * np.exp(-log_scale)
    below, above = -np.logaddexp(0, -u), -np.logaddexp(0, u)

    def total(logs):
        return np.logaddexp.reduce(logs, axis=-1)

    log_f, log_rest = total(log_weight + below), total(log_weight + above)
    log_density = total(log_weight + below + above - log_scale)
    return log_f - log_rest, log_density - log_f - log_rest


def logit(x, raw):
    return mixture_forward(x, mixture_parameters(raw))[0]


def test_float32_is_exact_in_both_tails():
    def compute(raw, x):
        mixture = mixture_parameters(raw)
        slope = jax.vmap(jax.grad(logit))(x, raw)
        return mixture, *mixture_forward(x, mixture), slope

    mixture, y, log_slope, slope = run(compute, *drawn())
    expected, expected_log_slope = restated(drawn()[1], mixture)
    assert np.ptp(expected) > 200  # far beyond where F or 1 - F is a float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_slope, expected_log_slope, rtol=1e-5, atol=3e-4)
    assert (slope > 0).all()
    np.testing.assert_allclose(np.log(slope), log_slope, atol=1e-4)


def test_a_gap_between_components_keeps_its_slope():
    # the slope exp(-1e6) is nothing in float32, its logarithm is something
    raw = jnp.asarray([[0, 0, -1, 1, -20, -20]], jnp.float32)
    mixture = mixture_parameters(raw)
    _, log_slope = run(mixture_forward, jnp.zeros(1), mixture)
    np.testing.assert_allclose(log_slope, restated([0.0], mixture)[1], rtol=1e-6)
    assert log_slope < -1000
    x, _ = run(mixture_inverse, jnp.array([0.1]), mixture)
    assert np.isfinite(x).all()


@pytest.mark.thorough
def test_equal_components_are_one_and_zeros_the_identity():
    raw, x = drawn(components=1)
    one = mixture_parameters(raw)
    equal = mixture_parameters(jnp.repeat(raw, K, axis=-1))
    u = (x - one.mean[:, 0]) * jnp.exp(-one.log_scale[:, 0])
    for found, expected in zip(
        run(mixture_forward, x, equal), (u, -one.log_scale[:, 0]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    zeros = mixture_parameters(jnp.zeros((COUNT, 3 * K)))
    for method in (mixture_forward, mixture_inverse):
        z, log_slope = run(method, x, zeros)
        np.testing.assert_array_equal(z, x)
        np.testing.assert_array_equal(log_slope, 0)


def test_a_weight_of_the_tails_bounds_what_is_far_away():
    """All components narrow, x far from them: a slope of 1,000 without, 1 with."""
    raw = jnp.asarray([[0, 0, 0, 1, -7, -7]], jnp.float32)
    x = jnp.asarray([-1e6, -30.0, 0.5, 30.0, 1e6])
    narrow, _ = run(mixture_forward, x, mixture_parameters(raw))
    assert (abs(narrow) > 500 * abs(x)).sum() == 4
    mixture = mixture_parameters(raw, tail_weight=1e-3)
    y, log_slope = run(mixture_forward, x, mixture)
    bound = np.logaddexp(0, abs(np.asarray(x))) - np.log(1e-3)
    assert (abs(y) <= bound * (1 + 1e-6)).all()
    np.testing.assert_allclose(log_slope[jnp.array([0, 4])], 0, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(mixture.log_weight).sum(), 1, rtol=1e-6)
    found, _ = run(mixture_inverse, y, mixture)
    np.testing.assert_allclose(found, x, rtol=1e-4)
    zeros = mixture_parameters(jnp.zeros((5, 6)), tail_weight=1e-3)
    np.testing.assert_array_equal(run(mixture_forward, x, zeros)[0], x)


@pytest.mark.thorough
def test_equal_components_have_equal_gradients():
    # what makes their value exact takes no gradient away
    by_raw = jax.grad(logit, argnums=1)(jnp.float32(0.5), jnp.zeros(3 * K))
    np.testing.assert_allclose(by_raw[:K], 0, atol=1e-7)
    # dy/dm_k = -1/K, dy/dh_k = -x/K
    np.testing.assert_allclose(by_raw[K : 2 * K], -1 / K, rtol=1e-6)
    np.testing.assert_allclose(by_raw[2 * K :], -0.5 / K, rtol=1e-6)


def test_components_have_no_order_and_one_alone_is_affine():
    raw, x = drawn()
    parts = raw.reshape(COUNT, 3, K)
    turned = parts[:, :, ::-1].reshape(COUNT, 3 * K)
    y = run(logit, x, raw)
    np.testing.assert_allclose(run(logit, x, turned), y, rtol=1e-5, atol=1e-5)
    alone = raw.at[:, 1].add(1e6)
    mean, log_scale = parts[:, 1, 1], parts[:, 2, 1]
    expected = (x - mean) * jnp.exp(-log_scale)
    np.testing.assert_allclose(run(logit, x, alone), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
def test_the_bracket_holds_the_root():
    with jax.enable_x64(True):
        raw, _ = wide(drawn(100_000, size=3.0))
        y = jnp.asarray(20 * np.random.default_rng(1).standard_cauchy(100_000))
        mixture = mixture_parameters(raw)
        bracket = mixture_bracket(y, mixture)
        y, low, high, *mixture = map(np.asarray, (y, *bracket, *mixture))
    slack = 1e-9 * (1 + np.abs(y))
    assert (restated(low, mixture)[0] <= y + slack).all()
    assert (restated(high, mixture)[0] >= y - slack).all()


def test_the_density_integrates_to_one():
    mixture = mixture_parameters(drawn(count=3)[0])
    # by the slope of logit F: f = F (1 - F) dy/dx
    x = jnp.linspace(-200, 200, 40_001)
    each = Mixture(*(part[:, None] for part in mixture))
    ours = run(mixture_forward, jnp.broadcast_to(x, (3, len(x))), each)
    y, log_slope = (np.asarray(part, np.float64) for part in ours)
    density = np.exp(log_slope - np.logaddexp(0, y) - np.logaddexp(0, -y))
    np.testing.assert_allclose(np.trapezoid(density, x), 1, atol=1e-5)


@pytest.mark.thorough
def test_the_inverse_is_as_exact_as_its_slope_allows():
    raw, x = drawn(size=1.5)
    mixture = mixture_parameters(raw)
    y, log_slope = run(mixture_forward, x, mixture)
    again, log_inverse = run(mixture_inverse, y, mixture)
    error = np.abs(again - x) * np.exp(log_slope)
    assert (error <= 1e-5 * (1 + np.abs(y))).all()
    with jax.enable_x64(True):
        raw, x = wide(drawn())
        mixture = mixture_parameters(raw)
        y, _ = run(mixture_forward, x, mixture)
        again, log_inverse = run(mixture_inverse, y, mixture)
        log_slope = restated(again, mixture)[1]
    np.testing.assert_allclose(again, x, atol=1e-9)
    np.testing.assert_allclose(log_inverse, -log_slope, atol=1e-9)


@pytest.mark.thorough
def test_gradients_of_the_inverse_are_those_of_the_implicit_function():
    def inverse(y, raw):
        x, log_slope = mixture_inverse(y, mixture_parameters(raw))
        return jnp.stack([x, log_slope])

    with jax.enable_x64(True):
        raw, _ = wide(drawn(20))
        y, step = jnp.linspace(-3, 3, 20), 1e-5
        forwards = jax.jit(jax.vmap(jax.jacfwd(inverse, (0, 1))))(y, raw)
        backwards = jax.jit(jax.vmap(jax.jacrev(inverse, (0, 1))))(y, raw)
        every = jax.jit(jax.vmap(inverse))
        by_y = (every(y + step, raw) - every(y - step, raw)) / (2 * step)
        columns = [
            (every(y, raw + move) - every(y, raw - move)) / (2 * step)
            for move in step * jnp.eye(raw.shape[1])
        ]
        by_raw = jnp.stack(columns, axis=-1)
        log_slope = np.asarray(every(y, raw)[:, 1])
    for found in (forwards, backwards):
        np.testing.assert_allclose(found[0], by_y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], by_raw, rtol=1e-5, atol=1e-6)
    # dx/dy is 1 / slope
    np.testing.assert_allclose(np.log(forwards[0][:, 0]), log_slope, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components": 0}, "components must be at least 1, got 0"),
        ({"components": 1.5}, "components must be a whole number, got 1.5"),
        ({"min_log_scale": 0.5}, "min_log_scale must be at most 0, got 0.5"),
        ({"max_log_scale": 0.0}, "max_log_scale must be positive, or None"),
        ({"tail_weight": 1.0}, r"tail_weight must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixtureCoupling(partial(MLP, width=2), masks.alternate_tabular, **arguments)


def test_numbers_of_no_mixture_are_refused():
    with pytest.raises(ValueError, match="3 K numbers for K components, got 4"):
        mixture_parameters(jnp.zeros((2, 4)))
