"""Fidelity by ratios that are 1 for real images."""

import numpy as np
import pytest

from flowjax_ood.analysis.fidelity import RealImages

RNG = np.random.default_rng(0)


def real_images(count, channels=1):
    """Smooth 6 x 6 images: a level and a slope."""
    level = RNG.uniform(60, 120, (count, 1, 1, channels))
    slope = RNG.uniform(-8, 8, (2, count, 1, 1, channels))
    y, x = np.indices((6, 6))[:, None, :, :, None]
    return (level + slope[0] * y + slope[1] * x).astype(np.uint8)


REAL = RealImages(real_images(400))


def test_images_of_the_same_set_have_ratios_of_one():
    found = REAL.fidelity(real_images(400))
    assert found == pytest.approx((1, 1, 1), rel=0.2)


def test_copies_of_a_real_image_are_near_and_not_varied():
    found = REAL.fidelity(np.repeat(REAL_ONE, 20, 0))
    assert found.distance == pytest.approx(0, abs=1e-5)
    assert found.spread == pytest.approx(0, abs=1e-5)


REAL_ONE = (REAL.reference[:1].reshape(1, 6, 6, 1) * 255).round().astype(np.uint8)


def test_noise_is_far_and_rough():
    noise = RNG.integers(0, 256, (50, 6, 6, 1), dtype=np.uint8)
    found = REAL.fidelity(noise)
    assert found.distance > 5
    assert found.roughness > 5


def test_ratios_are_of_the_written_measures():
    images = real_images(9, channels=3)
    samples = RNG.integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    x, held, made = images[::2] / 255, images[1::2] / 255, samples / 255

    def distance(of):
        return np.median([min(np.linalg.norm(a - b) for b in x) for a in of])

    def roughness(of):
        down = np.abs(of[:, 1:] - of[:, :-1]).mean()
        return (down + np.abs(of[:, :, 1:] - of[:, :, :-1]).mean()) / 2

    def spread(of):
        pairs = [(a, b) for k, a in enumerate(of) for b in of[:k]]
        return np.mean([np.linalg.norm(a - b) for a, b in pairs])

    expected = [f(made) / f(held) for f in (distance, roughness, spread)]
    np.testing.assert_allclose(RealImages(images).fidelity(samples), expected, 1e-5)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((8, 6, 6, 1)), "uint8 .* not float64"),
        (np.zeros((8, 6, 6), np.uint8), r"\[N, H, W, C\].*\(8, 6, 6\)"),
        (np.zeros((3, 6, 6, 1), np.uint8), "at least 4 real images, got 3"),
        (np.zeros((8, 6, 6, 1), np.uint8), "all alike"),
    ],
)
def test_real_images_that_measure_nothing_are_refused(images, said):
    with pytest.raises(ValueError, match=said):
        RealImages(images)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (real_images(1), "at least 2 samples, got 1"),
        (real_images(4, channels=3), r"\(6, 6, 3\).*\(6, 6, 1\)"),
        (real_images(4) / 255, "uint8"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(samples, said):
    with pytest.raises(ValueError, match=said):
        REAL.fidelity(samples)


def test_the_ratios_do_not_depend_on_the_depth_images_are_stored_in():
    images, samples = real_images(40), real_images(20)
    deep = RealImages(images.astype(np.uint16) * 257, bins=2**16)
    expected = RealImages(images).fidelity(samples)
    found = deep.fidelity(samples.astype(np.uint16) * 257)
    assert found == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match=r"must be uint16 .*, not uint8"):
        deep.fidelity(samples)
