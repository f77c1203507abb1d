"""Rejections: error rates that are promised, and the definitions by brute force."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood

RNG = np.random.default_rng
CONTROLS = ("each", "fdr", "fdr_any", "any")


def bh(p, level):
    """Those up to the largest `p_(i) <= level i / m`, by its definition."""
    m, ordered = len(p), sorted(p)
    good = [i for i in range(1, m + 1) if ordered[i - 1] <= level * i / m]
    return p <= ordered[max(good) - 1] if good else np.zeros(m, bool)


def by(p, level):
    return bh(p, level / sum(1 / j for j in range(1, len(p) + 1)))


def holm(p, level):
    """Closed testing: rejected where Bonferroni rejects every set that holds it."""
    m = len(p)
    rejected = np.ones(m, bool)
    for size in range(1, m + 1):
        for chosen in combinations(range(m), size):
            if p[list(chosen)].min() > level / size:
                rejected[list(chosen)] = False
    return rejected


@pytest.mark.parametrize(
    ("control", "definition"),
    [("each", lambda p, t: p <= t), ("fdr", bh), ("fdr_any", by), ("any", holm)],
)
def test_rejections_are_those_of_the_definition(control, definition):
    rng, some = RNG(0), 0
    for m in range(1, 7):
        for _ in range(60):
            p = rng.uniform(size=m) ** 2
            level = rng.uniform(0.05, 0.9)
            found = ood.reject(p, level, control)
            np.testing.assert_array_equal(found.reject, definition(p, level))
            some += 0 < found.reject.sum() < m
    assert some > 30


@pytest.mark.parametrize("control", CONTROLS)
def test_adjusted_p_values(control):
    p = RNG(1).uniform(0.001, 1, 40)
    found = ood.reject(p, 0.3, control)
    order = np.argsort(p)
    assert (np.diff(found.adjusted[order]) >= 0).all(), "monotone in p"
    assert (found.adjusted >= p).all()
    assert found.adjusted.max() <= 1
    np.testing.assert_array_equal(found.reject, found.adjusted <= 0.3)
    # the least level that rejects
    for i in (order[0], order[7]):
        level = found.adjusted[i]
        if level < 1:
            assert ood.reject(p, level, control).reject[i]
            assert not ood.reject(p, 0.999 * level, control).reject[i]
    shuffled = RNG(2).permutation(40)
    again = ood.reject(p[shuffled], 0.3, control)
    np.testing.assert_allclose(again.adjusted, found.adjusted[shuffled], rtol=1e-14)
    same = ood.reject(np.full(9, 0.04), 0.1, control).reject
    assert same.all() == same.any()
    assert (ood.reject([0.03], 0.1, control).adjusted == 0.03).all()


def test_fdr_is_scipys():
    p = RNG(3).uniform(1e-4, 1, 50)
    for control, method in (("fdr", "bh"), ("fdr_any", "by")):
        expected = stats.false_discovery_control(p, method=method)
        np.testing.assert_array_equal(ood.reject(p, control=control).adjusted, expected)


def test_error_rates_hold_for_p_values_by_one_calibration_set():
    """Batches of 40 with 10 outliers; 2,000 calibration sets of 200."""
    rng, level, batches = RNG(4), 0.2, 2000
    share, any_false, power = ({c: [] for c in CONTROLS} for _ in range(3))
    outlier = np.arange(40) < 10
    for _ in range(batches):
        calibration = ood.Calibration.fit(rng.normal(size=200))
        p = calibration.p_values(rng.normal(size=40) - 2.5 * outlier)
        for control in CONTROLS:
            rejected = ood.reject(p, level, control).reject
            false = (rejected & ~outlier).sum()
            share[control].append(false / max(1, rejected.sum()))
            any_false[control].append(false > 0)
            power[control].append((rejected & outlier).sum() / 10)

    def bounded(values):
        return np.mean(values) <= level + 4 * np.std(values) / np.sqrt(batches)

    assert bounded(share["fdr"])
    assert bounded(share["fdr_any"])
    assert bounded(any_false["any"])
    # three quarters of the inputs are no outliers: BH's rate is about 0.75 x 0.2
    assert abs(np.mean(share["fdr"]) - 0.15) < 0.02
    assert np.mean(any_false["fdr"]) > 0.5
    assert np.mean(share["each"]) > 0.25
    each, fdr, fdr_any, any_one = (np.mean(power[c]) for c in CONTROLS)
    assert each > fdr > fdr_any
    assert fdr > any_one
    assert fdr > 0.5


def test_a_level_is_reached_whatever_its_last_bits_are():
    assert ood.reject([3 / 20], 0.1 + 0.05).reject.all()
    assert ood.reject([0.3], 3 * 0.1).reject.all()
    assert ood.reject([0.1 + 0.2], 0.3).reject.all()


def test_bad_p_values_and_options():
    for bad in (0.0, 1.0001, np.nan, -1):
        with pytest.raises(ValueError, match=r"p\[2\] is .* lie in \(0, 1\]"):
            ood.reject([0.5, 1.0, bad, bad])
    for bad in ([], 0.5, [[0.5]]):
        with pytest.raises(ValueError, match=r"p must be \[m\]"):
            ood.reject(bad)
    for level in (0, 1, np.nan):
        with pytest.raises(ValueError, match="level must lie"):
            ood.reject([0.5], level)
    with pytest.raises(ValueError, match="one of each, fdr, fdr_any, any, got 'bh'"):
        ood.reject([0.5], control="bh")
