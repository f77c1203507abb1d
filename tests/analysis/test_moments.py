"""Moments of pairs: against plain formulas, and the same however they are batched."""

import numpy as np
import pytest

from flowjax_ood.analysis.moments import PairMoments


def moments(prediction, target, cuts=()):
    m = PairMoments()
    for p, t in zip(np.split(prediction, cuts), np.split(target, cuts)):
        m.add(p, t)
    return m


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    # positions of very different means: most of the pooled variance
    target = 5 * rng.standard_normal(7) + rng.standard_normal((60, 7))
    prediction = 0.7 * target + 0.4 * rng.standard_normal((60, 7)) + 0.2
    return prediction, target


def test_measures_are_their_formulas(pairs):
    p, t = pairs
    m = moments(p, t)
    assert m.correlation == pytest.approx(np.corrcoef(p.ravel(), t.ravel())[0, 1])
    error = ((t - p) ** 2).sum()
    assert m.r2 == pytest.approx(1 - error / ((t - t.mean()) ** 2).sum())
    assert m.r2_within == pytest.approx(1 - error / ((t - t.mean(0)) ** 2).sum())
    dp, dt = p - p.mean(0), t - t.mean(0)
    within = (dp * dt).sum() / np.sqrt((dp**2).sum() * (dt**2).sum())
    assert m.correlation_within == pytest.approx(within)
    # after the best linear fit
    slope, offset = np.polyfit(p.ravel(), t.ravel(), 1)
    fitted = moments(slope * p + offset, t)
    assert m.r2_linear == pytest.approx(fitted.r2)
    assert m.r2 < m.r2_linear


@pytest.mark.parametrize("cuts", [(1, 2, 3), (59,), (0, 30), range(60)])
def test_batches_do_not_matter(pairs, cuts):
    whole, parts = moments(*pairs), moments(*pairs, cuts)
    assert parts.count == 60
    assert parts.measures() == pytest.approx(whole.measures(), rel=1e-12)


def test_a_large_offset_costs_no_digits(pairs):
    p, t = pairs
    far = moments(p + 1e6, t + 1e6, range(5, 60, 5))
    assert far.measures() == pytest.approx(moments(p, t).measures(), rel=1e-8)


def test_the_mean_image_predicts_nothing_within(pairs):
    _, t = pairs
    m = moments(np.broadcast_to(t.mean(0), t.shape), t, (20,))
    assert m.correlation > 0.9
    assert np.isnan(m.correlation_within)
    assert m.r2_within == pytest.approx(0, abs=1e-12)


def test_undefined_is_nan_and_worse_than_the_mean_is_negative(pairs):
    p, t = pairs
    assert moments(-t, t).r2 < -1
    assert moments(-t, t).correlation == pytest.approx(-1)
    flat = moments(np.full_like(t, np.float32(0.1)), t, (7, 13))
    assert np.isnan(flat.correlation)
    assert np.isnan(moments(p, np.zeros_like(t)).r2)
    assert np.isnan(list(PairMoments().measures().values())).all()
    broken = moments(np.where(p > 0, np.inf, p), t)
    assert np.isnan(list(broken.measures().values())).all()


def test_shapes_are_checked(pairs):
    p, t = pairs
    m = moments(p, t)
    with pytest.raises(ValueError, match=r"both be \[N, K\]"):
        m.add(p[0], t[0])
    with pytest.raises(ValueError, match=r"3 positions, but 7"):
        m.add(p[:, :3], t[:, :3])


def test_a_target_that_is_constant_up_to_rounding_has_no_r2():
    rng = np.random.default_rng(0)
    target = 3 + 1e-9 * rng.standard_normal((60, 7))
    m = moments(rng.standard_normal((60, 7)), target)
    assert np.isnan([m.r2, m.r2_within, m.correlation]).all()
