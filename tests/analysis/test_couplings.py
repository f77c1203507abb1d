"""Couplings recorded, and summed up over batches: against the flow's own numbers."""

from itertools import pairwise

import jax
import numpy as np
import pytest

from flowjax_ood.analysis.couplings import (
    CouplingStatistics,
    coupling_statistics,
    prediction_correlation,
    record_couplings,
)
from flowjax_ood.bijectors import Logit, Squeeze, restack
from flowjax_ood.distributions import Flow
from flowjax_ood.models import RealNVP, TabularRealNVP

ARGS = {"width": 2, "blocks": 1, "norm": "none"}


@pytest.fixture(scope="module")
def recorded():
    flow = RealNVP((8, 8, 1), **ARGS)
    x = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    variables = flow.init(jax.random.key(1), x)
    return flow, variables, x, record_couplings(flow, variables, x)


@pytest.mark.thorough
def test_records_follow_each_other_and_add_up(recorded):
    flow, variables, x, records = recorded
    assert len(records) == 10
    for one, next_one in pairwise(records[:3]):
        np.testing.assert_allclose(one.z, next_one.x, atol=1e-5)
    for r in records:
        assert not (r.seen & r.changed).any()
        np.testing.assert_array_equal(r.s[:, ~r.changed], 0)
        np.testing.assert_array_equal(r.z[:, ~r.changed], r.x[:, ~r.changed])
    _, logit = Logit().apply({}, x)
    total = sum(r.s.sum((1, 2, 3)) for r in records) + logit
    parts = flow.apply(variables, x, method="log_prob_parts")
    np.testing.assert_allclose(total, parts.logdet, rtol=1e-5)


@pytest.mark.thorough
def test_repeated_couplings_are_recorded_one_by_one(recorded):
    flow, variables, x, records = recorded
    repeated = RealNVP((8, 8, 1), stack="scan", **ARGS)
    params = restack(flow.bijector, variables["params"]["bijector"], repeated.bijector)
    again = record_couplings(repeated, {"params": {"bijector": params}}, x)
    for one, other in zip(records, again, strict=True):
        for name in ("x", "z", "s", "t"):
            a, b = getattr(one, name), getattr(other, name)
            np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_array_equal(one.seen, other.seen)


@pytest.mark.thorough
@pytest.mark.parametrize("mask", ["tabular", "halves"])
def test_conditional_couplings_of_vectors_are_recorded(mask):
    flow = TabularRealNVP(5, couplings=2, width=3, mask=mask)
    x, cond = (jax.random.normal(jax.random.key(k), (4, 5 - k)) for k in (0, 1))
    variables = flow.init(jax.random.key(2), x, cond)
    first, last = record_couplings(flow, variables, x, cond)
    np.testing.assert_array_equal(first.x, x)
    np.testing.assert_array_equal(first.changed, [False, False, True, True, True])
    np.testing.assert_array_equal(last.changed, ~first.changed)
    np.testing.assert_allclose(first.z, last.x, rtol=1e-5)
    z = flow.apply(variables, x, cond, method="latents")
    np.testing.assert_allclose(last.z, z, rtol=1e-5)
    parts = flow.apply(variables, x, cond, method="log_prob_parts")
    np.testing.assert_allclose(first.s.sum(1) + last.s.sum(1), parts.logdet, rtol=1e-4)
    for r in (first, last):
        np.testing.assert_array_equal(r.s[:, ~r.changed], 0)
        np.testing.assert_array_equal(r.t[:, ~r.changed], 0)


def test_the_correlation_is_that_of_what_is_hidden(recorded):
    record = recorded[-1][0]
    perfect = record._replace(t=np.where(record.changed, -record.x, 0))
    assert prediction_correlation(perfect) == pytest.approx(1)
    opposite = record._replace(t=np.where(record.changed, record.x, 0))
    assert prediction_correlation(opposite) == pytest.approx(-1)
    assert np.isnan(prediction_correlation(record._replace(t=0 * record.t)))


@pytest.fixture(scope="module")
def subject():
    flow = RealNVP((4, 4, 1), scales=1, couplings=3, width=4, blocks=0, norm="none")
    x = jax.random.uniform(jax.random.key(0), (10, 4, 4, 1))
    return flow, flow.init(jax.random.key(1), x), x


@pytest.mark.thorough
def test_statistics_are_those_of_all_images_at_once(subject):
    flow, variables, x = subject
    records = record_couplings(flow, variables, x)
    padded = x[np.array([8, 9, 0, 0])], np.array([True, True, False, False])
    stats = coupling_statistics(flow, variables, [x[:4], x[4:8], padded])
    for stat, r in zip(stats, records, strict=True):
        measured = stat.measures()
        assert measured["correlation"] == pytest.approx(
            prediction_correlation(r), abs=1e-5
        )
        target, said = (a[:, r.changed].astype(float) for a in (r.x, -r.t))
        r2 = 1 - ((target - said) ** 2).sum() / ((target - target.mean()) ** 2).sum()
        assert measured["r2"] == pytest.approx(r2, abs=1e-5)
        assert measured["mean_s"] == pytest.approx(r.s[:, r.changed].mean(), abs=1e-6)
        assert stat.describe()["changed"] == r.changed.sum()
        assert stat.describe()["path"] == "/".join(r.path)


def test_log_determinants_add_up_to_the_flows(subject):
    flow, variables, x = subject
    stats = coupling_statistics(flow, variables, [x])
    total = sum(stat.measures()["logdet"] for stat in stats)
    logit = Logit().apply({}, x)[1].mean()
    logdet = flow.apply(variables, x, method="log_prob_parts").logdet.mean()
    assert total + logit == pytest.approx(float(logdet), rel=1e-5)


@pytest.mark.thorough
def test_what_is_undefined_is_none():
    flow = RealNVP(
        (4, 4, 1), scales=1, couplings=2, width=2, blocks=0, norm="none", zero_init=True
    )
    x = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    first, _ = coupling_statistics(flow, flow.init(jax.random.key(1), x), [x])
    assert first.measures()["correlation"] is None
    assert first.measures()["mean_s"] == 0


def test_no_images_and_no_couplings_are_refused(subject):
    flow, variables, x = subject
    with pytest.raises(ValueError, match="at least one batch"):
        coupling_statistics(flow, variables, [])
    with pytest.raises(ValueError, match="no affine couplings"):
        coupling_statistics(Flow(Squeeze(), (4, 4, 1)), {}, [x])
    for ask in (CouplingStatistics().measures, CouplingStatistics().describe):
        with pytest.raises(ValueError, match="no images were added"):
            ask()
