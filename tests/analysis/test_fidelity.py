"""Fidelity by ratios that are 1 for real images, and noise that lies at its pixel."""

import jax
import numpy as np
import pytest

from flowjax_ood.analysis.fidelity import RealImages
from flowjax_ood.analysis.latents import image_layout, latents_at_pixels
from flowjax_ood.bijectors import Chain
from flowjax_ood.distributions import Flow
from flowjax_ood.models import Glow, RealNVP

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


FLOWS = {
    "single scale": lambda: RealNVP((4, 4, 1), scales=1, width=2, blocks=1),
    "two scales": lambda: RealNVP((8, 8, 3), scales=2, width=2, blocks=1),
    "glow": lambda: Glow((8, 8, 1), scales=2, steps=1, width=2, layers=1),
    "scan": lambda: RealNVP((8, 8, 1), scales=2, width=2, blocks=1, stack="scan"),
}


@pytest.mark.parametrize("name", FLOWS)
def test_noise_lands_on_the_latent_of_its_pixel(name):
    flow = FLOWS[name]()
    noise = jax.random.normal(jax.random.key(0), (2, *flow.event_shape))
    z = latents_at_pixels(flow, noise)
    shapes = jax.tree.map(lambda part: part.shape[1:], z)
    assert shapes == flow.latent_shape()
    np.testing.assert_array_equal(image_layout(flow.bijector, z), noise)


def test_noise_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"noise of shape \(8, 8, 1\) .* \(4, 4, 1\)"):
        latents_at_pixels(FLOWS["single scale"](), np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"shape \(4,\) makes no images"):
        latents_at_pixels(Flow(Chain([]), (4,)), np.zeros((2, 4)))
