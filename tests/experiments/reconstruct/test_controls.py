"""The controls are what they say: least squares on patches, and Gaussians."""

from math import comb

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments.reconstruct.controls import (
    REACH,
    LocalLinearGaussian,
    patches,
    volume_gaussian,
)
from experiments.reconstruct.measures import certificate, promised_share, psnr
from experiments.reconstruct.pairs import Pairs
from flowjax_ood.interface.errors import UserError
from flowjax_ood.models import WaveletFlow
from flowjax_ood.ood import Calibration

RNG = np.random.default_rng(0)
FLOW = WaveletFlow((4, 8, 2), views=2, levels=1)


def linear_pairs(count, deviation, seed):
    """Both planes are linear in the views beside a pixel, with Gaussian deviations."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(count, 4, 8, 2))
    right = np.pad(y[:, :, 1:, 0], ((0, 0), (0, 0), (0, 1)))
    x = np.stack([right - y[..., 1], 0.5 * y[..., 0] + right + 1], -1)
    x += deviation * rng.normal(size=x.shape)
    return Pairs(x.astype(np.float32), y.astype(np.float32))


def test_patches_hold_what_is_around_a_pixel():
    cond = RNG.normal(size=(2, 5, 7, 3))
    found = patches(cond)
    rows, columns = REACH
    assert found.shape == (2, 5, 7, (2 * rows + 1) * (2 * columns + 1) * 3 + 1)
    around = found[1, 2, 3, :-1].reshape(2 * rows + 1, 2 * columns + 1, 3)
    np.testing.assert_array_equal(around[rows, columns], cond[1, 2, 3])
    np.testing.assert_array_equal(around[0, columns + 2], cond[1, 1, 5])
    assert not around[:, 0].any()
    assert (found[..., -1] == 1).all()


def test_what_is_linear_is_found_with_its_density():
    """log N(d; m, s^2) of the details, whose deviation the Haar wavelet keeps."""
    deviation = 0.1
    control = LocalLinearGaussian.fit(FLOW, linear_pairs(300, deviation, 1))
    test = linear_pairs(50, deviation, 2)
    clean = linear_pairs(50, 0.0, 2)
    error = control.reconstruct(test.y) - clean.x
    assert np.sqrt(np.mean(error**2)) < 0.02
    details, _ = FLOW.decompose(jnp.asarray(test.x))
    mean, _ = FLOW.decompose(jnp.asarray(clean.x))
    # given the coarse volume nothing more is known: deviations of both are apart
    expected = stats.norm.logpdf(details, mean, deviation).sum((1, 2, 3))
    found = control.score(test)
    assert abs(np.mean(found - expected)) < 2
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_the_gaussian_of_volumes_is_that_of_its_covariance():
    """All components but one, the last variance kept: log N(x; mean, covariance)."""
    x = RNG.normal(size=(400, 1, 2, 3)) * [1, 2, 3]
    score = volume_gaussian(x)
    flat = x.reshape(400, 6)
    expected = stats.multivariate_normal(flat.mean(0), np.cov(flat.T)).logpdf(flat)
    np.testing.assert_allclose(score(x), expected, rtol=1e-6)


def test_a_certificate_of_known_scores():
    """N(0, 1) against N(-2, 1) has AUROC Phi(sqrt 2), and against N(2, 1) the rest."""
    rng = np.random.default_rng(3)
    normal = {"calibration": 0.0, "own": 0.0, "low": -2.0, "high": 2.0}
    scores = {n: rng.normal(m, 1, 3000) for n, m in normal.items()}
    found = certificate("score", scores, "own")
    area = stats.norm.cdf(np.sqrt(2))
    assert found["sets"]["low"]["auroc"][0] == pytest.approx(area, abs=0.02)
    assert found["sets"]["high"]["auroc"][0] == pytest.approx(1 - area, abs=0.02)
    for name in ("low", "high"):
        assert found["sets"][name]["auroc_two_sided"][0] > 0.8
    assert found["sets"]["high"]["found"] < 0.01
    assert found["sets"]["high"]["found_two_sided"] > 0.4
    for side, rate in found["false_alarms"].items():
        value, low, high = found["promised"][side]
        assert low < value < high
        assert rate == pytest.approx(0.05, abs=0.02)
    with pytest.raises(UserError, match=r"score scores pair 2 of 'own' as nan"):
        certificate("score", scores | {"own": np.array([0, 1, np.nan])}, "own")


@pytest.mark.parametrize(("side", "k"), [("low", 3), ("two", 2)])
def test_the_share_of_false_alarms_is_of_both_draws(side, k):
    """By counting: all orders of n calibration and m test scores are equally likely.

    j test scores beyond the k most unusual calibration scores have
    C(j + k - 1, j) C(m - j + n - k, m - j) / C(n + m, m) of them.
    """
    n, m = 60, 50
    ways = [comb(j + k - 1, j) * comb(m - j + n - k, m - j) for j in range(m + 1)]
    assert sum(ways) == comb(n + m, m)
    up_to = np.cumsum(ways) / sum(ways)
    ends = [np.searchsorted(up_to, q) / m for q in (0.025, 0.975)]
    calibration = Calibration.fit(RNG.normal(size=n), side=side)
    rate, *found = promised_share(calibration, m)
    assert rate == pytest.approx(k / (n + 1))
    assert found == ends
    # wider than where the rate itself may lie
    assert found[1] > calibration.false_alarms(0.05).high
    few = Calibration.fit(RNG.normal(size=5), side=side)
    assert promised_share(few, m) == [0, 0, 0]


def test_psnr_is_of_a_peak_of_one():
    x = np.zeros((2, 3, 3, 1))
    assert psnr(x + 0.1, x) == pytest.approx(20)
