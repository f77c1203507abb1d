"""Learned dequantisation noise: bounds, exact on images that can be enumerated."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.bijectors import Chain, ElementAffine, Logit
from flowjax_ood.data.dequantize import dequantize, example_keys, quantize
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import importance_log_prob
from flowjax_ood.models import Glow, TabularRealNVP, variationally_dequantized
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import COMPILER

SHAPE, KEY = (4, 4, 1), jax.random.key(0)
SMALL = {"couplings": 2, "width": 4, "components": 2, "context": 4}
GLOW = {"scales": 1, "steps": 1, "width": 4, "layers": 1}
# two pixels of four values: 16 images, whose flow has no parameters
TOY_BINS, ALPHA, SCALE, SHIFT = 4, 0.05, 1.5, 0.4
TOY = Flow(Chain([Logit(ALPHA), ElementAffine(SCALE, SHIFT)]), (1, 2, 1))


def images(count=8, bins=256, shape=SHAPE):
    values = np.random.default_rng(0).integers(0, bins, (count, *shape))
    return jnp.asarray(values, jnp.uint8)


def noisy(images, bins=256, key=KEY):
    return dequantize(images, example_keys(key, jnp.arange(len(images))), bins)


def drawn(flow, bins=256, size=1.0):
    """Variables away from the start, smaller than of the laws by `size`."""
    x = noisy(images(2, bins, flow.event_shape), bins)
    variables = generic_variables(flow, np.random.default_rng(1), x)
    return jax.tree.map(lambda a: size * a, variables)


# XLA's optimisation passes cost more than they save on programs this small
quick = partial(jax.jit, compiler_options=COMPILER)


@cache
def toy():
    """All images of the toy, and log P of each, exactly."""
    k = np.indices((TOY_BINS, TOY_BINS)).reshape(2, -1).T.astype(np.uint8)
    edges = ALPHA + (1 - 2 * ALPHA) * np.linspace(0, 1, TOY_BINS + 1)
    z = SCALE * (np.log(edges) - np.log1p(-edges)) + SHIFT
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    log_prob = np.log(np.diff(below))[k].sum(axis=1)
    return k.reshape(-1, 1, 2, 1), log_prob


@partial(quick, static_argnums=0)
def some_bounds(flow, variables, keys):
    """`log_prob` of the toy's images by one draw for each key: `[64, 16]`."""
    k, _ = toy()
    return jax.lax.map(lambda key: flow.apply(variables, noisy(k, TOY_BINS, key)), keys)


def bounds(flow, variables, count):
    """One-draw bounds of log P of the toy's images: `[count, 16]`."""
    keys = jax.random.split(KEY, (count // 64, 64))
    log_probs = [some_bounds(flow, variables, each) for each in keys]
    return np.concatenate(log_probs) - 2 * math.log(TOY_BINS)


@pytest.mark.thorough
@pytest.mark.parametrize("bins", [2, 256])
def test_no_pixel_changes_whatever_is_learned(bins):
    flow = variationally_dequantized(Glow(SHAPE, **GLOW), bins=bins, **SMALL)
    variables, k = drawn(flow, bins), images(64, bins)
    noise = flow.bijector.bijectors[0]
    own = {"params": variables["params"]["bijector"]["bijectors_0"]}
    x = noisy(k, bins)
    z, _ = quick(noise.apply)(own, x)
    assert (np.abs(z - x) > 0.01 / bins).mean() > 0.5
    np.testing.assert_array_equal(quantize(z, bins), k)
    # on the grid of uniform noise
    assert (np.asarray(z, np.float64) * 2.0**24 % 1 == 0).all()
    # and back, for samples
    samples = jax.random.normal(KEY, (64, *SHAPE)) * 0.5 + 0.5
    again, _ = quick(lambda z: noise.apply(own, z, method="inverse"))(samples)
    np.testing.assert_array_equal(quantize(again, bins), quantize(samples, bins))


@pytest.mark.thorough
def test_it_starts_as_uniform_noise_bit_for_bit():
    plain = Glow(SHAPE, **GLOW)
    flow = variationally_dequantized(plain, **SMALL)
    x = noisy(images())
    params = quick(flow.init)(KEY, x)["params"]["bijector"]
    first, own = flow.bijector.bijectors[0], {"params": params["bijectors_0"]}
    z, logdet = quick(first.apply)(own, x)
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(logdet, 0)

    def grads(flow, bijector):
        def loss(bijector):
            return flow.apply({"params": {"bijector": bijector}}, x).mean()

        return quick(jax.value_and_grad(loss))(bijector)

    # of the same numbers; two programs may sum them in another order
    value, gradient = grads(flow, params)
    for found, expected in zip(
        jax.tree.leaves((value, gradient["bijectors_1"])),
        jax.tree.leaves(grads(plain, params["bijectors_1"])),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_bounds_are_below_the_enumerated_probabilities():
    flow = variationally_dequantized(TOY, bins=TOY_BINS, **SMALL)
    _, exact = toy()
    log_bounds = bounds(flow, drawn(flow, TOY_BINS, 0.5), 4096)
    error = log_bounds.std(axis=0) / 64
    gap = exact - log_bounds.mean(axis=0)
    assert (gap > 3 * error).all()
    # no density is lost or gained: the mean of exp is P, image by image
    weights = np.exp(log_bounds - exact)
    assert (np.abs(weights.mean(axis=0) - 1) < 5 * weights.std(axis=0) / 64).all()
    assert (weights.std(axis=0) / 64 < 0.1).all()
    # more draws come closer
    closer = np.logaddexp.reduce(log_bounds.reshape(64, 64, -1), axis=1) - math.log(64)
    assert (exact - closer.mean(axis=0) < 0.5 * gap).all()


@pytest.mark.thorough
def test_the_importance_bound_is_above_the_bound_and_reaches_the_probability():
    flow = variationally_dequantized(TOY, bins=TOY_BINS, **SMALL)
    variables, (k, exact) = drawn(flow, TOY_BINS, 0.5), toy()
    many = quick(
        lambda v, draws=1024: importance_log_prob(
            flow, v, k, KEY, draws, bins=TOY_BINS
        ),
        static_argnames="draws",
    )
    one = bounds(flow, variables, 64).mean(axis=0)
    log_probs = many(variables) - 2 * math.log(TOY_BINS)
    assert log_probs.mean() > one.mean()
    assert (log_probs > one).mean() > 0.8
    np.testing.assert_allclose(log_probs, exact, atol=0.25)
    # each draw has a key of its own, and the mean is over those
    keys = jax.vmap(partial(jax.random.fold_in, KEY))(jnp.arange(64))
    two = some_bounds(flow, variables, keys)[:2]
    expected = np.logaddexp(*np.asarray(two)) - math.log(2)
    np.testing.assert_allclose(many(variables, draws=2), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        importance_log_prob(flow, variables, k, KEY, 0, bins=TOY_BINS)


@pytest.mark.thorough
def test_training_closes_the_gap_by_the_training_step_that_there_is():
    flow = variationally_dequantized(TOY, bins=TOY_BINS, **SMALL)
    k, exact = toy()
    optimizer = optax.adam(0.02)
    state = create_state(flow, optimizer, KEY, noisy(k, TOY_BINS))
    step = quick(make_train_step(Likelihood(flow, bins=TOY_BINS), optimizer))
    before = (exact - bounds(flow, {"params": state.params}, 256).mean(axis=0)).mean()
    batch = {"image": jnp.tile(k, (8, 1, 1, 1)), "index": jnp.arange(128)}
    for _ in range(120):
        state, metrics = step(state, batch, KEY)
    after = (exact - bounds(flow, {"params": state.params}, 256).mean(axis=0)).mean()
    assert before > 0.05
    assert -0.01 < after < 0.4 * before
    assert np.isfinite(metrics["bits_per_dim"])


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="vectors are not quantised"):
        variationally_dequantized(TabularRealNVP(3, width=2))
    glow = Glow(SHAPE, **GLOW)
    with pytest.raises(ValueError, match="bins must be a power of two, got 100"):
        variationally_dequantized(glow, bins=100)
    with pytest.raises(ValueError, match="couplings must be at least 2, got 1"):
        variationally_dequantized(glow, couplings=1)
