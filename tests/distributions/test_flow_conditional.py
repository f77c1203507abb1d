"""Flows conditioned on a vector: densities, inverses and gradients."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from flowjax_ood.distributions import ConditionalNormal, StandardNormal
from tests.helpers.conditional_flows import (
    BATCH,
    FLOWS,
    drawn,
    flat,
    image_flow,
    inputs,
    run,
    vector_flow,
    wide,
)


class Outcome(NamedTuple):
    """What the laws look at, in float64."""

    x: np.ndarray
    z: np.ndarray
    log_prob: np.ndarray
    x_again: np.ndarray
    x_other: np.ndarray  # inverted with the conditions of other rows
    jacobian: np.ndarray  # of each z by its x, cond fixed
    by_cond: np.ndarray  # log_prob of row b by cond of row c, [B, B, K]
    mean: np.ndarray
    log_scale: np.ndarray
    alone: np.ndarray  # log_prob of single rows, by vmap


@cache
def outcome(name) -> Outcome:
    flow = FLOWS[name]

    def compute(variables, x, cond):
        apply = partial(flow.apply, variables)
        z = apply(x, cond, method="latents")

        def latents(x, cond):
            return flat(apply(x[None], cond[None], method="latents"))[0]

        jacobian = jax.vmap(jax.jacfwd(latents))(x, cond)
        shape = flow.latent_shape()
        base = {"params": variables["params"]["base"]}
        moments = flow.base.apply(base, shape, cond, method="mean_and_log_scale")
        zeros = jax.tree.map(jnp.zeros_like, z)
        mean, log_scale = (
            flat(jax.tree.map(jnp.add, zeros, moment)) for moment in moments
        )
        return Outcome(
            flat(x),
            flat(z),
            apply(x, cond),
            flat(apply(z, cond, method="from_latents")),
            flat(apply(z, jnp.roll(cond, 1, 0), method="from_latents")),
            jacobian.reshape(BATCH, flow.dims, flow.dims),
            jax.jacrev(lambda cond: apply(x, cond))(cond),
            mean,
            log_scale,
            jax.vmap(lambda x, cond: apply(x[None], cond[None])[0])(x, cond),
        )

    with jax.enable_x64(True):
        return run(compute, wide(drawn(flow)), *wide(inputs(flow)))


@pytest.mark.thorough
@pytest.mark.parametrize("name", FLOWS)
def test_log_prob_is_the_change_of_variables(name):
    found = outcome(name)
    _, logdet = np.linalg.slogdet(found.jacobian)
    log_pz = [
        multivariate_normal.logpdf(z, mean, np.exp(2 * log_scale))
        for z, mean, log_scale in zip(found.z, found.mean, found.log_scale, strict=True)
    ]
    np.testing.assert_allclose(found.log_prob, log_pz + logdet, rtol=1e-9)


@pytest.mark.parametrize("name", FLOWS)
def test_latents_and_back_with_the_same_condition_only(name):
    found = outcome(name)
    np.testing.assert_allclose(found.x_again, found.x, atol=1e-9)
    assert (np.abs(found.x_other - found.x).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize("name", FLOWS)
def test_every_row_depends_on_its_own_condition_alone(name):
    by_cond = outcome(name).by_cond
    own = np.eye(BATCH, dtype=bool)
    assert (by_cond[own] != 0).all()
    np.testing.assert_array_equal(by_cond[~own], 0)


@pytest.mark.parametrize("name", FLOWS)
def test_vmap_over_events_equals_the_batch(name):
    found = outcome(name)
    np.testing.assert_allclose(found.alone, found.log_prob, rtol=1e-12)


SETTINGS = [
    {"mode": "unroll"},
    {"mode": "unroll", "remat": "st"},
    {"mode": "scan", "reversible": True},
]


@cache
def gradients(**setting):
    """The value, and the gradients by parameters, x and cond, in float64."""
    flow = vector_flow(ConditionalNormal(hidden=(4,)), **setting)

    def total(variables, x, cond):
        return flow.apply(variables, x, cond) @ jnp.arange(1.0, 1 + BATCH)

    with jax.enable_x64(True):
        args = wide(drawn(flow)), *wide(inputs(flow))
        return run(jax.value_and_grad(total, (0, 1, 2)), *args)


@pytest.mark.thorough
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_gradients_agree_in_every_mode_of_repeat(setting):
    expected, found = gradients(mode="scan"), gradients(**setting)
    assert (expected[1][2] != 0).all()
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), found, expected
    )


def test_conditional_samples_have_their_density():
    """Samples are the inverse of the base's own, row by row."""
    flow = FLOWS["image"]
    variables, (_, cond) = drawn(flow), inputs(flow)

    def found(variables, cond):
        key = jax.random.key(3)
        x = flow.apply(variables, key, BATCH, 0.5, cond, method="sample")
        base = {"params": variables["params"]["base"]}
        shape = flow.latent_shape()
        z = flow.base.apply(base, key, shape, BATCH, 0.5, cond, method="sample")
        return x, flat(flow.apply(variables, x, cond, method="latents")), flat(z)

    x, again, z = run(found, variables, cond)
    assert x.shape == (BATCH, 2, 2, 1)
    np.testing.assert_allclose(again, z, atol=1e-3)


def test_a_condition_for_the_base_alone():
    """The latents are those of the flow without one; the density is not."""
    flow = image_flow(ConditionalNormal()).clone(conditional_bijector=False)
    variables, (x, cond) = drawn(flow), inputs(flow)
    plain = flow.clone(base=StandardNormal())

    def found(variables, x, cond):
        bare = {"params": {"bijector": variables["params"]["bijector"]}}
        z = flow.apply(variables, x, cond, method="latents")
        expected = plain.apply(bare, x, method="latents")
        again = flow.apply(variables, z, cond, method="from_latents")
        by_cond = jax.grad(lambda c: flow.apply(variables, x, c).sum())(cond)
        return flat(z), flat(expected), again, by_cond

    z, expected, again, by_cond = run(found, variables, x, cond)
    np.testing.assert_array_equal(z, expected)
    np.testing.assert_allclose(again, x, atol=1e-5)
    assert (by_cond != 0).all()


@pytest.mark.parametrize("method", ["log_prob", "latents", "from_latents", "sample"])
def test_a_condition_that_nothing_uses_is_refused(method):
    flow = vector_flow(StandardNormal()).clone(conditional_bijector=False)
    x, cond = inputs(flow)
    key = jax.random.key(0)
    args = (key, BATCH) if method == "sample" else (x,)

    def found(cond):
        variables = flow.init(key, x)
        return flow.apply(variables, *args, cond=cond, method=method)

    assert jax.eval_shape(found, None).shape[0] == BATCH
    with pytest.raises(ValueError, match=r"nothing .* uses cond.*ConditionalNormal"):
        jax.eval_shape(found, cond)
    with pytest.raises(ValueError, match="nothing of this flow uses cond"):
        jax.eval_shape(flow.init, key, x, cond)
