"""The classifier of systems: pixels become standard, and stay finite."""

import numpy as np
import pytest

from experiments.core.classifier import classifier


def test_it_normalises_by_its_images_and_bounds_a_constant_channel():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    images[..., 1] = 51
    module = classifier(images, 7)
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(module.mean, pixels.mean(0), atol=6e-5)
    expected = [pixels[:, 0].std(), 1 / 255, pixels[:, 2].std()]
    np.testing.assert_allclose(module.std, expected, atol=6e-5)
    assert module.mean[1] == pytest.approx(0.2)
    assert module.classes == 7
