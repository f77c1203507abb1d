"""Confidence intervals: definitions, coverage, ends of the range, determinism."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from flowjax_ood.ood import aupr, auroc, fpr_at_tpr, mean_ci
from flowjax_ood.ood.intervals import _replicates, unseen_fraction
from flowjax_ood.ood.thresholds import threshold_counts
from tests.helpers.metric_cases import (
    ALL_METRICS,
    DATA,
    HAND_ID,
    HAND_OOD,
    METRICS,
    continuous,
)


@ALL_METRICS
@DATA
def test_interval_is_proper_and_contains_the_value(metric, draw):
    value, low, high = metric(*draw(np.random.default_rng(14)))
    assert 0 <= low <= value <= high <= 1
    assert low < high


@ALL_METRICS
@pytest.mark.parametrize(
    "data",
    [
        (np.arange(60) + 100, np.arange(40)),  # Separated.
        (np.arange(60), np.arange(40) + 100),  # Separated, the wrong way round.
        (np.zeros(60), np.zeros(40)),  # A constant score.
        ([1.0], [0.0]),
        ([0.0], [0.0]),
        ([1.0, 3.0], [2.0]),
    ],
    ids=["separated", "reversed", "constant", "one each", "one tie", "one OOD"],
)
def test_interval_never_has_zero_width(metric, data):
    value, low, high = metric(*data)
    assert 0 <= low <= value <= high <= 1
    assert high - low > 1e-3


@ALL_METRICS
def test_a_higher_level_gives_a_wider_interval(metric):
    data = continuous(np.random.default_rng(15))
    _, low, high = metric(*data)
    _, wide_low, wide_high = metric(*data, level=0.99)
    assert wide_low <= low < high <= wide_high
    assert wide_high - wide_low > high - low


@DATA
def test_auroc_interval_is_delong_on_the_log_odds_scale(draw):
    """Against the O(nm) definition: variances of rows and columns of pair wins."""
    id_scores, ood_scores = draw(np.random.default_rng(16))
    wins = (id_scores[:, None] > ood_scores) + 0.5 * (id_scores[:, None] == ood_scores)
    by_id, by_ood = wins.mean(axis=1), wins.mean(axis=0)
    variance = by_id.var(ddof=1) / len(by_id) + by_ood.var(ddof=1) / len(by_ood)
    value, low, high = auroc(id_scores, ood_scores, level=0.9)
    z = NormalDist().inv_cdf(0.95)
    reach = z * math.sqrt(variance) / (value * (1 - value))
    log_odds = math.log(value / (1 - value))
    assert math.log(low / (1 - low)) == pytest.approx(log_odds - reach, abs=1e-10)
    assert math.log(high / (1 - high)) == pytest.approx(log_odds + reach, abs=1e-10)


def test_perfect_scores_get_the_exact_one_sided_bound():
    """The bound L solves L^n = 0.05: n right pairs out of n are then a 5% event."""
    perfect = auroc(np.arange(40) + 50, np.arange(50))
    assert perfect == (1.0, pytest.approx(0.05 ** (1 / 40), abs=1e-15), 1.0)
    rate = fpr_at_tpr(np.arange(200) + 300, np.arange(300), positive="id")
    assert rate == (0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 200), abs=1e-15))
    # Too few positives: more than 5% of them may lie below every OOD image.
    few = fpr_at_tpr(np.arange(40) + 50, np.arange(50), positive="id")
    assert few == (0.0, 0.0, 1.0)
    assert unseen_fraction(3000, 0.95) == pytest.approx(3 / 3000, rel=2e-3)


def test_auroc_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(17)
    for shift in (1.0, 2.5):
        truth = NormalDist().cdf(shift / math.sqrt(2))
        intervals = [
            auroc(rng.normal(shift, 1, 60), rng.normal(0, 1, 80)) for _ in range(400)
        ]
        covered = np.mean([e.low <= truth <= e.high for e in intervals])
        assert 0.91 <= covered <= 0.985, (shift, covered)


@pytest.mark.parametrize(
    "name", ["aupr step id", "aupr trapezoid ood", "fpr at tpr ood"]
)
def test_bootstrap_interval_covers_the_truth(name):
    rng = np.random.default_rng(18)
    metric = METRICS[name]
    truth = metric(rng.normal(1, 1, 400_000), rng.normal(0, 1, 400_000), n_boot=0).value
    covered = []
    for _ in range(120):
        data = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
        _, low, high = metric(*data, n_boot=200)
        covered.append(low <= truth <= high)
    assert 0.87 <= np.mean(covered) <= 0.995


@ALL_METRICS
def test_interval_shrinks_with_the_square_root_of_the_test_set(metric):
    def width(n):
        quantiles = (np.arange(n) + 0.5) / n
        normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
        _, low, high = metric(normal + 1, normal)
        return high - low

    assert width(1600) == pytest.approx(width(100) / 4, rel=0.3)


@ALL_METRICS
def test_results_are_deterministic_and_the_seed_matters(metric):
    data = continuous(np.random.default_rng(19))
    assert metric(*data) == metric(*data)
    if metric is not auroc:
        by_seed = {metric(*data, seed=seed, n_boot=99) for seed in range(8)}
        assert len(by_seed) > 1
        assert len({estimate.value for estimate in by_seed}) == 1


def test_bootstrap_redraws_each_class_by_itself():
    """Replicates keep both sizes, and their mean is the sample."""
    counts = threshold_counts([1, 1, 2, 4], [0, 1, 2], "id")
    drawn = []

    def record(positive, negative):
        drawn.append((positive, negative))
        return 0.0

    _replicates(counts, record, 4000, seed=0)
    positives, negatives = (np.stack(side) for side in zip(*drawn, strict=True))
    assert (positives.sum(axis=1) == 4).all()
    assert (negatives.sum(axis=1) == 3).all()
    np.testing.assert_allclose(positives.mean(axis=0), counts.positive, atol=0.06)
    np.testing.assert_allclose(negatives.mean(axis=0), counts.negative, atol=0.06)


def test_no_replicates_means_no_interval():
    value, low, high = aupr(HAND_ID, HAND_OOD, positive="id", n_boot=0)
    assert value == aupr(HAND_ID, HAND_OOD, positive="id").value
    assert math.isnan(low)
    assert math.isnan(high)


def test_mean_ci_is_students_interval():
    # t_{0.975, 4} = 2.776445, s = sqrt(2.5), n = 5.
    reach = 2.7764451052 * math.sqrt(2.5 / 5)
    assert mean_ci([1, 2, 3, 4, 5]) == pytest.approx((3, 3 - reach, 3 + reach))
    # t_{0.95, 1} = 6.313752.
    assert mean_ci([0.0, 1.0], level=0.9).high == pytest.approx(0.5 + 6.3137515 / 2)
    assert mean_ci([0.25, 0.25]) == (0.25, 0.25, 0.25)
