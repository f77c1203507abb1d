"""The conditional base density: a normal density whose moments are those of cond."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from flowjax_ood.bijectors import event_size, leaves
from flowjax_ood.distributions import (
    ConditionalNormal,
    StandardNormal,
    normal_log_prob,
    standard_normal_log_prob,
)

VECTOR, IMAGE, SPLIT = (3,), (2, 2, 3), ((2, 2, 1), (1, 1, 4))
CASES = pytest.mark.parametrize(
    ("shape", "settings"),
    [
        (VECTOR, {"hidden": (6, 5)}),
        (IMAGE, {"max_log_scale": 0.5}),
        (IMAGE, {"per": "channel"}),
        (SPLIT, {"per": "channel", "hidden": (4,)}),
        (SPLIT, {}),
    ],
    ids=str,
)
COND = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)


def event(shape, num, seed=1):
    """`num` random events of `shape`."""
    return StandardNormal().sample(jax.random.key(seed), shape, num)


def run(function, *args):
    """The outputs of a compiled function; small programs need no optimisation."""
    compiled = jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})
    return jax.tree.map(np.asarray, compiled(*args))


def drawn(base, shape, cond=COND):
    """Variables with noise on everything that starts at zero."""

    def start(cond):
        z = event(shape, len(cond))
        return base.init(jax.random.key(0), z, cond, method="log_prob")

    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda like: rng.normal(0, 0.7, like.shape).astype(np.float32),
        jax.eval_shape(start, cond),
    )


@pytest.mark.parametrize(
    ("shape", "per"),
    [
        ((1,), "dimension"),
        ((2,), "dimension"),
        ((1, 2, 1), "channel"),
        (((1, 1, 1), (1, 1, 1)), "dimension"),
    ],
    ids=str,
)
def test_it_integrates_to_one(shape, per):
    base = ConditionalNormal(per=per)
    dims = event_size(shape)
    side = np.linspace(-40, 40, 1601)
    grid = np.stack(np.meshgrid(*dims * [side]), axis=-1).reshape(-1, dims)

    def density(variables, z, cond):
        if isinstance(shape[0], tuple):
            z = tuple(z[:, k].reshape(-1, *s) for k, s in enumerate(shape))
        else:
            z = z.reshape(-1, *shape)
        cond = jnp.broadcast_to(cond, (len(grid), 2))
        return jnp.exp(base.apply(variables, z, cond, method="log_prob"))

    with jax.enable_x64(True):
        args = jax.tree.map(jnp.float64, (drawn(base, shape), grid, COND[0]))
        values = run(density, *args)
    assert values.sum() * (side[1] - side[0]) ** dims == pytest.approx(1, abs=1e-9)


@CASES
def test_it_is_the_normal_density_of_its_moments(shape, settings):
    base = ConditionalNormal(**settings)

    def found(variables, z, cond):
        mean, log_scale = base.apply(
            variables, shape, cond, method="mean_and_log_scale"
        )
        log_prob = base.apply(variables, z, cond, method="log_prob")
        return log_prob, normal_log_prob(z, mean, log_scale), mean, log_scale

    with jax.enable_x64(True):
        z = jax.tree.map(jnp.float64, event(shape, 4))
        args = jax.tree.map(jnp.float64, (drawn(base, shape), COND))
        log_prob, pure, mean, log_scale = run(found, args[0], z, args[1])
    expected = 0.0
    for part, m, s in zip(*map(leaves, (z, mean, log_scale)), strict=True):
        assert (np.abs(s) < base.max_log_scale).all()
        assert np.ptp(m, axis=0).all()
        assert np.ptp(s, axis=0).all()
        if base.per == "channel":
            assert m.shape == s.shape == (4, *[1] * (part.ndim - 2), part.shape[-1])
        else:
            assert m.shape == s.shape == part.shape
        each = norm.logpdf(part, m, np.exp(s))
        expected = expected + each.reshape(4, -1).sum(1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-12)
    np.testing.assert_allclose(pure, expected, rtol=1e-12)


def test_the_moments_are_linear_in_cond_and_the_scale_is_bounded():
    base = ConditionalNormal(max_log_scale=0.5)
    variables = drawn(base, VECTOR)
    cond = 100 * COND
    mean, log_scale = base.apply(variables, VECTOR, cond, method="mean_and_log_scale")
    params = jax.tree.map(np.float64, variables["params"])
    raw = {name: cond @ p["kernel"] + p["bias"] for name, p in params.items()}
    np.testing.assert_allclose(mean, raw["mean"], rtol=1e-4)
    expected = 0.5 * np.tanh(raw["log_scale"] / 0.5)
    np.testing.assert_allclose(log_scale, expected, rtol=1e-4)
    assert (np.abs(log_scale) <= 0.5).all()


@CASES
def test_it_starts_as_the_standard_normal_and_learns_from_cond(shape, settings):
    base, plain = ConditionalNormal(**settings), StandardNormal()

    def found(z, cond):
        variables = base.init(jax.random.key(0), z, cond, method="log_prob")

        def mean_log_prob(variables):
            log_prob = base.apply(variables, z, cond, method="log_prob")
            return log_prob.mean(), log_prob

        gradient, log_prob = jax.grad(mean_log_prob, has_aux=True)(variables)
        args = (jax.random.key(5), shape, 4, 0.5, cond)
        sample = base.apply(variables, *args, method="sample")
        return gradient["params"], (log_prob, sample), plain.sample(*args)

    z = event(shape, 4)
    gradient, (log_prob, sample), noise = run(found, z, COND)
    np.testing.assert_allclose(log_prob, standard_normal_log_prob(z), rtol=1e-6)
    for part, expected in zip(leaves(sample), leaves(noise), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6)
    for name in ("mean", "log_scale"):
        assert (gradient[name]["kernel"] != 0).any(axis=0).all()
        assert (gradient[name]["bias"] != 0).all()


@CASES
def test_samples_have_its_moments(shape, settings):
    base, count = ConditionalNormal(**settings), 4000
    cond = np.repeat(COND[:2], count, axis=0)

    def found(variables, cond, temperature):
        args = (jax.random.key(7), shape, 2 * count, temperature, cond)
        moments = base.apply(variables, shape, COND[:2], method="mean_and_log_scale")
        return base.apply(variables, *args, method="sample"), *moments

    slack = 5 / math.sqrt(count)
    for temperature in (0.5, 0.0):
        drawn_parts = run(found, drawn(base, shape), cond, temperature)
        assert isinstance(drawn_parts[0], tuple) == (shape is SPLIT)
        for part, mean, log_scale in zip(*map(leaves, drawn_parts), strict=True):
            std = temperature * np.exp(log_scale)
            part = np.float64(part).reshape(2, count, *part.shape[1:])
            assert (np.abs(part.mean(1) - mean) <= slack * std + 1e-5).all()
            assert (np.abs(part.std(1) - std) <= slack * std + 1e-5).all()
            if temperature:  # independent dimensions
                first = part[0].reshape(count, -1)
                off = np.corrcoef(first.T) - np.eye(first.shape[1])
                assert np.abs(off).max() < slack


def test_parameter_counts():
    def count(shape, **settings):
        return sum(
            a.size for a in jax.tree.leaves(drawn(ConditionalNormal(**settings), shape))
        )

    assert count(IMAGE) == 2 * 12 * (2 + 1)
    assert count(IMAGE, per="channel") == 2 * 3 * (2 + 1)
    assert count(SPLIT) == 2 * 8 * (2 + 1)
    assert count(SPLIT, per="channel") == 2 * 5 * (2 + 1)
    assert count(VECTOR, hidden=(7,)) == 7 * (2 + 1) + 2 * 3 * (7 + 1)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (None, r"needs cond \[B, K\], got None.* one_hot_condition"),
        (COND[:, 0], r"needs cond \[4, K\], .* got shape \(4,\).* one_hot_condition"),
        (COND[:3], r"needs cond \[4, K\], .* got shape \(3, 2\)"),
        (np.tile(COND, 2), r"initialised with cond \[B, 2\], got shape \(4, 4\)"),
    ],
)
@pytest.mark.parametrize("hidden", [(), (3,)])
def test_bad_conditions(cond, message, hidden):
    base = ConditionalNormal(hidden=hidden)
    variables = drawn(base, VECTOR)
    with pytest.raises(ValueError, match=message):
        base.apply(variables, event(VECTOR, 4), cond, method="log_prob")
    args = (jax.random.key(0), VECTOR, 4, 1.0, cond)
    with pytest.raises(ValueError, match=message):
        base.apply(variables, *args, method="sample")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per": "pixel"}, "unknown per 'pixel'; known: dimension, channel"),
        ({"max_log_scale": 0.0}, "max_log_scale must be positive and finite, got 0.0"),
        ({"max_log_scale": math.inf}, "positive and finite, got inf"),
        ({"hidden": (4, 0)}, r"widths must be at least 1, got \(4, 0\)"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        ConditionalNormal(**settings)
