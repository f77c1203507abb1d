"""Rational-quadratic splines: the map, its inverse and its slope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import spline_forward, spline_inverse, spline_knots

BOUND = 3.0


def drawn(bins=8, count=500):
    """Steep and flat splines, and points inside, outside and at the bounds."""
    raw = 2 * jax.random.normal(jax.random.key(0), (count, 3 * bins - 1))
    x = 2 * jax.random.normal(jax.random.key(1), (count,))
    return raw, x.at[:4].set(jnp.array([-BOUND, BOUND, -10.0, 10.0]))


def wide(tree):
    return jax.tree.map(lambda a: a.astype(jnp.float64), tree)


def test_inverse_and_slope():
    with jax.enable_x64(True):
        raw, x = wide(drawn())
        spline = spline_knots(raw, BOUND)
        y, log_slope = spline_forward(x, spline)
        again, log_inverse = spline_inverse(y, spline)

        def alone(x, raw):
            return spline_forward(x, spline_knots(raw, BOUND))[0]

        slope = jax.vmap(jax.grad(alone))(x, raw)
    np.testing.assert_allclose(again, x, atol=1e-9)
    np.testing.assert_allclose(log_inverse, -log_slope, atol=1e-9)
    np.testing.assert_allclose(jnp.log(slope), log_slope, atol=1e-9)
    outside = np.abs(x) >= BOUND
    np.testing.assert_array_equal(y[outside], x[outside])
    np.testing.assert_array_equal(log_slope[outside], 0)
    assert (np.abs(y[~outside]) < BOUND).all()


def test_knots_are_met_with_their_slopes():
    raw, _ = drawn(bins=4)
    spline = spline_knots(raw, BOUND)
    for k in range(1, 4):
        y, log_slope = spline_forward(spline.x[:, k], spline)
        np.testing.assert_allclose(y, spline.y[:, k], atol=1e-5)
        np.testing.assert_allclose(jnp.exp(log_slope), spline.slope[:, k], rtol=1e-3)
    assert (np.diff(spline.x) > 0).all()
    assert (np.diff(spline.y) > 0).all()


def test_zeros_are_the_identity():
    _, x = drawn()
    y, log_slope = spline_forward(x, spline_knots(jnp.zeros((len(x), 23)), BOUND))
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)


def test_gradients_are_finite_in_and_out_of_bounds():
    raw, x = drawn()
    for method in (spline_forward, spline_inverse):

        def total(x, raw, method=method):
            return sum(map(jnp.sum, method(x, spline_knots(raw, BOUND))))

        for gradient in jax.grad(total, (0, 1))(x, raw):
            assert np.isfinite(gradient).all()


def test_a_number_of_knots_that_fits_no_bins():
    with pytest.raises(ValueError, match=r"3 K - 1 numbers for K bins, got 9"):
        spline_knots(jnp.zeros((2, 9)), BOUND)
