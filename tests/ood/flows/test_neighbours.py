"""Nearest reference images and clusters: restated distances, what they refuse."""

import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood.flows.neighbours import k_means
from tests.helpers.scored_flows import (
    gaussian_flow,
    normal_outputs,
)

RNG = np.random.default_rng


def scored(score, train, x, seed=0):
    given = ood.Given(train=normal_outputs(train), seed=seed)
    fitted = score.fit(gaussian_flow(train.shape[1]), given)
    return fitted.score_outputs(normal_outputs(x))


@pytest.fixture(scope="module")
def spread():
    return RNG(0).normal(size=(200, 6)) * np.arange(1, 7), RNG(1).normal(
        size=(9, 6)
    ) * 5


@pytest.mark.parametrize("count", [None, 3, 64])
def test_the_distance_is_to_the_kth_neighbour(spread, count):
    """Without components, and in more than there are, they are those of all numbers."""
    train, x = spread
    axes = np.eye(6)
    if count == 3:
        axes = np.linalg.svd(train - train.mean(0))[2][:3].T
    apart = np.linalg.norm((x @ axes)[:, None] - (train @ axes)[None], axis=2)
    got = scored(ood.NeighbourDistance(k=4, components=count), train, x)
    np.testing.assert_allclose(-got, np.sort(apart, 1)[:, 3], rtol=1e-5)


def test_the_distance_to_clusters_is_the_least(spread):
    """Three clusters far apart: of the covariance about their means."""
    centers = np.array([[40.0, 0, 0], [0, 40, 0], [0, 0, 40]])
    away = RNG(2).normal(size=(150, 3)) * (1, 2, 3)
    train = np.repeat(centers, 50, 0) + away
    means = train.reshape(3, 50, 3).mean(1)
    inside = train - np.repeat(means, 50, 0)
    inverse = np.linalg.inv(inside.T @ inside / 150)
    x = RNG(3).normal(size=(20, 3)) * 20
    to = x[:, None] - means
    expected = np.einsum("nki,ij,nkj->nk", to, inverse, to).min(1)
    got = scored(ood.ClusteredGaussians("latents", clusters=3), train, x)
    np.testing.assert_allclose(-got, expected, rtol=1e-4)


def test_clusters_of_a_seed_are_the_same(spread):
    train, _ = spread
    labels = k_means(train, 12, seed=1)
    np.testing.assert_array_equal(labels, k_means(train, 12, seed=1))
    assert (labels != k_means(train, 12, seed=2)).any()
    sizes = np.bincount(labels, minlength=12)
    assert (sizes > 0).sum() >= 11


def test_one_cluster_is_mahalanobis(spread):
    train, x = spread
    one = scored(ood.ClusteredGaussians("latents", clusters=1), train, x)
    bands = scored(ood.SubspaceDistance(band=(0, 6)), train, x)
    np.testing.assert_allclose(one, bands, rtol=1e-4)


def test_far_latents_are_scored_and_nan_are_not(spread):
    train, x = spread
    far = scored(ood.NeighbourDistance(), train, 1e6 * x)
    np.testing.assert_allclose(-far / np.linalg.norm(1e6 * x, axis=1), 1, rtol=1e-4)
    x = x.copy()
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3"):
        scored(ood.NeighbourDistance(), train, x)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (ood.NeighbourDistance(), "needs 6 reference images"),
        (ood.ClusteredGaussians(), "needs 60 reference images"),
    ],
)
def test_few_reference_images_are_refused(spread, score, message):
    with pytest.raises(ValueError, match=message):
        scored(score, spread[0][:5], spread[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ood.NeighbourDistance(k=0), "k must be"),
        (lambda: ood.NeighbourDistance(components=0), "or None; got 0"),
        (lambda: ood.ClusteredGaussians(clusters=0), "clusters must be"),
        (lambda: ood.NeighbourDistance("pixels", scale=0), "pixels have no scales"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
