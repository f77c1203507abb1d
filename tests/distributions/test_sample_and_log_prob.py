"""Samples with their log-density: by the inverse, exact where x itself is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Chain, Logit
from flowjax_ood.distributions import Flow
from flowjax_ood.models import TabularRealNVP
from tests.helpers.conditional_flows import BATCH, FLOWS, drawn, inputs, run, wide

KEY = jax.random.key(5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", FLOWS)
def test_they_are_those_of_sample_and_log_prob(name, temperature):
    """Through `Repeat`, multi-scale latents and conditional bases, in float64."""
    flow = FLOWS[name]

    def compute(variables, cond, temperature):
        args = (KEY, BATCH, temperature, cond)
        x, log_prob = flow.apply(variables, *args, method="sample_and_log_prob")
        again = flow.apply(variables, *args, method="sample")
        return x, log_prob, again, flow.apply(variables, x, cond)

    with jax.enable_x64(True):
        # conditions near 0 keep images where float64 has digits to spare
        args = wide((drawn(flow), 0.3 * inputs(flow)[1], temperature))
        x, log_prob, again, expected = run(compute, *args)
    assert x.dtype == log_prob.dtype == np.float64
    assert log_prob.shape == (BATCH,)
    assert len(np.unique(log_prob)) == BATCH
    np.testing.assert_allclose(x, again, rtol=1e-12)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
def test_the_density_is_exact_where_samples_are_rounded():
    flow = Flow(Chain([Logit()]), (2, 2, 1))
    args = (KEY, 64, 9.0)
    x, log_prob = flow.apply({}, *args, method="sample_and_log_prob")
    z = np.asarray(flow.base.sample(KEY, (2, 2, 1), 64, 9.0), np.float64)
    assert np.abs(z).max() > 20
    p = 1 / (1 + np.exp(-z))
    per_dim = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(p * (1 - p) / 0.9)
    np.testing.assert_allclose(log_prob, per_dim.sum((1, 2, 3)), rtol=1e-5)
    # what rounded samples say is finite, and right as far as they are
    again = flow.apply({}, x)
    assert np.isfinite(again).all()
    assert np.isfinite(jax.jit(flow.apply)({}, x)).all()
    near = np.abs(z).max((1, 2, 3)) < 10
    assert near.any()
    np.testing.assert_allclose(again[near], log_prob[near], atol=0.05)
    assert np.abs(again - log_prob)[~near].max() > 1


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_they_are_those_of_sample_to_the_last_bit(temperature):
    flow = TabularRealNVP(4, couplings=2, width=4)
    variables = flow.init(jax.random.key(0), jnp.zeros((1, 4)))
    args = (KEY, 2, temperature)
    x, log_prob = flow.apply(variables, *args, method="sample_and_log_prob")
    np.testing.assert_array_equal(x, flow.apply(variables, *args, method="sample"))
    np.testing.assert_allclose(log_prob, flow.apply(variables, x), rtol=1e-5)
