"""Densities in closed form, units, sampling, and what a flow refuses."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Bijector, Chain, FactorOut, Logit, Squeeze
from flowjax_ood.distributions import (
    Flow,
    LogProbParts,
    StandardNormal,
    bits_per_dim,
    discrete_log_likelihood,
    standard_normal_log_prob,
)
from flowjax_ood.models import TabularRealNVP

LOGIT = Flow(Chain([Logit()]), (2, 2, 1))


def test_standard_normal_by_hand():
    z = jnp.array([[0.0, 0.0], [1.0, -2.0]])
    expected = -math.log(2 * math.pi) + np.array([0, -2.5])
    np.testing.assert_allclose(standard_normal_log_prob(z), expected, rtol=1e-6)
    parts = (z[:, :1], z[:, 1:])
    np.testing.assert_allclose(standard_normal_log_prob(parts), expected, rtol=1e-6)


def test_the_logit_flow_has_a_closed_form():
    # x = 1/2 is z = 0 with dz/dx = 0.9 / (1/2)^2 = 3.6
    x = jnp.full((3, 2, 2, 1), 0.5)
    log_pz, logdet = -0.5 * math.log(2 * math.pi), math.log(3.6)
    parts = LOGIT.apply({}, x, method="log_prob_parts")
    np.testing.assert_allclose(parts.log_pz, [4 * log_pz] * 3, rtol=1e-6)
    np.testing.assert_allclose(parts.logdet, [4 * logdet] * 3, rtol=1e-6)
    log_prob = LOGIT.apply({}, x)
    np.testing.assert_allclose(log_prob, [4 * (log_pz + logdet)] * 3, rtol=1e-6)
    np.testing.assert_array_equal(log_prob, parts.log_prob)
    bits = LOGIT.apply({}, x, method="bits_per_dim")
    expected = 8 - (log_pz + logdet) / math.log(2)
    np.testing.assert_allclose(bits, [expected] * 3, rtol=1e-6)
    bits = LOGIT.apply({}, x, bins=32, method="bits_per_dim")
    np.testing.assert_allclose(bits, [expected - 3] * 3, rtol=1e-6)
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        LOGIT.apply({}, x, bins=0, method="bits_per_dim")


def test_discrete_units():
    # the uniform density on [0, 1)^D costs 8 bits for each 8-bit value
    assert discrete_log_likelihood(0.0, 784) == -784 * math.log(256)
    assert bits_per_dim(0.0, 784) == pytest.approx(8, abs=1e-12)
    assert bits_per_dim(0.0, 10, bins=32) == pytest.approx(5, abs=1e-12)
    # the original's extra log(255/256) for each dimension is 0.00565 bits
    shift = 784 * math.log(255 / 256)
    assert bits_per_dim(shift, 784) - 8 == pytest.approx(0.00565, abs=1e-5)


def test_log_prob_parts_add_up():
    parts = LogProbParts(np.array([1.0, 2.0]), np.array([10.0, 20.0]))
    np.testing.assert_array_equal(parts.log_prob, [11.0, 22.0])


@pytest.mark.accelerator
def test_latents_and_back():
    flow = Flow(Chain([Logit(), Squeeze(), FactorOut(Chain([]))]), (4, 4, 1))
    x = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    z = flow.apply({}, x, method="latents")
    assert [part.shape for part in z] == [(3, 2, 2, 2), (3, 2, 2, 2)]
    assert flow.latent_shape() == ((2, 2, 2), (2, 2, 2))
    assert flow.dims == 16
    back = flow.apply({}, z, method="from_latents")
    np.testing.assert_allclose(back, x, atol=1e-6)


@pytest.mark.parametrize(
    "flow",
    [LOGIT, Flow(Chain([Logit(), Squeeze(), FactorOut(Chain([]))]), (2, 2, 1))],
    ids=["array", "tuple"],
)
def test_samples(flow):
    def sample(key, temperature):
        return flow.apply({}, key, 4000, temperature, method="sample")

    key = jax.random.key(0)
    x = sample(key, 1.0)
    assert x.shape == (4000, 2, 2, 1)
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(sample(key, 1.0), x)
    assert (sample(jax.random.key(1), 1.0) != x).any()
    np.testing.assert_allclose(jax.jit(sample)(key, 1.0), x, atol=1e-6)
    # without its logit, the sample is the base's: independent, of that temperature
    for temperature in (1.0, 0.5):
        x = sample(key, temperature)
        z = np.asarray(Logit().apply({}, x)[0]).reshape(4000, 4)
        np.testing.assert_allclose(z.mean(0), 0, atol=0.08 * temperature)
        covariance = temperature**2 * np.eye(4)
        np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.08 * temperature**2)


@pytest.mark.thorough
def test_temperature_zero_is_the_image_of_zero():
    flow = TabularRealNVP(4, couplings=2, width=4)
    variables = flow.init(jax.random.key(0), jnp.zeros((1, 4)))
    samples = flow.apply(variables, jax.random.key(1), 3, 0.0, method="sample")
    middle = flow.apply(variables, jnp.zeros((3, 4)), method="from_latents")
    np.testing.assert_array_equal(samples, middle)
    assert (middle != 0).any()


@pytest.mark.thorough
def test_samples_have_the_density_of_the_flow():
    # E[-log p(x)] over samples = entropy of the base - E[logdet], by both directions
    flow = TabularRealNVP(3, couplings=2, width=4)
    variables = flow.init(jax.random.key(0), jnp.zeros((1, 3)))
    x = flow.apply(variables, jax.random.key(1), 8, method="sample")
    z = flow.base.sample(jax.random.key(1), (3,), 8)
    _, logdet = flow.bijector.apply(
        {"params": variables["params"]["bijector"]}, z, method="inverse"
    )
    expected = standard_normal_log_prob(z) - logdet
    np.testing.assert_allclose(flow.apply(variables, x), expected, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.accelerator
def test_a_density_integrates_to_one():
    flow = TabularRealNVP(2, couplings=4, width=8)
    variables = flow.init(jax.random.key(3), jnp.zeros((1, 2)))
    arrays, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(4), len(arrays))
    noisy = [
        a + 0.3 * jax.random.normal(k, a.shape)
        for k, a in zip(keys, arrays, strict=True)
    ]
    side = np.linspace(-15, 15, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    with jax.enable_x64(True):
        wide = tree.unflatten([a.astype(jnp.float64) for a in noisy])
        density = np.exp(jax.jit(flow.apply)(wide, jnp.asarray(grid)))
    base = np.exp(-0.5 * (grid**2).sum(1)) / (2 * math.pi)
    assert np.abs(density - base).max() > 0.01
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-6)


def test_cond_reaches_bijector_and_base():
    class Shift(Bijector):
        def forward(self, x, cond=None):
            return x - cond, jnp.zeros(len(x))

        def inverse(self, z, cond=None):
            return z + cond, jnp.zeros(len(z))

    class Scaled(StandardNormal):
        def log_prob(self, z, cond=None):
            return standard_normal_log_prob(z / cond) - jnp.log(cond).sum(-1)

    flow = Flow(Shift(), (1,), Scaled())
    x, cond = jnp.array([[5.0]]), jnp.array([[2.0]])
    expected = -0.5 * math.log(2 * math.pi) - 0.5 * 1.5**2 - math.log(2)
    np.testing.assert_allclose(flow.apply({}, x, cond), [expected], rtol=1e-6)
    sample = flow.apply({}, jax.random.key(0), 1, 0.0, cond, method="sample")
    np.testing.assert_array_equal(sample, cond)


@pytest.mark.parametrize("method", ["log_prob", "log_prob_parts", "latents"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 2, 1), np.float32), r"\[B, 2, 2, 1\], got \(2, 2, 1\)"),
        (np.zeros((5, 2, 3, 1), np.float32), r"got \(5, 2, 3, 1\)"),
        (np.zeros((5, 1, 2, 2), np.float32), r"got \(5, 1, 2, 2\)"),
        (np.zeros((5, 2, 2, 1), np.uint8), "got uint8; dequantise"),
    ],
)
def test_events_that_are_none(method, x, message):
    with pytest.raises(ValueError, match=message):
        LOGIT.apply({}, jnp.asarray(x), method=method)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (np.zeros((1, 3), np.float32), r"each of the 2 {}, got shape \(1, 3\)"),
        (np.zeros((3, 2), np.float32), r"each of the 2 {}, got shape \(3, 2\)"),
        (np.float32(1), r"each of the 2 {}, got shape \(\)"),
        (np.array([0, 1]), r"cond must be floating-point, got int.* one-hot"),
        (np.eye(2, dtype=bool), r"cond must be floating-point, got bool"),
    ],
)
def test_conditions_that_do_not_fit(cond, message):
    x = jnp.zeros((2, 2, 2, 1))
    for method in ("log_prob", "log_prob_parts", "latents", "bits_per_dim"):
        with pytest.raises(ValueError, match=message.format("events")):
            LOGIT.apply({}, x, cond, method=method)
    with pytest.raises(ValueError, match=message.format("events")):
        LOGIT.apply({}, x, cond, method="from_latents")
    with pytest.raises(ValueError, match=message.format("samples")):
        LOGIT.apply({}, jax.random.key(0), 2, cond=cond, method="sample")


def test_a_flow_refuses_sizes_its_bijector_cannot_take():
    with pytest.raises(ValueError, match="cannot squeeze 3x4"):
        Flow(Squeeze(), (3, 4, 1)).latent_shape()
