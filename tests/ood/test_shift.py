"""Shift: exact permutation p-values, published statistics, and what is refused."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist, pdist

from flowjax_ood import ood

RNG = np.random.default_rng
KINDS = ("ks", "mean", "mmd")
shift = ood.shift_test


@pytest.mark.parametrize("by", KINDS)
def test_p_values_are_uniform_on_the_ranks_of_permutations(by):
    rng = RNG(0)
    p = np.array(
        [
            shift(rng.normal(size=30), rng.normal(size=12), by, 99, seed).p
            for seed in range(600)
        ]
    )
    ranks = np.round(100 * p)
    np.testing.assert_allclose(p, ranks / 100, rtol=1e-12)
    assert ranks.min() >= 1
    for level in (0.05, 0.1, 0.3, 0.7):
        share, error = np.mean(ranks <= 100 * level), np.sqrt(level * (1 - level) / 600)
        assert share <= level + 4 * error
        if by != "ks":  # whose ties make p larger
            assert share >= level - 4 * error
    if by != "ks":
        spread = (ranks - rng.uniform(size=600)) / 100
        assert stats.kstest(spread, "uniform").pvalue > 1e-3


def test_the_ks_statistic_is_scipys():
    rng = RNG(1)
    for n, m in ((40, 15), (9, 200), (33, 8)):
        for decimals in (0, 6):
            x, y = (np.round(rng.normal(size=k) * 2, decimals) for k in (n, m))
            expected = stats.ks_2samp(x, y).statistic
            assert shift(x, y, "ks", 19).statistic == pytest.approx(expected, rel=1e-12)


def test_the_other_statistics_are_the_formulas():
    rng = RNG(2)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(12, 3)) + 0.4
    scale = 2 * np.median(pdist(np.concatenate([x, y]))) ** 2
    # the median of squares is the square of the median, for odd numbers of pairs
    assert 42 * 41 // 2 % 2 == 1
    own, new, both = (
        np.exp(-cdist(a, b, "sqeuclidean") / scale).mean()
        for a, b in ((x, x), (y, y), (x, y))
    )
    found = shift(x, y, "mmd", 19).statistic
    assert found == pytest.approx(own + new - 2 * both, rel=1e-9)
    x, y = x[:, 0], y[:, 0]
    found = shift(x, y, "mean", 19).statistic
    assert found == pytest.approx(abs(x.mean() - y.mean()), rel=1e-12)
    assert shift(x, y, "mmd", 99, 5) == shift(x[:, None], y[:, None], "mmd", 99, 5)


@pytest.mark.parametrize("by", KINDS)
def test_shifts_are_found_either_way(by):
    rng = RNG(3)
    x, y = rng.normal(size=200), rng.normal(size=40)
    for change in (-1.5, 1.5):
        assert shift(x, y + change, by) == shift(x, y + change, by)
        assert shift(x, y + change, by).p == 0.001
    # of spread alone, which the mean does not see
    wide = shift(x, 4 * (y - y.mean()) + x.mean(), by)
    assert wide.p > 0.5 if by == "mean" else wide.p < 0.05


def test_mmd_finds_what_no_feature_alone_shows():
    rng = RNG(4)
    x, y = rng.normal(size=(150, 2)), rng.normal(size=(80, 2))
    y[:, 1] = 0.95 * y[:, 0] + np.sqrt(1 - 0.95**2) * y[:, 1]
    assert shift(x, y, "mmd").p <= 0.002


def test_ks_is_of_ranks_alone_infinity_included():
    rng = RNG(5)
    x, y = rng.normal(size=50), rng.normal(size=20) - 0.5
    assert shift(np.exp(x), np.exp(y)) == shift(x, y)
    x[:3] = y[:2] = -np.inf
    assert shift(np.maximum(x, -99), np.maximum(y, -99)) == shift(x, y)


@pytest.mark.parametrize("by", KINDS)
def test_chunks_change_nothing_and_constants_are_no_shift(by, monkeypatch):
    rng = RNG(6)
    x, y = rng.normal(size=40), rng.normal(size=10) - 0.4
    whole = shift(x, y, by, 199, 3)
    monkeypatch.setattr("flowjax_ood.ood.shift.AT_ONCE", 1000)
    assert shift(x, y, by, 199, 3) == whole
    same = shift(np.full(20, 0.1), np.full(9, 0.1), by, 19)
    assert same == (1, pytest.approx(0, abs=1e-15))
    # mostly equal
    x, y = (rng.uniform(size=k) < 0.1 for k in (60, 30))
    assert 0.05 < shift(x.astype(float), y.astype(float), by, 99).p <= 1


def test_bad_inputs():
    x, y = RNG(7).normal(size=30), RNG(8).normal(size=10)
    with pytest.raises(ValueError, match="by must be one of ks, mean, mmd, got 'lsdd'"):
        shift(x, y, "lsdd")
    with pytest.raises(ValueError, match="permutations must be at least 19, got 18"):
        shift(x, y, permutations=18)
    with pytest.raises(ValueError, match="permutations must be a whole number"):
        shift(x, y, permutations=99.5)
    with pytest.raises(ValueError, match="window needs 8 examples, got 7"):
        shift(x, y[:7])
    with pytest.raises(ValueError, match="calibration_scores needs 8 examples, got 7"):
        shift(x[:7], y)
    bad = y.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"window\[4\] is NaN"):
        shift(x, bad)
    bad[4] = np.inf
    for by in ("mean", "mmd"):
        with pytest.raises(ValueError, match=r"window\[4\] is not finite.*ks"):
            shift(x, bad, by)
    wide = RNG(9).normal(size=(30, 2))
    for by in ("ks", "mean"):
        with pytest.raises(ValueError, match="1-d array"):
            shift(wide, y, by)
    with pytest.raises(ValueError, match=r"\(10,\) does not go with .* \(30, 2\)"):
        shift(wide, y, "mmd")
    with pytest.raises(ValueError, match=r"calibration_scores\[2\] is not finite"):
        shift(np.where(np.arange(30)[:, None] == 2, np.nan, wide), wide, "mmd")
    with pytest.raises(ValueError, match="at most 5000 examples, got 5010"):
        shift(np.arange(5000.0), y, "mmd")
