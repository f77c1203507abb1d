"""Scores of features that are given as a function."""

import numpy as np
import pytest

from flowjax_ood import ood
from tests.helpers import scored_flows


def features(images):
    return images.reshape(len(images), -1).astype(np.float64) / 255


def to_mean(x, seed):
    return lambda new: -np.linalg.norm(new - x.mean(0), axis=1)


@pytest.fixture(scope="module")
def flow():
    return scored_flows.image_flow()


@pytest.fixture(scope="module")
def images(flow):
    rng = np.random.default_rng(0)
    return rng.integers(100, 140, size=(60, *flow.shape)).astype(np.uint8)


@pytest.mark.thorough
def test_it_is_the_score_of_the_features(flow, images):
    given = ood.Given(train=flow.collect(images[:50]))
    score = ood.FeatureScore(features, to_mean, label="to the mean")
    fitted = score.fit(flow, given)
    expected = to_mean(features(images[:50]), 0)(features(images))
    np.testing.assert_allclose(fitted.score(images), expected)
    bright = np.full((1, *flow.shape), 255, np.uint8)
    assert fitted.score(bright)[0] < expected.min()
    assert (score.name, score.passes) == ("to the mean", 0)


def test_too_few_and_not_finite_are_refused(flow, images):
    score = ood.FeatureScore(features, to_mean, label="to the mean")
    with pytest.raises(ValueError, match="to the mean needs 50 reference images"):
        score.fit(flow, ood.Given(train=flow.collect(images[:49])))
    bad = ood.FeatureScore(lambda x: features(x) * np.nan, to_mean, label="bad")
    with pytest.raises(ValueError, match="NaN or infinity"):
        bad.fit(flow, ood.Given(train=flow.collect(images)))
