"""Vectors go through step and likelihood as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.models import TabularRealNVP
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.batches import image_batches, vector_batches
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.optimizers import make_optimizer
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_run import KEY

FLOW = TabularRealNVP(5, couplings=2, width=6, max_log_scale=1.0)
VECTORS = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return FLOW.init(jax.random.key(0), jnp.asarray(VECTORS[:2]))


def test_batches_are_those_of_images_in_the_same_order():
    batches = vector_batches(VECTORS, 8, seed=3)
    images = image_batches(np.zeros((23, 4, 4, 1), np.uint8), 8, seed=3)
    for step in (0, 2, 7):
        batch = batches(step)
        np.testing.assert_array_equal(batch["index"], images(step)["index"])
        np.testing.assert_array_equal(batch["x"], VECTORS[batch["index"]])
        assert batch["x"].dtype == np.float32


@pytest.mark.thorough
@pytest.mark.parametrize("batch_size", [4, 23, 40])
def test_likelihoods_are_the_flows_own(variables, batch_size):
    found = evaluate_likelihood(
        FLOW,
        variables,
        VECTORS,
        key=KEY,
        batch_size=batch_size,
        parallel=Parallel("jit", jax.devices()[:1]),
        label=None,
    )
    expected = FLOW.apply(variables, VECTORS, method="log_prob_parts")
    np.testing.assert_allclose(found.log_pz, expected.log_pz, rtol=1e-5)
    np.testing.assert_allclose(found.logdet, expected.logdet, rtol=1e-4, atol=1e-5)


def test_progress_counts_vectors_and_can_be_left_out(variables, capsys):
    arguments = {"key": KEY, "batch_size": 23, "parallel": Parallel("jit")}
    evaluate_likelihood(FLOW, variables, VECTORS, label="mine", **arguments)
    assert capsys.readouterr().err == "mine: 23/23 vectors\n"
    evaluate_likelihood(FLOW, variables, VECTORS, label=None, **arguments)
    assert capsys.readouterr().err == ""


def test_a_step_reports_nats(variables):
    optimizer = make_optimizer(1e-3, l2=0.0, scales_apart=False)
    state = create_state(FLOW, optimizer, jax.random.key(0), jnp.asarray(VECTORS))
    batch = {"x": jnp.asarray(VECTORS), "index": jnp.arange(23, dtype=jnp.int32)}
    _, metrics = jax.jit(make_train_step(Likelihood(FLOW), optimizer))(
        state, batch, KEY
    )
    assert set(metrics) == {"loss", "log_pz", "logdet", "grad_norm"}
    expected = FLOW.apply(state.variables(), VECTORS, method="log_prob_parts")
    assert metrics["log_pz"] == pytest.approx(float(expected.log_pz.mean()), rel=1e-5)
    logdet = float(expected.logdet.mean())
    assert metrics["logdet"] == pytest.approx(logdet, rel=1e-4, abs=1e-5)
    total = metrics["log_pz"] + metrics["logdet"]
    assert metrics["loss"] == pytest.approx(-float(total), rel=1e-5)
