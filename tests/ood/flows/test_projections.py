"""Projections of a group's latents: valid p-values, power, what is refused."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from tests.helpers.scored_flows import gaussian_flow, normal_outputs

RNG = np.random.default_rng
FLOW = gaussian_flow(6)


def noise(count, rng):
    return normal_outputs(rng.normal(size=(count, 6)))


def given(count=400, seed=0):
    return ood.Given(id_validation=noise(count, RNG(seed)), seed=seed)


def projected_p(test, seed, make, groups=1):
    rng = RNG(seed)
    data = ood.Given(id_validation=noise(400, rng), train=noise(300, rng))
    fitted = test.fit(FLOW, data)
    return [fitted.p_value(normal_outputs(make(rng))) for _ in range(groups)]


@pytest.mark.parametrize("against", ["normal", "reference"])
def test_groups_are_told_by_projections_of_their_latents(against):
    test = ood.ProjectionTest(directions=10, against=against, groups=99)
    null = partial(projected_p, make=lambda rng: rng.normal(size=(10, 6)))
    p = np.concatenate([null(test, seed, groups=4) for seed in range(40)])
    for level in (0.05, 0.1, 0.5):
        allowed = 4 * np.sqrt(level * (1 - level) / len(p))
        assert abs(np.mean(p <= level) - level) < allowed + 0.01
    for change in (lambda z: z + 1, lambda z: 0.3 * z):
        far = projected_p(test, 0, lambda rng, c=change: c(rng.normal(size=(10, 6))), 5)
        assert np.max(far) <= 0.05


def test_the_projection_statistic_is_that_of_scipy():
    data, z = given(), RNG(3).normal(size=(12, 6))
    test = ood.ProjectionTest(directions=3).fit(FLOW, data)
    np.testing.assert_allclose(np.linalg.norm(test.axes, axis=0), 1)
    expected = np.mean([stats.kstest(z @ a, "norm").statistic for a in test.axes.T])
    np.testing.assert_allclose(test.statistic(normal_outputs(z)), expected)


def test_bad_groups_are_refused():
    test = ood.ProjectionTest(directions=3).fit(FLOW, given(30))
    with pytest.raises(ValueError, match="2 images or more, got 1"):
        test.p_value(noise(1, RNG(0)))
    with pytest.raises(ValueError, match="needs 32 calibration images, got 30"):
        test.p_value(noise(16, RNG(0)))
    with pytest.raises(ValueError, match="image 2 of the group"):
        test.statistic(
            normal_outputs(np.where(np.eye(6) * [0, 0, 1, 0, 0, 0], np.nan, 0))
        )
    with pytest.raises(ValueError, match="calibration images"):
        ood.ProjectionTest().fit(FLOW, ood.Given())
    with pytest.raises(ValueError, match="against must be one of normal, reference"):
        ood.ProjectionTest(against="x")
