"""Stability: restated changes, the same noise for both, 0 where nothing changes."""

import numpy as np
import pytest
from scipy import ndimage

from flowjax_ood import ood
from tests.helpers.scored_flows import gaussian_flow, identity_flow, images

FLOW = identity_flow(2)
X = images(40, channels=2)


def restated(change):
    """T by other means."""
    if change == "shift":
        return X[:, :, [0, *range(7)]]
    if change == "bits":
        return X - X % 2
    weights = np.outer([1, 2, 1], [1, 2, 1])[None, :, :, None]
    sums = ndimage.convolve(X.astype(int), weights, mode="nearest")
    return np.floor(sums / 16 + 0.5).astype(np.uint8)


@pytest.mark.parametrize("change", ["shift", "bits", "blur"])
def test_it_is_the_difference_of_log_densities_with_the_same_noise(change):
    score = ood.Stability(change)
    noise = np.asarray(FLOW.points(FLOW.inputs(X)), np.float64) - X / 256
    before, after = X / 256 + noise, restated(change) / 256 + noise
    expected = ((after**2).sum((1, 2, 3)) - (before**2).sum((1, 2, 3))) / 2
    found = score.fit(FLOW).score(X)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(expected).min() > 1e-3


@pytest.mark.parametrize("change", ["shift", "bits", "blur"])
def test_images_that_do_not_change_have_score_zero(change):
    x = np.arange(0, 256, 28, dtype=np.uint8)[:, None, None, None]
    x = np.broadcast_to(x, (len(x), 8, 8, 2))
    assert not ood.Stability(change).fit(FLOW).score(x).any()


def test_draws_are_minus_the_variance_over_eight():
    expected = np.var([FLOW.collect(X, draw=d).log_prob for d in range(8)], 0, ddof=1)
    found = ood.Stability().fit(FLOW).score(X)
    np.testing.assert_allclose(found, -expected, rtol=2e-2, atol=1e-6)
    # d log p = -sum k u / bins^2 for the most part, u uniform
    law = ((X.astype(float) + 0.5) ** 2).sum((1, 2, 3)) / 12 / 256**4
    assert 0.8 < (expected / law).mean() < 1.25


@pytest.mark.parametrize("change", ["draws", "shift"])
def test_scores_are_of_the_image_alone(change):
    fitted = ood.Stability(change).fit(FLOW)
    alone = [fitted.score(X[i : i + 1])[0] for i in (3, 17)]
    np.testing.assert_allclose(fitted.score(X)[[3, 17]], alone, atol=1e-4)


def test_sides_costs_and_names():
    assert [ood.Stability(c).low_share for c in ("draws", "blur")] == [0.8, 0.5]
    assert [ood.Stability(c).passes for c in ("draws", "blur")] == [9, 3]
    assert ood.Stability("bits").name == "stability, bits"


def test_vectors_and_other_changes_are_refused():
    with pytest.raises(ValueError, match="a score of images"):
        ood.Stability().fit(gaussian_flow())
    with pytest.raises(ValueError, match="change must be one of draws, shift"):
        ood.Stability("rotate")
