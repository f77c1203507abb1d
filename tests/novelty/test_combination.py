"""Normal scores of ranks, and their quadratic form, restated in float64."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood.novelty.combination import RankGauss

RNG = np.random.default_rng(5)
MIX = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
KNOWN = RNG.normal(size=(400, 3)) @ MIX
INSIDE = RNG.uniform(-1.5, 1.5, size=(50, 3)).astype(np.float32)


def normal(values, known):
    count = len(known)
    below = (known[None] < values[:, None]).sum(1)
    up_to = (known[None] <= values[:, None]).sum(1)
    rank = (below + up_to + 1) / 2 / (count + 1)
    y = stats.norm.ppf(np.clip(rank, 1 / (count + 1), 1 - 1 / (count + 1)))
    over = np.maximum(values - known.max(0), 0) / known.std(0)
    under = np.maximum(known.min(0) - values, 0) / known.std(0)
    return y + np.log1p(over) - np.log1p(under)


@pytest.mark.thorough
def test_the_score_is_its_formula():
    known = KNOWN.astype(np.float32).astype(np.float64)
    weights = np.array([0.0, 3.0, 1.0])
    far = np.array([[-9.0, -9, -9], [9, 9, 9], [0, -20, 0]])
    values = np.concatenate([INSIDE, far])
    y = normal(known, known)
    share = 3 / 403
    covariance = (1 - share) * np.cov(y.T, bias=True) + share * np.eye(3)
    away = normal(values, known) - y.mean(0)
    expected = -np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)
    expected -= (weights * np.minimum(normal(values, known), 0) ** 2).sum(1)
    found = RankGauss.fit(KNOWN, weights).score(values.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


@pytest.mark.thorough
def test_only_ranks_count_within_the_known():
    plain = RankGauss.fit(KNOWN, [0, 0, 0]).score(INSIDE)
    moved = RankGauss.fit(np.exp(KNOWN), [0, 0, 0]).score(np.exp(INSIDE))
    np.testing.assert_allclose(moved, plain, rtol=1e-4)


@pytest.mark.thorough
def test_farther_is_more_unusual_at_both_ends():
    combination = RankGauss.fit(KNOWN[:20], [0, 0, 0])
    for sign in (-1, 1):
        steps = sign * np.array([4.0, 8, 16, 32])[:, None] * np.ones(3)
        assert (np.diff(combination.score(steps.astype(np.float32))) < 0).all()


@pytest.mark.thorough
def test_weights_make_low_values_count_and_high_ones_not():
    values = np.array([[0, -3.5, 0], [0, 3.5, 0]], np.float32)
    without = RankGauss.fit(KNOWN, [0, 0, 0]).score(values)
    with_weight = RankGauss.fit(KNOWN, [0, 3, 0]).score(values)
    assert with_weight[0] < without[0] - 10
    assert abs(with_weight[1] - without[1]) < 0.1


@pytest.mark.thorough
def test_two_equal_statistics_are_no_division_by_zero():
    twice = np.stack([KNOWN[:, 0], KNOWN[:, 0]], 1)
    score = RankGauss.fit(twice, [0, 0]).score(twice.astype(np.float32))
    assert np.isfinite(score).all()


def test_a_constant_statistic_is_refused():
    flat = np.stack([KNOWN[:, 0], np.ones(400)], 1)
    with pytest.raises(ValueError, match="statistic 1 does not vary among 400"):
        RankGauss.fit(flat, [0, 0])
