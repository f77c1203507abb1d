"""Reconstruction errors of Gaussian flows have known laws."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.bijectors import ActNorm, Chain
from flowjax_ood.distributions import Flow
from tests.helpers.scored_flows import gaussian_flow, identity_flow, images, simple_flow


def scaled(log_scale, seed=0):
    """`z = x exp(log_scale)`, a number a dimension."""
    log_scale = np.asarray(log_scale, np.float32)
    params = {"log_scale": log_scale, "bias": np.zeros_like(log_scale)}
    variables = {"params": {"bijector": {"bijectors_0": params}}}
    return ood.ScoredFlow(Flow(Chain([ActNorm()]), log_scale.shape), variables, seed)


def vectors(count, dims, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)


def test_errors_of_the_identity_are_chi_squared():
    found = ood.Reconstruction(size=0.3).fit(gaussian_flow(5)).score(vectors(500, 5))
    assert stats.kstest((found / 0.3) ** 2, stats.chi2(5).cdf).pvalue > 1e-3
    x = images(200)
    found = ood.Reconstruction().fit(identity_flow()).score(x)
    assert stats.kstest((found / 0.1) ** 2, stats.chi2(64).cdf).pvalue > 1e-3


def test_errors_are_those_of_the_inverse():
    """Of one dimension, a scale multiplies the error by its inverse."""
    x = vectors(50, 1)
    plain = ood.Reconstruction().fit(gaussian_flow(1)).score(x)
    found = ood.Reconstruction().fit(scaled([0.7])).score(x)
    np.testing.assert_allclose(found, plain * np.exp(-0.7), rtol=1e-4)


def test_the_penalty_pulls_latents_to_their_typical_length():
    x = 3 * vectors(50, 4)
    found = ood.Reconstruction(0, penalty=0.5).fit(gaussian_flow(4)).score(x)
    expected = -0.5 * np.abs(2 - np.linalg.norm(x.astype(float), axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # at penalty 1, images of the typical length are their own reconstruction
    unit = 2 * x / np.linalg.norm(x, axis=1, keepdims=True)
    pulled = ood.Reconstruction(0, penalty=1).fit(gaussian_flow(4)).score(unit)
    np.testing.assert_allclose(pulled, 0, atol=1e-5)


@pytest.fixture(scope="module")
def flow():
    return simple_flow()


@pytest.mark.thorough
def test_without_disturbance_the_rounding_of_the_inverse_is_left(flow):
    found = ood.Reconstruction(size=0).fit(flow).score(images(12))
    assert (found <= 0).all()
    assert (found > -1e-4).all()


def test_the_error_depends_on_the_image_and_the_seed_alone(flow):
    x = images(12)
    x[7] = x[2]
    found = ood.Reconstruction().fit(flow).score(x)
    assert (found < -1e-3).all()
    np.testing.assert_allclose(found[7], found[2], rtol=1e-5)
    again = ood.Reconstruction().fit(flow).score(x[::-1])
    np.testing.assert_allclose(again, found[::-1], rtol=1e-4)
    rows, fitted = vectors(3, 4), ood.Reconstruction()
    one, other = (fitted.fit(scaled(np.zeros(4), s)).score(rows) for s in (0, 1))
    assert (one != other).all()


def test_errors_that_overflow_are_infinite_and_nan_is_refused():
    x = vectors(3, 2)
    overflowing = ood.Reconstruction().fit(scaled([-100.0, 0.0]))
    assert (overflowing.score(x) == -np.inf).all()
    with pytest.raises(ValueError, match="has no score for 3 of 3"):
        ood.Reconstruction().fit(scaled([np.nan, 0.0])).score(x)


@pytest.mark.parametrize("field", ["size", "penalty"])
def test_negative_settings_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be"):
        ood.Reconstruction(**{field: -0.1})
