"""The Gaussian of pixels is a Gaussian: exact distances, invariances, uniform p."""

import numpy as np
import pytest

from experiments.core.pixel_gaussian import pixel_gaussian

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (400, 3, 3, 1), np.uint8)
OTHERS = RNG.integers(0, 256, (300, 3, 3, 1), np.uint8)


def test_all_components_are_the_gaussian_of_all_pixels():
    x, z = (a.reshape(len(a), -1) / 255 for a in (TRAIN, OTHERS))
    centred = z - x.mean(0)
    inverse = np.linalg.inv(np.cov(x.T, bias=True))
    expected = -0.5 * np.einsum("ni,ij,nj->n", centred, inverse, centred)
    found = pixel_gaussian(TRAIN, {"others": OTHERS})["others"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # the mean squared distance of training images is the number of components
    own = pixel_gaussian(TRAIN, {"own": TRAIN}, 4)["own"]
    assert own.mean() == pytest.approx(-2)
    assert (own >= pixel_gaussian(TRAIN, {"own": TRAIN}, 5)["own"]).all()


def test_pixels_have_no_order_and_what_is_constant_does_not_count():
    order = RNG.permutation(9)

    def shuffled(images):
        return images.reshape(-1, 9)[:, order].reshape(-1, 3, 3, 1)

    plain = pixel_gaussian(TRAIN, {"others": OTHERS}, 5)["others"]
    same = pixel_gaussian(shuffled(TRAIN), {"others": shuffled(OTHERS)}, 5)["others"]
    np.testing.assert_allclose(same, plain, rtol=1e-9)
    framed = [np.pad(a, ((0, 0), (1, 1), (1, 1), (0, 0))) for a in (TRAIN, OTHERS)]
    found = pixel_gaussian(framed[0], {"others": framed[1]})["others"]
    np.testing.assert_allclose(
        found, pixel_gaussian(TRAIN, {"others": OTHERS})["others"], rtol=1e-9
    )


def test_equal_images_have_no_components():
    with pytest.raises(ValueError, match="all 5 training images are equal"):
        pixel_gaussian(np.full((5, 2, 2, 1), 7, np.uint8), {})
