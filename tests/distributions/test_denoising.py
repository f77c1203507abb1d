"""Tweedie's formula against the posterior mean of a Gaussian in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Chain, ElementAffine, InvertibleConv1x1
from flowjax_ood.distributions import Flow, denoise
from tests.helpers.scored_flows import gaussian_flow


def test_the_mean_of_a_standard_normal_given_noise():
    # y = x + sigma e is N(0, 1), so x is N(0, 1 - sigma^2)
    y = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
    found = denoise(gaussian_flow().flow, {}, y, 0.6)
    np.testing.assert_allclose(found, y * (1 - 0.6**2), atol=1e-6)


def test_the_posterior_mean_of_a_correlated_gaussian():
    # z = W (y + 0.5) is standard normal
    flow = Flow(Chain([ElementAffine(1.0, 0.5), InvertibleConv1x1()]), (2,))
    y = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)), jnp.float32)
    weight = np.array([[0.9, 0.4], [-0.3, 1.1]])
    variables = flow.init(jax.random.key(0), y)
    variables = jax.tree.map(lambda _: jnp.asarray(weight, jnp.float32), variables)
    sigma = 0.5
    noisy = np.linalg.inv(weight.T @ weight)
    clean = noisy - sigma**2 * np.eye(2)
    assert (np.linalg.eigvalsh(clean) > 0).all()
    expected = (y + 0.5) @ np.linalg.solve(noisy, clean) - 0.5
    found = denoise(flow, variables, y, sigma)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.0, -0.1, float("nan"), "0.1"])
def test_bad_noise(sigma):
    with pytest.raises(ValueError, match="sigma must be"):
        denoise(gaussian_flow().flow, {}, jnp.zeros((1, 5)), sigma)
