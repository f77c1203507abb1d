"""Statistics of couplings over batches: against the records of all images at once."""

import jax
import numpy as np
import pytest

from flowjax_ood.analysis.couplings import (
    coupling_statistics,
    prediction_correlation,
    record_couplings,
)
from flowjax_ood.bijectors import Logit, Squeeze
from flowjax_ood.distributions import Flow
from flowjax_ood.models import RealNVP


@pytest.fixture(scope="module")
def subject():
    flow = RealNVP((4, 4, 1), scales=1, couplings=3, width=4, blocks=0, norm="none")
    x = jax.random.uniform(jax.random.key(0), (10, 4, 4, 1))
    return flow, flow.init(jax.random.key(1), x), x


def test_they_are_those_of_all_images_at_once(subject):
    flow, variables, x = subject
    records = record_couplings(flow, variables, x)
    padded = x[np.array([8, 9, 0, 0])], np.array([True, True, False, False])
    stats = coupling_statistics(flow, variables, [x[:4], x[4:8], padded])
    for stat, r in zip(stats, records, strict=True):
        found = stat.measures()
        assert found["correlation"] == pytest.approx(
            prediction_correlation(r), abs=1e-5
        )
        target, said = (a[:, r.changed].astype(float) for a in (r.x, -r.t))
        r2 = 1 - ((target - said) ** 2).sum() / ((target - target.mean()) ** 2).sum()
        assert found["r2"] == pytest.approx(r2, abs=1e-5)
        assert found["mean_s"] == pytest.approx(r.s[:, r.changed].mean(), abs=1e-6)
        assert stat.describe()["changed"] == r.changed.sum()
        assert stat.describe()["path"] == "/".join(r.path)


def test_log_determinants_add_up_to_the_flows(subject):
    flow, variables, x = subject
    stats = coupling_statistics(flow, variables, [x])
    total = sum(stat.measures()["logdet"] for stat in stats)
    logit = Logit().apply({}, x)[1].mean()
    logdet = flow.apply(variables, x, method="log_prob_parts").logdet.mean()
    assert total + logit == pytest.approx(float(logdet), rel=1e-5)


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
