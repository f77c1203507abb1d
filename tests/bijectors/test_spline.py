"""Rational-quadratic splines: the map, its inverse and its slope."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    SplineCoupling,
    spline_forward,
    spline_inverse,
    spline_knots,
)
from flowjax_ood.networks import MLP
from tests.helpers.law_runs import run

BOUND = 3.0


def drawn(bins=8, count=500):
    """Steep and flat splines, and points inside, outside and at the bounds."""
    raw = 2 * jax.random.normal(jax.random.key(0), (count, 3 * bins - 1))
    x = 2 * jax.random.normal(jax.random.key(1), (count,))
    return raw, x.at[:4].set(jnp.array([-BOUND, BOUND, -10.0, 10.0]))


def wide(tree):
    return jax.tree.map(lambda a: a.astype(jnp.float64), tree)


def test_inverse_and_slope():
    def compute(raw, x):
        spline = spline_knots(raw, BOUND)
        y, log_slope = spline_forward(x, spline)

        def alone(x, raw):
            return spline_forward(x, spline_knots(raw, BOUND))[0]

        slope = jax.vmap(jax.grad(alone))(x, raw)
        return y, log_slope, *spline_inverse(y, spline), slope

    with jax.enable_x64(True):
        raw, x = wide(drawn())
        y, log_slope, again, log_inverse, slope = run(compute, raw, x)
    x = np.asarray(x)
    np.testing.assert_allclose(again, x, atol=1e-9)
    np.testing.assert_allclose(log_inverse, -log_slope, atol=1e-9)
    np.testing.assert_allclose(np.log(slope), log_slope, atol=1e-9)
    outside = np.abs(x) >= BOUND
    np.testing.assert_array_equal(y[outside], x[outside])
    np.testing.assert_array_equal(log_slope[outside], 0)
    assert (np.abs(y[~outside]) < BOUND).all()


def test_knots_are_met_with_their_slopes():
    raw, _ = drawn(bins=4)
    x, y, slope = spline = run(spline_knots, raw, BOUND)
    for method, at, expected, sign in (
        (spline_forward, x, y, 1),
        (spline_inverse, y, x, -1),
    ):
        every = jax.vmap(method, in_axes=(1, None), out_axes=1)
        found, log_slope = run(every, at[:, 1:-1], spline)
        np.testing.assert_allclose(found, expected[:, 1:-1], atol=1e-6)
        np.testing.assert_allclose(
            log_slope, sign * np.log(slope[:, 1:-1]), rtol=1e-5, atol=1e-6
        )
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


@pytest.mark.thorough
def test_zeros_are_the_identity():
    _, x = drawn()
    spline = spline_knots(jnp.zeros((len(x), 23)), BOUND)
    y, log_slope = run(spline_forward, x, spline)
    np.testing.assert_allclose(y, x, atol=2e-6)
    np.testing.assert_allclose(log_slope, 0, atol=2e-6)


@pytest.mark.parametrize("method", [spline_forward, spline_inverse])
def test_gradients_are_finite_in_and_out_of_bounds(method):
    def total(x, raw):
        return sum(map(jnp.sum, method(x, spline_knots(raw, BOUND))))

    for gradient in run(jax.grad(total, (0, 1)), *drawn()[::-1]):
        assert np.isfinite(gradient).all()


@pytest.mark.thorough
@pytest.mark.parametrize("bins", [3, 8])
def test_float32_loses_no_more_than_its_rounding_must(bins):
    """Of y by `rounding * bound`, of x by that over the slope; slopes reach 1e-7."""
    raw = 4 * jax.random.normal(jax.random.key(2), (20000, 3 * bins - 1))
    x = jax.random.uniform(jax.random.key(3), (20000,), minval=-BOUND, maxval=BOUND)

    def there_and_back(x, spline):
        y, log_slope = spline_forward(x, spline)
        return y, log_slope, *spline_inverse(y, spline)

    spline = run(spline_knots, raw, BOUND)
    y, log_slope, again, log_inverse = run(there_and_back, x, spline)
    with jax.enable_x64(True):
        exact_y, exact_slope = run(spline_forward, *wide((x, spline)))
        _, exact_inverse = run(spline_inverse, *wide((y, spline)))
    rounding = 2.0**-24
    assert np.exp(exact_slope).min() < 1e-5
    assert np.abs(np.float64(y) - exact_y).max() < 6 * rounding * BOUND
    lost = np.abs(np.float64(again) - np.float64(x))
    assert (lost < 6 * rounding * BOUND * (1 + np.exp(-exact_slope))).all()
    np.testing.assert_allclose(log_slope, exact_slope, atol=3e-6)
    np.testing.assert_allclose(log_inverse, exact_inverse, atol=1e-3)
    # however flat the bin, x stays in it
    assert (np.abs(again) <= BOUND + 1e-6).all()


def test_a_number_of_knots_that_fits_no_bins():
    with pytest.raises(ValueError, match=r"3 K - 1 numbers for K bins, got 9"):
        spline_knots(jnp.zeros((2, 9)), BOUND)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bins": 0}, "1 <= bins < 1000, got 0"),
        ({"bins": 1000}, "1 <= bins < 1000, got 1000"),
        ({"bound": 0.0}, "bound must be positive and finite, got 0.0"),
        ({"bound": float("inf")}, "bound must be positive and finite, got inf"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        SplineCoupling(partial(MLP, width=2), masks.alternate_tabular, **arguments)


@pytest.mark.thorough
def test_one_bin_is_a_spline_too():
    raw, x = drawn(bins=1)
    y, _ = spline_forward(x, spline_knots(raw, BOUND))
    np.testing.assert_allclose(y, x, atol=1e-6)  # two knots of slope one: the identity
