"""Mutated images: how many values change, into what, and on what it depends."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import data
from flowjax_ood.data.outliers.battery_values import mutated as battery_kind
from flowjax_ood.data.random import Streams

IMAGES = np.random.default_rng(0).integers(0, 8, (50, 8, 8, 3), dtype=np.uint8)
COUNT = IMAGES.size


def test_none_and_all():
    np.testing.assert_array_equal(data.mutated(IMAGES, 0, 1), IMAGES)
    assert (data.mutated(IMAGES, 1, 1) != IMAGES).all()


@pytest.mark.parametrize("mu", [0.1, 0.3])
def test_a_share_mu_changes(mu):
    before = IMAGES.copy()
    out = data.mutated(IMAGES, mu, 0)
    np.testing.assert_array_equal(IMAGES, before)
    assert (out.dtype, out.shape) == (np.uint8, IMAGES.shape)
    error = np.sqrt(mu * (1 - mu) / COUNT)
    assert abs((out != IMAGES).mean() - mu) < 4 * error


def test_all_other_values_are_as_likely():
    out = data.mutated(IMAGES, 1, 0, levels=8)
    assert out.max() == 7
    steps = (out.astype(int) - IMAGES) % 8
    counts = np.bincount(steps.ravel(), minlength=8)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3


def test_it_follows_from_seed_row_and_image():
    whole = data.mutated(IMAGES, 0.2, 3)
    np.testing.assert_array_equal(data.mutated(IMAGES[:9], 0.2, 3), whole[:9])
    assert (data.mutated(IMAGES, 0.2, 4) != whole).mean() > 0.2
    many = np.zeros((1030, 8, 8, 1), np.uint8)  # more than one part of the work
    out = data.mutated(many, 0.5, 0)
    assert len(np.unique(out.reshape(1030, -1), axis=0)) == 1030


def test_the_battery_has_the_same_kind():
    rows = np.arange(9)
    out = battery_kind(IMAGES, rows, Streams(3, "mutated", rows))
    np.testing.assert_array_equal(out, data.mutated(IMAGES[:9], 0.2, 3))


@pytest.mark.parametrize("mu", [-0.1, 1.1, float("nan"), "0.2", True])
def test_other_probabilities_are_refused(mu):
    with pytest.raises(ValueError, match=r"in \[0, 1\], got"):
        data.mutated(IMAGES, mu, 0)


def test_bad_images_and_levels_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        data.mutated(IMAGES / 255, 0.2, 0)
    for levels in (7, 257):
        with pytest.raises(ValueError, match=f"got {levels}, .* is 7"):
            data.mutated(IMAGES, 0.2, 0, levels=levels)
    with pytest.raises(ValueError, match="levels must be at least 2"):
        data.mutated(IMAGES, 0.2, 0, levels=1)
