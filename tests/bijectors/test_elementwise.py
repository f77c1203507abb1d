"""Curves at their ends, and what they refuse; that they invert is in `test_laws.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import ElementAffine, Exp, Inverse, Logit, Softplus, Tanh

CURVES = {
    "tanh": (Tanh(), np.tanh, lambda x: -2 * np.log(np.cosh(x))),
    "softplus": (
        Softplus(),
        lambda x: np.logaddexp(x, 0),
        lambda x: -np.logaddexp(-x, 0),
    ),
    "exp": (Exp(), np.exp, lambda x: x),
    # the inverse of a logit without margins
    "sigmoid": (
        Inverse(Logit(0.0)),
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: -np.logaddexp(x, 0) - np.logaddexp(-x, 0),
    ),
}
X = np.linspace(-8, 8, 33)


@pytest.mark.parametrize("name", CURVES)
def test_the_map_and_its_slope_are_the_formula_s(name):
    bijector, curve, log_slope = CURVES[name]
    with jax.enable_x64(True):
        z, logdet = bijector.apply({}, jnp.asarray(X)[None])
        again, back = bijector.apply({}, z, method="inverse")
    np.testing.assert_allclose(z[0], curve(X), rtol=1e-12)
    np.testing.assert_allclose(logdet[0], log_slope(X).sum(), rtol=1e-12)
    np.testing.assert_allclose(again[0], X, atol=1e-8)
    np.testing.assert_allclose(back[0], -logdet[0], rtol=1e-7)


def test_the_slope_of_tanh_is_exact_where_tanh_is_1():
    x = jnp.asarray([[-20.0, 20.0, 9.5]])
    z, logdet = Tanh().apply({}, x)
    assert np.abs(z).max() == 1
    # -2 log cosh(x) in float64
    expected = -2 * np.logaddexp(x, -x).astype(np.float64) + 2 * np.log(2)
    np.testing.assert_allclose(logdet, expected.sum(), atol=1e-5)
    again, _ = Tanh().apply({}, z, method="inverse")
    assert np.isfinite(again).all()
    assert np.abs(again).min() > 8


def test_softplus_of_very_negative_numbers_is_still_undone():
    x = jnp.asarray([[-80.0, -30.0, 30.0, 1e4]])
    z, _ = Softplus().apply({}, x)
    assert (z > 0).all()
    again, _ = Softplus().apply({}, z, method="inverse")
    np.testing.assert_allclose(again, x, rtol=1e-5)


@pytest.mark.parametrize(
    ("bijector", "value", "message"),
    [
        (Tanh(), 1.5, r"Tanh takes values in \[-1, 1\], got 1.5"),
        (Softplus(), 0.0, "Softplus takes values in the positive numbers, got 0"),
        (Exp(), -2.0, "Exp takes values in the positive numbers, got -2"),
    ],
)
def test_values_without_an_inverse(bijector, value, message):
    z = jnp.asarray([[0.5, value]])
    with pytest.raises(ValueError, match=message):
        bijector.apply({}, z, method="inverse")

    def inverse(z):
        return bijector.apply({}, z, method="inverse")[0]

    found = jax.jit(inverse)(z)
    np.testing.assert_array_equal(np.isnan(found), [[False, True]])
    # as what came before was NaN
    assert np.isnan(inverse(jnp.asarray([[np.nan]]))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "a scale that is not 0"),
        ({"scale": np.inf}, "scale must be finite, got inf"),
        ({"shift": "1"}, "shift must be a number, got '1'"),
    ],
)
def test_numbers_that_make_no_map(arguments, message):
    with pytest.raises(ValueError, match=message):
        ElementAffine(**arguments)
