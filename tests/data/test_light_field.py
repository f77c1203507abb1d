"""Volumes of images and their views: linear, and a function of seed and row."""

import numpy as np
import pytest

from flowjax_ood.data.light_field import light_field, shifted, volumes

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 9, 1)).astype(np.uint8)
X = volumes(IMAGES, 6, 4, seed=1)


def test_planes_are_images():
    assert X.shape == (6, 8, 9, 4)
    assert X.dtype == np.float32
    assert X.min() >= 0
    assert X.max() < 1
    stored = {image.tobytes() for image in IMAGES}
    planes = np.floor(np.moveaxis(X, -1, 1) * 256).astype(np.uint8).reshape(24, 8, 9)
    assert {plane.tobytes() for plane in planes} <= stored
    noise = X * 256 - np.floor(X * 256)
    assert abs(noise.mean() - 0.5) < 4 * np.sqrt(1 / 12 / noise.size)
    bright = volumes(np.full((1, 8, 8, 1), 255, np.uint8), 500, 4, seed=0)
    assert bright.max() < 1


def test_a_volume_is_a_function_of_seed_and_row():
    np.testing.assert_array_equal(volumes(IMAGES, 3, 4, seed=1), X[:3])
    assert (volumes(IMAGES, 3, 4, seed=2) != X[:3]).any()


def test_views_are_by_the_formula():
    """Disparities in whole pixels, one view at a time, by slices."""
    y = light_field(X, noise=0, seed=0)
    assert y.shape == (6, 8, 9, 5)
    assert y.dtype == np.float32
    for view, k in enumerate((-2, -1, 0, 1, 2)):
        expected = np.zeros((6, 8, 9))
        for plane, disparity in enumerate((-3, -1, 1, 3)):
            p = k * disparity
            for column in range(9):
                if 0 <= column - p < 9:
                    expected[:, :, column] += X[:, :, column - p, plane]
        np.testing.assert_allclose(y[..., view], expected / 4, rtol=1e-5, atol=1e-7)


def test_between_pixels_it_interpolates():
    image = np.float32([[[0, 0, 4, 0, 0]]])
    np.testing.assert_allclose(shifted(image, 0.25), [[[0, 0, 3, 1, 0]]])
    np.testing.assert_allclose(shifted(image, -1.5), [[[2, 2, 0, 0, 0]]])
    np.testing.assert_array_equal(shifted(image, 7), 0)
    np.testing.assert_array_equal(shifted(image, -7), 0)
    wider = light_field(X, noise=0, scale=1.5, seed=0)
    same = light_field(X, noise=0, disparities=(-4.5, -1.5, 1.5, 4.5), seed=0)
    np.testing.assert_array_equal(wider, same)


def test_without_noise_it_is_linear():
    def see(x):
        return light_field(x, noise=0, scale=1.3, seed=0)

    a, b = X[:3], X[3:]
    mixed = see(np.float32(0.3) * a - 2 * b)
    np.testing.assert_allclose(mixed, 0.3 * see(a) - 2 * see(b), atol=1e-5)


def test_without_disparity_all_views_are_the_mean_plane():
    y = light_field(X, noise=0, disparities=[0, 0, 0, 0], views=3, seed=0)
    expected = np.repeat(X.mean(-1, keepdims=True), 3, -1)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_noise_is_normal_and_belongs_to_the_row():
    still, y = light_field(X, noise=0, seed=3), light_field(X, noise=0.1, seed=3)
    z = (y - still) / 0.1
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    again = light_field(X[[4, 1]], noise=0.1, seed=3, rows=[4, 1])
    np.testing.assert_array_equal(again, y[[4, 1]])
    assert (light_field(X, noise=0.1, seed=4) != y).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": -1}, "noise must not be negative or infinite, got -1"),
        ({"noise": np.nan}, "noise must not"),
        ({"scale": np.inf}, "scale must not"),
        ({"views": 0}, "views must be at least 1"),
        ({"disparities": [1, 2]}, "disparity for each of the 4 planes"),
        ({"disparities": [1, 2, 3, np.nan]}, "a finite disparity"),
        ({"rows": [1]}, "got 1 rows for 6 volumes"),
        ({"volumes": IMAGES}, "volumes makes them of images"),
        ({"volumes": X[0]}, r"floating-point \[N, H, W, D\]"),
    ],
)
def test_views_of_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        light_field(**{"volumes": X, "seed": 0} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": IMAGES[..., 0]}, r"uint8 images \[N, H, W, 1\]"),
        ({"images": np.repeat(IMAGES, 3, -1)}, "to_grayscale"),
        ({"images": IMAGES / 255}, "got float64"),
        ({"images": IMAGES[:0]}, "there are none"),
        ({"planes": 0}, "planes must be at least 1"),
        ({"count": -1}, "count must be at least 0"),
    ],
)
def test_volumes_of_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        volumes(**{"images": IMAGES, "count": 2, "planes": 2, "seed": 0} | arguments)
