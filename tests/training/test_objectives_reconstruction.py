"""Likelihood with a share of squared error, and training one level of a flow."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from flowjax_ood.models import WaveletFlow
from flowjax_ood.training.batches import conditional_batches, image_batches
from flowjax_ood.training.objectives import (
    Likelihood,
    LikelihoodAndReconstruction,
    check_fields,
)
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run, wide
from tests.helpers.tiny_run import BATCH, KEY, Tiny, assert_same, train

FLOW = WaveletFlow((4, 4, 4), views=2, block="affine", width=3, layers=1)
COUPLED = WaveletFlow((4, 4, 4), views=2, couplings=2, width=3, layers=1)
COUNT, D = 40, 32
SIZES = {"batch_size": BATCH, "seed": 5}
RNG = np.random.default_rng(0)
VOLUMES = RNG.uniform(size=(COUNT, 4, 4, 4)).astype(np.float32)
MEASURED = VOLUMES[..., ::2] + RNG.normal(0, 0.1, (COUNT, 4, 4, 2)).astype(np.float32)


@cache
def rows(which=1):
    found = FLOW.examples(which, VOLUMES, MEASURED)
    return {name: np.asarray(column) for name, column in found.items()}


def batch():
    first = {name: column[:BATCH] for name, column in rows().items()}
    return first | {"index": np.arange(BATCH, dtype=np.int32)}


def drawn(level):
    args = (jnp.asarray(batch()[name]) for name in ("x", "cond"))
    return generic_variables(level, np.random.default_rng(1), *args)


@pytest.mark.thorough
@pytest.mark.parametrize("weight", [0, 0.41, 0.9])
@pytest.mark.parametrize("flow", [FLOW, COUPLED])
def test_the_loss_is_its_formula(flow, weight):
    level = flow.level(1)
    objective = LikelihoodAndReconstruction(level, weight)

    def compute(variables, x, cond):
        given = {"x": x, "cond": cond, "index": jnp.arange(len(x))}
        inputs = objective.inputs(given, KEY)
        outputs = level.apply(variables, *inputs, method=objective.method)
        z = level.apply(variables, x, cond, method="log_prob_parts")
        center = level.apply(variables, 0 * x, cond, method="from_latents")
        return objective.loss(outputs, given), z.log_prob, center

    args = drawn(level), batch()["x"], batch()["cond"]
    with jax.enable_x64(True):
        (loss, metrics), log_prob, center = run(compute, *wide(args))
    x = args[1].astype(float)
    error = ((center - x) ** 2).mean()
    expected = -(1 - weight) * log_prob.mean() / D + weight * error
    np.testing.assert_allclose(loss, expected, rtol=1e-10)
    np.testing.assert_allclose(metrics["squared_error"], error, rtol=1e-10)
    total = metrics["log_pz"] + metrics["logdet"]
    np.testing.assert_allclose(total, log_prob.mean(), rtol=1e-10)


def test_without_weight_it_is_maximum_likelihood_a_dimension():
    level = FLOW.level(1)
    state = create_state(level, optax.sgd(1.0), KEY, batch()["x"], batch()["cond"])
    changes = []
    for objective in (Likelihood(level), LikelihoodAndReconstruction(level, 0.0)):
        step = make_train_step(objective, optax.sgd(1.0))
        new, _ = jax.jit(step)(state, batch(), KEY)
        changes.append(jax.tree.map(jnp.subtract, new.params, state.params))
    by_nll, by_both = map(jax.device_get, changes)
    assert max(np.abs(a).max() for a in jax.tree.leaves(by_nll)) > 1e-2
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a / D, rtol=1e-4, atol=1e-6),
        by_nll,
        by_both,
    )


def test_of_a_regression_both_parts_are_least_squares():
    """`-log p / D = 0.5 e + 0.5 log(2 pi)` with e the squared error a dimension."""
    level = FLOW.level("coarse")
    own = {name: jnp.asarray(a[:BATCH]) for name, a in rows("coarse").items()}
    variables = level.init(KEY, own["x"], own["cond"])
    objective = LikelihoodAndReconstruction(level, 0.41)
    args = own["x"], own["cond"]
    outputs = level.apply(variables, *args, method=objective.method)
    loss, metrics = objective.loss(outputs, own)
    error = float(metrics["squared_error"])
    np.testing.assert_allclose(error, (own["x"] ** 2).mean(), rtol=1e-5)
    expected = (0.59 / 2 + 0.41) * error - 0.59 * norm.logpdf(0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@cache
def tiny_level(which):
    level = COUPLED.level(which)
    optimizer = make_optimizer(make_schedule(1e-2, "constant", 100, 3))
    first = (jnp.asarray(rows(which)[name][:BATCH]) for name in ("x", "cond"))
    state = create_state(level, optimizer, KEY, *first)
    step = make_train_step(LikelihoodAndReconstruction(level), optimizer)
    return Tiny(level, step, jax.device_get(state))


@pytest.mark.thorough
@pytest.mark.parametrize("which", [1, "coarse"])
def test_a_level_trains_and_goes_on_where_it_stopped(which, tmp_path):
    level, batches = tiny_level(which), conditional_batches(**rows(which), **SIZES)
    whole = train(tmp_path / "whole", 8, level, batches=batches)
    train(tmp_path / "parts", 4, level, batches=batches)
    parts = train(tmp_path / "parts", 8, level, batches=batches)
    assert_same(jax.device_get(parts.state), jax.device_get(whole.state))
    moved = jax.tree.map(np.subtract, whole.state.params, level.state.params)
    assert all(np.abs(a).max() > 0 for a in jax.tree.leaves(moved) if a.size > 2)


def test_batches_are_those_of_images_in_the_same_order():
    batches = conditional_batches(**rows(), **SIZES)
    images = image_batches(np.zeros((COUNT, 4, 4, 1), np.uint8), **SIZES)
    for step in (0, 3, 9):
        found = batches(step)
        np.testing.assert_array_equal(found["index"], images(step)["index"])
        for name in ("x", "cond"):
            np.testing.assert_array_equal(found[name], rows()[name][found["index"]])
    with pytest.raises(ValueError, match="each of the 40 events, got 39"):
        conditional_batches(VOLUMES, MEASURED[1:], **SIZES)


def test_bad_input():
    for weight in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match=r"weight must lie in \[0, 1\), got"):
            LikelihoodAndReconstruction(FLOW.level(1), weight)
    with pytest.raises(ValueError, match=r"needs batches with x.*conditional_batches"):
        check_fields(
            LikelihoodAndReconstruction(FLOW.level(1)), {"image": 0, "index": 0}
        )
