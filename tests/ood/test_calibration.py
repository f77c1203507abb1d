"""Calibration: p-values by ranks, their laws over calibration sets, and decisions."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.ood.calibration import simes
from tests.helpers import blobs
from tests.helpers.scored_flows import gaussian_flow, normal_outputs

RNG = np.random.default_rng
SIDES = ("low", "high", "two")
OPTIONS = ({}, {"conditional": "simes"}, {"conditional": "dkw"}, {"key": 3})
fit = ood.Calibration.fit


# --- p-values ----------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [1, 7, 19, 20, 59])
def test_exchangeable_scores_have_p_values_of_the_exact_law(side, n):
    """Each of n + 1 scores is the new one with the same probability."""
    scores = RNG(n).normal(size=n + 1)
    p = np.array(
        [fit(np.delete(scores, i), side).p_values(scores[[i]])[0] for i in range(n + 1)]
    )
    for k in range(1, 2 * (n + 1) + 1):
        t = k / (2 * (n + 1))
        found = int((p <= t).sum())
        if side == "two":
            assert found == (n + 1 if k == 2 * (n + 1) else 2 * (k // 4)), k
        else:
            assert found == k // 2, k
    assert p.min() == fit(scores[1:], side).least_p


@pytest.mark.parametrize("side", SIDES)
def test_one_sided_p_values_are_those_of_ranks(side):
    calibration, scores = RNG(0).integers(0, 30, 90), np.arange(-2, 33)
    known = {"low": ood.low_p, "high": ood.high_p, "two": ood.two_sided_p}[side]
    p = fit(calibration, side).p_values(scores)
    np.testing.assert_allclose(p, known(scores, calibration), rtol=1e-15)


@pytest.mark.parametrize("side", SIDES)
def test_ties_only_raise_p_values(side):
    calibration, x = RNG(1).normal(size=200), RNG(2).normal(size=300)
    rounded, coarse = np.round(calibration, 1), np.round(x, 1)
    p = fit(rounded, side).p_values(coarse)
    # break the ties by what was rounded away
    order = np.argsort(np.concatenate([calibration, x]), kind="stable")
    ranks = np.empty(500)
    ranks[order] = np.arange(500)
    broken = fit(ranks[:200], side).p_values(ranks[200:])
    assert (p >= broken).all()
    assert (p > broken).any()


@pytest.mark.parametrize("side", SIDES)
def test_a_key_makes_p_values_uniform_whatever_the_ties(side):
    rng = RNG(3)
    drawn = rng.poisson(1.5, (3000, 20))
    p = [fit(row[1:], side).p_values(row[:1], key=i)[0] for i, row in enumerate(drawn)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    plain = [fit(row[1:], side).p_values(row[:1])[0] for row in drawn]
    assert stats.kstest(plain, "uniform").pvalue < 1e-6, "there are ties"
    calibration = fit(drawn[0], side)
    same, other = (calibration.p_values(drawn[1], key=k) for k in (5, 6))
    np.testing.assert_array_equal(calibration.p_values(drawn[1], key=5), same)
    assert not np.array_equal(same, other)
    assert same.min() > 0
    assert same.max() <= 1


def test_a_key_breaks_ties_between_the_ranks_there_are():
    """`(#{<} + u (#{=} + 1)) / (n + 1)`, u in (0, 1): between two shares."""
    calibration = fit([1, 2, 2, 2, 3, 4, 5, 6, 7])
    p = calibration.p_values(np.full(4000, 2.0), key=0)
    assert 0.1 < p.min() < 0.101
    assert 0.499 < p.max() < 0.5
    high = replace(calibration, side="high").p_values(np.full(4000, 2.0), key=0)
    np.testing.assert_allclose(high, 1 - p, rtol=1e-12)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("options", OPTIONS)
def test_p_values_are_of_ranks_alone(side, options):
    calibration, x = RNG(4).normal(size=60), RNG(5).normal(size=40)
    p = fit(calibration, side).p_values(x, **options)
    mapped = fit(np.arctan(calibration), side).p_values(np.arctan(x), **options)
    np.testing.assert_array_equal(mapped, p)
    shuffled = fit(RNG(6).permutation(calibration), side)
    np.testing.assert_array_equal(shuffled.p_values(x, **options), p)
    assert p.dtype == np.float64
    swapped = {"low": "high", "high": "low", "two": "two"}[side]
    turned = fit(-calibration, swapped)
    if "key" not in options:  # draws are by place, not mirrored
        np.testing.assert_array_equal(turned.p_values(-x, **options), p)
        order = RNG(7).permutation(40)
        again = fit(calibration, side).p_values(x[order], **options)
        np.testing.assert_array_equal(again, p[order])


def test_infinite_scores_rank():
    calibration = fit([-np.inf, *range(8), np.inf])
    p = calibration.p_values([-np.inf, 3.5, np.inf])
    np.testing.assert_allclose(p, np.array([2, 6, 11]) / 11)


# --- over calibration sets ---------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("n", "alpha"), [(99, 0.05), (59, 0.1), (250, 0.3)])
def test_the_rate_of_false_alarms_is_of_a_beta_law(side, n, alpha):
    rates = []
    for drawn in RNG(n).normal(size=(2000, n)):
        calibration = fit(drawn, side)
        low, high = calibration.thresholds(alpha)
        rates.append(stats.norm.cdf(low) + stats.norm.sf(high))
    rates = np.array(rates)
    estimate = fit(drawn, side).false_alarms(alpha)
    covered = np.mean((estimate.low <= rates) & (rates <= estimate.high))
    k = 2 * math.floor(round(alpha * (n + 1) / 2, 9))
    k = k if side == "two" else math.floor(round(alpha * (n + 1), 9))
    assert stats.kstest(rates, stats.beta(k, n + 1 - k).cdf).pvalue > 1e-3
    assert estimate.value == k / (n + 1)
    assert abs(np.mean(rates) - k / (n + 1)) < 4 * np.std(rates) / math.sqrt(2000)
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize("n", [20, 21, 57, 1000])
def test_simes_is_the_published_formula(n):
    """By ranks, in exact fractions: `a_j^k = delta C(j, k) / C(n, k)`."""
    delta, k = 0.1, n // 2
    places = range(1, n + 2) if n < 100 else (1, 2, 17, 501, 502, 1001)
    p = fit(np.arange(n)).p_values(np.arange(n + 1) - 0.5, "simes", delta)
    for rank in places:
        j = max(1, n + 1 - rank)
        ratio = float(Fraction(math.comb(j, k), math.comb(n, k)))
        assert p[rank - 1] == pytest.approx(1 - (delta * ratio) ** (1 / k), rel=1e-9)
    assert (np.diff(p) >= 0).all()


def test_dkw_is_the_published_formula():
    calibration, x = fit(RNG(0).normal(size=50), "high"), RNG(1).normal(size=30)
    expected = np.minimum(1, calibration.p_values(x) + math.sqrt(math.log(20) / 100))
    np.testing.assert_allclose(calibration.p_values(x, "dkw"), expected, rtol=1e-12)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("conditional", ["simes", "dkw"])
def test_conditional_p_values_hold_for_all_thresholds_at_once(side, conditional):
    """The share of calibration sets with any p-value too small is at most delta.

    Of ordered uniform scores U: P(p <= p of rank r on a side) is the r-th from there.
    """
    n, delta, sets = 200, 0.1, 4000
    uniform = np.sort(RNG(8).uniform(size=(sets, n)), 1)
    # scores of the ranks 1 ... n, on two sides of both at once
    x = n - 0.5 - np.arange(n) if side == "high" else np.arange(n) - 0.5
    p = fit(np.arange(n), side).p_values(x, conditional, delta)
    up, down = uniform, 1 - uniform[:, ::-1]
    if side == "two":
        half = n // 2
        wrong = up[:, :half] + down[:, :half] > p[:half]
    else:
        wrong = (up if side == "low" else down) > p
    share = wrong.any(1).mean()
    error = 4 * math.sqrt(delta * (1 - delta) / sets)
    assert share <= delta + error
    if conditional == "simes" and side != "two":
        assert share >= delta - error, "there is no slack"
    marginal = np.arange(1, n + 1) / (n + 1)
    assert (uniform > marginal).any(1).mean() > 0.5, "marginal ones do not hold so"


def test_two_sides_share_delta_of_simes():
    one, two = simes(100, 0.05), simes(100, 0.1, sides=2)
    np.testing.assert_array_equal(one, two)
    calibration, x = RNG(9).normal(size=100), RNG(10).normal(size=50)
    p = fit(calibration, "two").p_values(x, "simes", 0.1)
    sides = [fit(calibration, s).p_values(x, "simes", 0.05) for s in ("low", "high")]
    np.testing.assert_allclose(p, np.minimum(1, 2 * np.min(sides, 0)), rtol=1e-12)


# --- thresholds --------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 19, 20, 59, 139])
def test_thresholds_reject_where_p_values_are_small(n):
    calibration = RNG(n).integers(0, 3 * n, n).astype(float)
    x = np.concatenate([np.arange(-1, 3 * n + 1), [-np.inf, np.inf]])
    low, high, two = (fit(calibration, side) for side in SIDES)
    for k in range(2, n):
        for alpha in {k / (n + 1), k * (1 / (n + 1)), (k + 0.5) / (n + 1)}:
            # as exact as alpha is
            p = {c.side: c.p_values(x) <= alpha * (1 + 1e-12) for c in (low, high, two)}
            np.testing.assert_array_equal(x < low.threshold(alpha), p["low"])
            np.testing.assert_array_equal(x > high.threshold(alpha), p["high"])
            first, last = two.thresholds(alpha)
            np.testing.assert_array_equal((x < first) | (x > last), p["two"])
            assert low.thresholds(alpha) == (low.threshold(alpha), np.inf)
            assert high.thresholds(alpha) == (-np.inf, high.threshold(alpha))


def test_rounding_of_alpha_does_not_matter():
    for n in range(19, 2000, 20):
        calibration = fit(np.arange(n))
        assert calibration.threshold(0.05) == (n + 1) // 20 - 1
        assert calibration.false_alarms(0.05).value == (n + 1) // 20 / (n + 1)
    assert fit(np.arange(9)).threshold(0.1 + 0.2) == 2
    assert fit(np.arange(9)).threshold(1 - 0.7) == 2


def test_too_few_scores_reject_nothing_and_say_how_many_it_takes():
    low, high, two = (fit(np.arange(18), side) for side in SIDES)
    with pytest.warns(UserWarning, match=r"18 scores .* takes at least 19$"):
        assert low.threshold(0.05) == -np.inf
    with pytest.warns(UserWarning, match="takes at least 19$"):
        assert high.threshold(0.05) == np.inf
    with pytest.warns(UserWarning, match="as small as 0.1: .* takes at least 19$"):
        assert two.thresholds(0.1) == (-np.inf, np.inf)
    assert low.false_alarms(0.05) == (0, 0, 0)
    # what it says suffices
    assert fit(np.arange(19)).threshold(0.05) == 0
    assert fit(np.arange(19), "two").thresholds(0.1) == (0, 18)


def test_intervals_hold_the_value():
    for alpha in (0.01, 0.02, 0.5, 0.99):
        for level in (0.01, 0.5, 0.95):
            found = fit(np.arange(99)).false_alarms(alpha, level)
            assert found.low <= found.value <= found.high


# --- detectors ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def msp():
    return ood.MSP().fit(blobs.NETWORK)


def test_a_calibrated_detector_decides(msp):
    held_out, x = blobs.TEST[:60], blobs.TEST[60:]
    calibrated = msp.calibrated(held_out)
    scores = msp.score(x)
    np.testing.assert_array_equal(calibrated.score(x), scores)
    p = ood.low_p(scores, msp.score(held_out))
    np.testing.assert_array_equal(calibrated.p_values(x), p)
    for control in ("each", "fdr"):
        found, expected = (
            calibrated.reject(x, 0.2, control),
            ood.reject(p, 0.2, control),
        )
        np.testing.assert_array_equal(found.reject, expected.reject)
    p = calibrated.calibration.p_values(scores, "dkw", 0.2)
    found = calibrated.reject(x, 0.5, conditional="dkw", delta=0.2)
    np.testing.assert_array_equal(found.adjusted, p)
    assert msp.calibrated(held_out, side="two").calibration.side == "two"
    with pytest.warns(UserWarning, match="takes at least 99$"):
        assert not calibrated.reject(x, 0.01).reject.any()


def test_calibration_by_what_was_fitted_is_refused(msp):
    images = blobs.TEST[:30]
    train = np.concatenate([blobs.TEST[60:], blobs.TEST[[7, 7, 3]]])
    given = ood.Given(train_inputs=train)
    with pytest.raises(
        ValueError,
        match=r"2 of 30 .* training images .*train_inputs.* the first is number 3:",
    ):
        msp.calibrated(images, given=given)
    clean = msp.calibrated(images, given=ood.Given(train_inputs=train[:30]))
    assert len(clean.calibration) == 30
    # nobody knows without
    assert len(msp.calibrated(images).calibration) == 30


def test_flows_are_calibrated_by_other_images_than_references():
    flow = gaussian_flow(6)
    train, held_out = (normal_outputs(RNG(s).normal(size=(50, 6))) for s in (0, 1))
    given = ood.Given(train=train)
    fitted = ood.LogLikelihood().fit(flow, given)
    mixed = np.concatenate([held_out.events, train.events[:2]])
    with pytest.raises(ValueError, match=r"2 of 52 .*Given.train\).* number 50:"):
        fitted.calibrated(mixed, given=given)
    calibrated = fitted.calibrated(held_out.events, side="two", given=given)
    p = ood.two_sided_p(fitted.score(train.events), fitted.score_outputs(held_out))
    np.testing.assert_allclose(calibrated.p_values(train.events), p)
    # images that a score was fitted to
    given = ood.Given(train=train, id_validation=held_out)
    fitted = ood.TwoSided(ood.LogLikelihood()).fit(flow, given)
    assert fitted.requires.id_validation
    with pytest.raises(ValueError, match=r"50 of 50 .*validation images"):
        fitted.calibrated(held_out.events, given=given)


# --- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "error", "match"),
    [
        ([1.0, np.nan], ValueError, r"scores\[1\] is NaN"),
        ([], ValueError, "is empty"),
        ([[1.0], [1.0, 2.0]], ValueError, "ragged"),
        ([[1.0]], ValueError, "1-d array"),
        ([1j], TypeError, "not a real number"),
    ],
)
def test_bad_scores(scores, error, match):
    with pytest.raises(error, match=match):
        fit(scores)
    with pytest.raises(error, match=match):
        fit([1.0, 2.0]).p_values(scores)


def test_bad_options():
    calibration = fit(np.arange(20))
    with pytest.raises(ValueError, match="side must be"):
        fit([1.0], "both")
    for alpha in (0, 1, -0.1, np.nan):
        for method in ("threshold", "thresholds", "false_alarms"):
            with pytest.raises(ValueError, match="alpha must lie"):
                getattr(calibration, method)(alpha)
    with pytest.raises(ValueError, match="level must lie"):
        calibration.false_alarms(0.1, level=1)
    with pytest.raises(ValueError, match="has two thresholds"):
        fit(np.arange(20), "two").threshold(0.1)
    with pytest.raises(ValueError, match="give one of the two"):
        calibration.p_values([1.0], "simes", key=1)
    with pytest.raises(ValueError, match="conditional must be"):
        calibration.p_values([1.0], "bonferroni")
    for conditional in ("simes", "dkw"):
        for delta in (0, 1):
            with pytest.raises(ValueError, match="delta must lie"):
                calibration.p_values([1.0], conditional, delta)
        with pytest.raises(ValueError, match="need 20 calibration scores, got 19"):
            fit(np.arange(19)).p_values([1.0], conditional)
