"""p-values: uniform under exchangeability, of ranks alone, valid when combined."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.ood.p_values import COMBINATIONS

RNG = np.random.default_rng


@pytest.mark.parametrize("side", [ood.low_p, ood.high_p, ood.two_sided_p])
def test_p_values_are_uniform_where_scores_are_exchangeable(side):
    rng = RNG(0)
    p = [side(rng.normal(size=1), rng.normal(size=99))[0] for _ in range(3000)]
    for level in (0.05, 0.1, 0.5):
        error = np.sqrt(level * (1 - level) / 3000)
        assert abs(np.mean(np.array(p) <= level) - level) < 4 * error + 0.011


def test_p_values_count_calibration_scores():
    calibration = np.array([1.0, 2, 2, 3])
    np.testing.assert_allclose(ood.low_p([0, 2, 9], calibration), [0.2, 0.8, 1])
    np.testing.assert_allclose(ood.high_p([0, 2, 9], calibration), [1, 0.8, 0.2])
    both = ood.two_sided_p([0, 2, 9], calibration, low_share=0.8)
    np.testing.assert_allclose(both, [0.25, 1, 1])
    with_equal = ood.two_sided_p([0, 2, 9], calibration)
    np.testing.assert_allclose(with_equal, [0.4, 1, 0.4])


def test_an_increasing_map_changes_nothing_and_a_decreasing_one_swaps_sides():
    x, calibration = RNG(1).normal(size=40), RNG(2).normal(size=60)
    low = ood.low_p(x, calibration)
    np.testing.assert_array_equal(ood.low_p(np.exp(x), np.exp(calibration)), low)
    np.testing.assert_array_equal(ood.high_p(-x, -calibration), low)
    two = ood.two_sided_p(x, calibration, 0.8)
    np.testing.assert_allclose(ood.two_sided_p(-x, -calibration, 0.2), two)
    np.testing.assert_array_equal(ood.two_sided_p(x, calibration, 1), low)


def test_infinite_scores_are_the_most_unusual():
    assert ood.low_p([-np.inf], np.arange(9.0))[0] == 0.1


@pytest.mark.parametrize("method", COMBINATIONS)
def test_one_test_is_left_as_it_is(method):
    p = RNG(0).uniform(0.01, 1, (50, 1))
    np.testing.assert_allclose(ood.combine_p(p, method), p[:, 0], rtol=1e-9)


@pytest.mark.parametrize("method", ["bonferroni", "harmonic", "cauchy"])
@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.99])
def test_combinations_hold_under_dependence(method, correlation):
    shared, own = RNG(3).normal(size=(40_000, 1)), RNG(4).normal(size=(40_000, 5))
    z = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    p = ood.combine_p(stats.norm.sf(z), method)
    level = 0.01
    slack = 4 * np.sqrt(level / 40_000)
    # Cauchy's is nearly valid
    assert np.mean(p <= level) <= level * (1.15 if method == "cauchy" else 1) + slack


def test_independent_tests_combine_uniformly_by_fisher():
    p = ood.combine_p(RNG(5).uniform(size=(5000, 6)), "fisher")
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    expected = [stats.combine_pvalues(row).pvalue for row in ([0.2, 0.01], [0.9, 0.5])]
    np.testing.assert_allclose(
        ood.combine_p([[0.2, 0.01], [0.9, 0.5]], "fisher"), expected
    )


@pytest.mark.parametrize("method", COMBINATIONS)
def test_smaller_p_values_give_no_larger_one(method):
    p = RNG(6).uniform(0.001, 1, (200, 4))
    smaller = p.copy()
    smaller[:, 2] *= 0.5
    before, after = ood.combine_p(p, method), ood.combine_p(smaller, method)
    assert (after <= before + 1e-12).all()
    assert (after < before).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ood.low_p([0.0, np.nan], [1.0]), r"scores\[1\] is NaN"),
        (lambda: ood.low_p([0.0], []), "calibration is empty"),
        (lambda: ood.low_p([[0.0]], [1.0]), "give a 1-d array"),
        (lambda: ood.two_sided_p([0.0], [1.0], 1.5), "low_share"),
        (lambda: ood.combine_p([[0.5]], "stouffer"), "known: bonferroni"),
        (lambda: ood.combine_p([[0.0]]), r"\(0, 1\]"),
        (lambda: ood.combine_p([0.5]), r"\[N, J\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
