"""Distances in principal components: closed forms of Gaussians, and invariances."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.ood.flows import subspaces
from tests.helpers.scored_flows import (
    gaussian_flow,
    identity_flow,
    images,
    normal_outputs,
    shaped_outputs,
    two_scales,
)

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def spread():
    """Correlated vectors `[400, 6]`, and others of another law."""
    mixing = RNG(0).normal(size=(6, 6)) * np.array([5, 3, 2, 1, 0.5, 0.2])
    return RNG(1).normal(size=(400, 6)) @ mixing.T + 4, RNG(2).normal(size=(30, 6)) * 9


def scored(score, train, x, network=None):
    given = ood.Given(train=normal_outputs(train))
    network = network or gaussian_flow(train.shape[1])
    return score.fit(network, given).score_outputs(normal_outputs(x))


def mahalanobis(train, x):
    away = x - train.mean(0)
    inverse = np.linalg.inv(np.cov(train, rowvar=False, bias=True))
    return np.einsum("ni,ij,nj->n", away, inverse, away)


def test_all_bands_together_are_the_mahalanobis_distance(spread):
    bands = ((0, 1), (1, 4), (4, 6))
    total = sum(scored(ood.SubspaceDistance(band=b), *spread) for b in bands)
    np.testing.assert_allclose(-total, mahalanobis(*spread), rtol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_a_band_and_the_residual_are_ppca(spread, rank):
    """The density of x under N(m, V (L - s) V' + s I), by its covariance."""
    train, x = spread
    variances, axes = np.linalg.eigh(np.cov(train, rowvar=False, bias=True))
    noise = variances[:-rank].mean()
    rest = np.where(np.arange(6) < 6 - rank, noise, variances)
    law = stats.multivariate_normal(train.mean(0), (axes * rest) @ axes.T)
    got = scored(ood.PPCA(rank), train, x)
    np.testing.assert_allclose(got, law.logpdf(x), rtol=1e-9)
    squares = scored(ood.SubspaceDistance(band=(0, rank)), train, x)
    squares += scored(ood.SubspaceResidual(rank=rank), train, x) / noise
    np.testing.assert_allclose(got - law.logpdf(train.mean(0)), squares / 2, rtol=1e-8)


def test_ppca_of_images_is_a_density_on_the_unit_cube():
    """Another number of levels, the same picture: the density stays."""
    x = images(150).astype(np.uint16)
    flow = identity_flow()
    wide = ood.ScoredFlow(flow.flow, {}, bins=1024)
    values = []
    for network, factor in ((flow, 1), (wide, 4)):
        outputs = replace(normal_outputs(x.astype(float)), events=factor * x)
        fitted = ood.PPCA(8).fit(network, ood.Given(train=outputs))
        values.append(fitted.score_outputs(outputs))
    np.testing.assert_allclose(*values, rtol=1e-9)


def test_rotations_of_latents_change_nothing(spread):
    train, x = spread
    turn = np.linalg.qr(RNG(3).normal(size=(6, 6)))[0]
    for score in (ood.SubspaceDistance(band=(1, 4)), ood.SubspaceResidual(rank=2)):
        np.testing.assert_allclose(
            scored(score, train @ turn + 1, x @ turn + 1),
            scored(score, train, x),
            rtol=1e-8,
        )


def test_the_residual_is_zero_in_the_span():
    axes = RNG(4).normal(size=(2, 7))
    train = RNG(5).normal(size=(100, 2)) @ axes + 1e-3 * RNG(6).normal(size=(100, 7))
    found = subspaces.Components.of(train, "Q")
    inside = found.mean + RNG(7).normal(size=(20, 2)) @ found.directions[:, :2].T
    np.testing.assert_allclose(
        scored(ood.SubspaceResidual(rank=2), train, inside), 0, atol=1e-25
    )
    off = inside + 3 * found.directions[:, 4]
    np.testing.assert_allclose(scored(ood.SubspaceResidual(rank=2), train, off), -9)


def test_more_numbers_than_images_have_the_same_components():
    x = RNG(8).normal(size=(9, 40))
    found = subspaces.Components.of(x, "T2")
    variances = np.linalg.eigvalsh(np.cov(x, rowvar=False, bias=True))[::-1]
    assert len(found) == 8
    np.testing.assert_allclose(found.variances, variances[:8])
    gram = found.directions.T @ found.directions
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(found.squared(x, 0, 8).mean(), 8)


def test_components_are_shared_and_drawn_by_the_seed(spread, monkeypatch):
    calls = []
    of = subspaces.Components.of.__func__
    counted = classmethod(lambda cls, x, name: calls.append(len(x)) or of(cls, x, name))
    monkeypatch.setattr(subspaces.Components, "of", counted)
    monkeypatch.setattr(subspaces, "ROWS", 100)
    train, x = normal_outputs(spread[0]), normal_outputs(spread[1])
    flow, values = gaussian_flow(6), []
    for seed in (0, 0, 1):
        given = ood.Given(train=train, seed=seed)
        for score in (ood.SubspaceDistance(), ood.SubspaceResidual(rank=2)):
            values.append(score.fit(flow, given).score_outputs(x))
    assert calls == [100, 100, 100]
    np.testing.assert_array_equal(values[0], values[2])
    assert np.abs(values[0] - values[4]).max() > 1e-3


def test_scores_of_pixels_and_of_scales_look_at_those():
    flow = two_scales()
    known = shaped_outputs(flow, images(90))
    x = shaped_outputs(flow, images(5, seed=1), seed=1)
    given = ood.Given(train=known)
    for scale in (0, 1):
        got = ood.SubspaceDistance(scale=scale, band=(0, 32)).fit(flow, given)
        flat = [o.latents[scale].reshape(len(o), -1).astype(float) for o in (known, x)]
        np.testing.assert_allclose(-got.score_outputs(x), mahalanobis(*flat), rtol=1e-6)
    pixels = ood.SubspaceDistance("pixels", band=(0, 64))
    flat = [o.events.reshape(len(o), -1).astype(float) for o in (known, x)]
    np.testing.assert_allclose(
        -pixels.fit(flow, given).score_outputs(x), mahalanobis(*flat), rtol=1e-6
    )
    assert (pixels.passes, ood.SubspaceDistance().passes) == (0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ood.SubspaceDistance(band=(4, 4)), r"band .* got \(4, 4\)"),
        (lambda: ood.SubspaceDistance(band=4), "band"),
        (lambda: ood.SubspaceResidual(rank=0), "rank"),
        (lambda: ood.SubspaceDistance("x"), "latents, pixels"),
        (lambda: ood.SubspaceResidual("pixels", 1), "pixels have no scales"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_too_few_and_constant_reference_images_are_refused(spread):
    train, x = spread
    with pytest.raises(ValueError, match=r"T2 0-4 .* 5 numbers|needs 4 components; 3"):
        scored(ood.SubspaceDistance(), train[:3], x)
    with pytest.raises(ValueError, match=r"needs 7 components.* vary in 6"):
        scored(ood.SubspaceResidual(rank=6), train, x)
    with pytest.raises(ValueError, match=r"20 reference images do not vary"):
        scored(ood.PPCA(2), np.full((20, 6), 0.1), x)
    with pytest.raises(ValueError, match="2 reference images"):
        scored(ood.PPCA(2), train[:1], x)
    with pytest.raises(ValueError, match="scale 1 of a flow of 1"):
        scored(ood.SubspaceDistance(scale=1), train, x)
