"""Paired differences of AUROCs."""

from statistics import NormalDist

import numpy as np
import pytest

from flowjax_ood import ood


def draw(seed, shift, n=80, m=60):
    """Two scores that share most of their noise, of one set of examples."""
    rng = np.random.default_rng(seed)
    common = [rng.normal(1, 1, n), rng.normal(0, 1, m)]
    first = tuple(c + 0.3 * rng.normal(size=len(c)) for c in common)
    noise = [c + 0.3 * rng.normal(size=len(c)) for c in common]
    return first, (noise[0] + shift, noise[1])


def test_placements_are_shares_of_pairs_and_average_to_the_auroc():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 40) + 1.0, rng.integers(0, 9, 30)
    wins = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
    v, w = ood.placements(inside, outside)
    np.testing.assert_allclose(v, wins.mean(1), rtol=1e-12)
    np.testing.assert_allclose(w, wins.mean(0), rtol=1e-12)
    assert v.mean() == pytest.approx(ood.auroc(inside, outside).value)


def test_the_difference_is_that_of_the_values_and_turns_round():
    first, second = draw(0, 0.5)
    found = ood.auroc_difference(first, second)
    expected = ood.auroc(*first).value - ood.auroc(*second).value
    assert found.value == pytest.approx(expected)
    back = ood.auroc_difference(second, first)
    assert back == pytest.approx((-found.value, -found.high, -found.low))
    assert ood.auroc_difference(first, first) == (0, 0, 0)


def test_the_interval_covers_as_often_as_it_says_and_uses_the_pairs():
    # both scores are as good: the difference is 0
    found = [ood.auroc_difference(*draw(seed, 0.0)) for seed in range(400)]
    covered = np.mean([low <= 0 <= high for _, low, high in found])
    # 4 standard errors of a share of 0.95
    assert abs(covered - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 400)
    first, second = draw(0, 0.0)
    alone = [ood.auroc(*scores) for scores in (first, second)]
    unpaired = np.hypot(*[estimate.high - estimate.low for estimate in alone])
    assert found[0].high - found[0].low < unpaired / 1.5


def test_outliers_made_of_the_examples_are_paired():
    rng = np.random.default_rng(0)

    def drawn():
        own = rng.normal(size=200)
        other = own - 0.3 + 0.3 * rng.normal(size=200)
        # what another score makes of an image, it makes of the outlier of it
        common = rng.normal(size=200)
        second = [x + common for x in (own, other)]
        return (own, other), tuple(second)

    draws = [drawn() for _ in range(300)]
    found = [ood.auroc_difference(*pair, paired=True) for pair in draws]
    values = np.array([f.value for f in found])
    # the interval is as wide as the values scatter: 4 standard errors of a spread
    reach = np.mean([f.high - f.low for f in found]) / 2 / 1.96
    assert abs(reach / values.std() - 1) < 4 / np.sqrt(600)
    apart = np.mean([np.ptp(ood.auroc_difference(*pair)[1:]) for pair in draws])
    assert apart / 2 / 1.96 > 1.5 * reach
    first, second = draws[0]
    with pytest.raises(ValueError, match="as many as"):
        ood.auroc_difference(
            (first[0], first[1][1:]), (second[0], second[1][1:]), paired=True
        )


def test_an_auroc_of_paired_outliers_covers_and_is_narrower():
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(400):
        own = rng.normal(size=150)
        draws.append((own, own - 0.5 + 0.3 * rng.normal(size=150)))
    # P(a > b) of an example and another's outlier
    true = NormalDist().cdf(0.5 / np.sqrt(1 + 1 + 0.3**2))
    found = [ood.auroc(*draw, paired=True) for draw in draws]
    covered = np.mean([low <= true <= high for _, low, high in found])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 400)
    apart = [ood.auroc(*draw) for draw in draws]
    assert [f.value for f in found] == [f.value for f in apart]
    ratio = np.mean([np.ptp(f[1:]) for f in found]) / np.mean(
        [np.ptp(f[1:]) for f in apart]
    )
    assert ratio < 0.5
    # where a score hardly changes, no example is compared with its own outlier
    for count, moved in ((30, 0.02), (200, 0.02), (200, 0.05), (600, 0.01)):
        true = NormalDist().cdf(moved / np.sqrt(2 + moved**2))
        draws = []
        for _ in range(300):
            own = rng.normal(size=count)
            draws.append((own, own - moved + moved * rng.normal(size=count)))
        found = [ood.auroc(*draw, paired=True) for draw in draws]
        covered = np.mean([low <= true <= high for _, low, high in found])
        assert covered > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 300)
        # and where no order changes at all
        kept = [ood.auroc(own, own - 1e-9, paired=True) for own, _ in draws[:20]]
        assert all(low <= 0.5 <= value <= high for value, low, high in kept)
        assert {round(high - low, 9) for _, low, high in kept} == {
            round(max(1 - 0.05 ** (1 / (count // 2)), 0.5 / count), 9)
        }
    # what has nothing to do with the example has the interval of two sets
    own, other = rng.normal(size=(2, 20_000))
    pair, two = ood.auroc(own, other, paired=True), ood.auroc(own, other)
    assert pair == pytest.approx(two, abs=2e-4)


def test_the_bounds_of_paired_outliers_are_of_half_as_many():
    x = np.arange(10.0)
    found = ood.auroc(x + 20, x, paired=True)
    assert found == pytest.approx((1, 0.05 ** (1 / 5), 1))
    assert ood.auroc(x, x + 20, paired=True) == pytest.approx((0, 0, 1 - found.low))
    same = ood.auroc(0 * x, 0 * x, paired=True)
    reach = (1 - 0.05 ** (1 / 5)) / 2
    assert same == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    with pytest.raises(ValueError, match="10 examples and 9 outliers"):
        ood.auroc(x, x[1:], paired=True)
    with pytest.raises(ValueError, match="two or more; got 1 examples"):
        ood.auroc(x[:1], x[:1], paired=True)


def test_placements_of_pairs_leave_out_the_own_comparison():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, (2, 30)).astype(float)
    wins = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
    np.fill_diagonal(wins, 0)
    v, w = ood.placements(inside, outside, paired=True)
    np.testing.assert_allclose(v, wins.sum(1) / 29, atol=1e-12)
    np.testing.assert_allclose(w, wins.sum(0) / 29, atol=1e-12)


@pytest.mark.parametrize("cut", [(79, 60), (80, 59), (1, 60)])
def test_other_examples_are_refused(cut):
    first, second = draw(0, 0.0)
    second = second[0][: cut[0]], second[1][: cut[1]]
    with pytest.raises(ValueError, match="scores of the same"):
        ood.auroc_difference(first, second)
    with pytest.raises(ValueError, match="at least 2"):
        ood.auroc_difference(([1.0], [0.0]), ([1.0], [0.0]))
