"""A scale and a shift by the condition: a Gaussian of independent dimensions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from flowjax_ood.bijectors import ConditionAffine
from flowjax_ood.distributions import Flow
from flowjax_ood.networks import ImageConditioned
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run, wide

SHAPE, BATCH = (3, 4, 2), 3
NET = partial(ImageConditioned, width=4, layers=1)


def inputs(views=2):
    rng = np.random.default_rng(1)
    x, cond = (rng.normal(size=(BATCH, *SHAPE[:2], c)) for c in (SHAPE[-1], views))
    return jnp.asarray(x, jnp.float32), jnp.asarray(cond, jnp.float32)


@pytest.mark.parametrize("bound", [2.0, 0.3, 0])
def test_the_density_is_a_gaussian_of_independent_dimensions(bound):
    flow = Flow(ConditionAffine(NET, bound), SHAPE)
    x, cond = inputs()
    variables = generic_variables(flow, np.random.default_rng(2), x, cond)

    def compute(variables, x, cond):
        own = {"params": variables["params"]["bijector"]}
        mean, log_scale = flow.bijector.apply(
            own, SHAPE, cond, method="mean_and_log_scale"
        )
        at_mean = flow.apply(variables, jnp.zeros_like(x), cond, method="from_latents")
        return flow.apply(variables, x, cond), mean, log_scale, at_mean

    with jax.enable_x64(True):
        log_prob, mean, log_scale, at_mean = run(compute, *wide((variables, x, cond)))
    expected = norm.logpdf(np.asarray(x, float), mean, np.exp(log_scale))
    np.testing.assert_allclose(log_prob, expected.sum((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(at_mean, mean, rtol=1e-12)
    assert np.abs(log_scale).max() <= bound
    assert (log_scale.std() > 0) == (bound > 0)
    assert mean.std() > 0.1


def test_it_starts_as_the_identity():
    bijector = ConditionAffine(NET)
    x, cond = inputs()
    variables = bijector.init(jax.random.key(0), x, cond)
    z, logdet = bijector.apply(variables, x, cond)
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(logdet, 0)


def test_bad_input_is_named():
    bijector = ConditionAffine(NET)
    x, cond = inputs()
    for bound in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="max_log_scale must be"):
            ConditionAffine(NET, bound)
    with pytest.raises(ValueError, match="give cond to every method"):
        bijector.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="has the sides of the events"):
        bijector.init(jax.random.key(0), x, cond[:, :2])
