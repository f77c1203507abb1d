"""DoSE: densities against SciPy's and closed forms, and what it refuses."""

import sys

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.ood.flows.densities import fit_kde, standardised
from flowjax_ood.ood.flows.score import drawn
from tests.helpers.scored_flows import gaussian_flow, image_flow, images

ONE = (ood.LogLikelihood(),)


@pytest.fixture(scope="module")
def flow():
    return image_flow()


@pytest.fixture(scope="module")
def train(flow):
    return flow.collect(images(60))


def vectors(count, seed, scale=1.0, dims=5):
    x = scale * np.random.default_rng(seed).normal(size=(count, dims))
    return gaussian_flow(dims).collect(x.astype(np.float32))


@pytest.mark.thorough
def test_kernels_are_scipys_of_each_statistic(flow, train):
    fitted = ood.DoSE().fit(flow, ood.Given(train=train))
    others = flow.collect(images(9, seed=1))
    law = np.zeros(9)
    for name in ("log_prob", "latent_log_prob", "log_determinant"):
        t = getattr(train, name)
        kde = stats.gaussian_kde(t, "scott")
        # the density is that of the standardised statistic
        law += kde.logpdf(getattr(others, name)) + np.log(t.std(ddof=1))
    np.testing.assert_allclose(fitted.score_outputs(others), law, rtol=1e-8)


def test_of_a_normal_statistic_it_is_the_log_density():
    t = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    x = np.linspace(-1.5, 1.5, 7)
    density = fit_kde(t[:, None])(x[:, None])
    np.testing.assert_allclose(density, stats.norm.logpdf(x), atol=0.02)


def test_far_away_it_still_falls():
    density = fit_kde(np.random.default_rng(0).normal(size=(50, 1)))
    scores = density(np.array([[3.0], [30], [300], [3e50]]))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < 0).all()


def test_a_copy_of_a_statistic_counts_twice():
    train, others = vectors(80, 0), vectors(9, 1)
    once, twice = (
        ood.DoSE(ONE * k).fit(gaussian_flow(), ood.Given(train=train)) for k in (1, 2)
    )
    two = twice.score_outputs(others)
    np.testing.assert_allclose(two, 2 * once.score_outputs(others), rtol=1e-12)


def test_p_values_are_uniform_in_distribution_and_small_outside():
    train = ood.Given(train=vectors(500, 0, dims=30))
    fitted = ood.DoSE(ONE).fit(gaussian_flow(30), train)

    def scores(count, seed, scale=1.0):
        return fitted.score_outputs(vectors(count, seed, scale, dims=30))

    calibration = scores(1000, 1)
    null = ood.low_p(scores(1000, 2), calibration)
    assert stats.kstest(null, "uniform").pvalue > 1e-3
    for scale in (0.05, 3):  # log p(x) is too high, and too low
        assert ood.low_p(scores(50, 3, scale), calibration).max() < 0.02


@pytest.mark.parametrize("nu", [0.1, 0.4])
def test_nu_bounds_the_share_outside(nu):
    train = vectors(300, 0)
    score = ood.DoSE((ood.LogLikelihood(), ood.LatentLikelihood()), "svm", nu)
    fitted = score.fit(gaussian_flow(), ood.Given(train=train))
    outside = (fitted.score_outputs(train) < 0).mean()
    assert nu - 0.05 <= outside <= nu + 0.01
    assert fitted.score_outputs(vectors(20, 1, 5)).max() < 0


def test_a_mixture_of_one_is_a_gaussian(flow, train):
    statistics = (ood.LatentLikelihood(), ood.LogDeterminant())
    score = ood.DoSE(statistics, "mixture", components=1)
    assert score.name == "DoSE (mixture)"
    fitted = score.fit(flow, ood.Given(train=train))
    t = np.stack([train.latent_log_prob, train.log_determinant], 1)
    unit = (t - t.mean(0)) / t.std(0, ddof=1)
    covariance = unit.T @ unit / len(t) + 1e-3 * np.eye(2)
    law = stats.multivariate_normal(np.zeros(2), covariance).logpdf(unit)
    np.testing.assert_allclose(fitted.score_outputs(train), law, rtol=1e-8)


@pytest.mark.parametrize("density", ["kde", "svm", "mixture"])
def test_infinite_statistics_have_the_lowest_score(density):
    score = ood.DoSE(ONE, density)
    fitted = score.fit(gaussian_flow(), ood.Given(train=vectors(60, 0)))
    others = vectors(9, 1)
    others.log_pz[4] = -np.inf
    scores = fitted.score_outputs(others)
    assert np.isfinite(scores).all()
    assert scores.argmin() == 4
    others.log_pz[4] = np.nan
    with pytest.raises(ValueError, match="number 4"):
        fitted.score_outputs(others)


def test_it_needs_what_its_statistics_need(flow, train):
    assert ood.DoSE().requires == ood.Requires(train_data=True)
    assert not ood.DoSE().of_images
    score = ood.DoSE((ood.Typicality(), ood.InputComplexity("zlib")), "svm")
    wanted = ood.Requires(train_data=True, id_validation=True, sklearn=True)
    assert score.requires == wanted
    assert score.of_images
    # the background is a second pass
    assert ood.DoSE((ood.BackgroundRatio(flow), *ONE)).passes == 2
    with pytest.raises(ValueError, match="calibration images"):
        score.fit(flow, ood.Given(train=train))


def test_few_reference_images_are_drawn_by_the_seed_and_passes_are_shared():
    outputs = vectors(50, 0)
    assert drawn(outputs, 50, 0) is outputs
    first, again, other = (drawn(outputs, 40, seed).log_prob for seed in (0, 0, 1))
    assert len(np.unique(first)) == 40
    assert set(first) < set(outputs.log_prob)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    pixels = ood.DoSE((ood.CodeLength(), ood.MeanIntensity()))
    assert pixels.passes == 0
    assert ood.DoSE((ood.LogLikelihood(), ood.CodeLength())).passes == 1


def test_what_cannot_be_fitted_is_refused(monkeypatch):
    flow, train = gaussian_flow(), vectors(30, 0)
    given = ood.Given(train=train)
    with pytest.raises(ValueError, match=r"log-determinant of all 30 .* is 0;"):
        ood.DoSE().fit(flow, given)
    with pytest.raises(ValueError, match=r"needs 20 reference images.*got 19"):
        ood.DoSE(ONE).fit(flow, ood.Given(train=train.rows(slice(19))))
    with pytest.raises(ValueError, match=r"needs 32 reference images.*got 30"):
        ood.DoSE(ONE, "mixture", components=8).fit(flow, given)
    with pytest.raises(ValueError, match="not finite at number 2"):
        standardised(np.array([[1.0], [2], [np.inf]]), ("it",), "DoSE")
    for statistics in ((), ood.LogLikelihood(), ("log p(x)",), (ood.MSP(),)):
        with pytest.raises(ValueError, match="must be a tuple of one or more scores"):
            ood.DoSE(statistics)
    for setting in ({"density": "gmm"}, {"nu": 0}, {"components": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
            ood.DoSE(**setting)
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ImportError, match=r'pip install "flowjax_ood\[detect\]"'):
        ood.DoSE(ONE, "svm").fit(flow, given)
