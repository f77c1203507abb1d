"""Typicality of groups: false alarms at the level, and exact scores."""

import numpy as np
import pytest

from flowjax_ood import ood
from tests.helpers.scored_flows import gaussian_flow, image_flow, images


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def calibration():
    return gaussian_flow().collect(vectors(2000))


@pytest.mark.parametrize("size", [2, 5, 10])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_alarms_are_at_the_level(calibration, size, alpha):
    test = ood.group_typicality(gaussian_flow(), calibration, size, alpha)
    scores = test.score(vectors(4000, size, seed=1))
    alarms = test.alarms(scores)
    # of 4,000 groups, and of as many in calibration and bootstrap
    error = np.sqrt(3 * alpha * (1 - alpha) / 4000)
    assert abs(alarms.mean() - alpha) < 4 * error
    np.testing.assert_array_equal(alarms, test.p_values(scores) <= alpha)


def test_larger_groups_find_smaller_changes(calibration):
    rates = []
    for size in (2, 10, 50):
        test = ood.group_typicality(gaussian_flow(), calibration, size)
        low = 1.2 * vectors(200, size, seed=2)
        rates.append(test.alarms(test.score(low)).mean())
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > 0.9
    high = 0.5 * vectors(200, 50, seed=2)  # too typical is an alarm as well
    assert test.alarms(test.score(high)).all()


@pytest.mark.thorough
def test_scores_are_distances_of_means_in_nats():
    flow = image_flow()
    held_out = flow.collect(images(100))
    test = ood.group_typicality(flow, held_out, 3, seed=1)
    groups = images(12, seed=1).reshape(4, 3, 8, 8, 1)
    log_prob = flow.collect(images(12, seed=1)).log_prob.reshape(4, 3)
    law = -np.abs(log_prob.sum(1) / 3 - held_out.log_prob.mean())
    np.testing.assert_allclose(test.score(groups), law)
    # the order within a group is nothing
    np.testing.assert_allclose(test.score(groups[:, ::-1]), law)
    same, other = (ood.group_typicality(flow, held_out, 3, seed=s) for s in (1, 2))
    assert same.threshold == test.threshold != other.threshold


def test_what_cannot_be_tested_is_refused(calibration):
    def make(outputs=calibration, size=2, **options):
        return ood.group_typicality(gaussian_flow(), outputs, size, **options)

    with pytest.raises(ValueError, match=r"at least 2, got 1: .*ood\.Typicality"):
        make(size=1)
    with pytest.raises(ValueError, match=r"need 100 calibration inputs.* got 99"):
        make(calibration.rows(slice(99)))
    with pytest.raises(ValueError, match="need 2010 calibration inputs"):
        make(size=201)
    for alpha in (0, 1.0, 1e-4):
        with pytest.raises(ValueError, match="as far as 2000 groups"):
            make(alpha=alpha)
    with pytest.raises(TypeError, match=r"flow\.collect\(images\)"):
        make(vectors(200))
    with pytest.raises(ValueError, match="this flow's are"):
        make(gaussian_flow(3).collect(np.zeros((100, 3), np.float32)))
    broken = calibration.rows(np.arange(100))
    broken.log_pz[7] = np.nan
    with pytest.raises(ValueError, match="number 7"):
        make(broken)
    test = make()
    with pytest.raises(ValueError, match=r"\[G, 2, ...\].* got \[4, 3, ...\]"):
        test.score(vectors(4, 3))
    with pytest.raises(ValueError, match="number 1"):
        test.of_log_prob([[0, 1], [np.nan, 1]])
