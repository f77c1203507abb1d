"""Resizing and colour, against PIL step by step."""

import numpy as np
import pytest
from PIL import Image

from flowjax_ood.data import resize_center_crop, to_grayscale, to_rgb
from flowjax_ood.data.preprocess import on_threads, resize_all

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def test_celeba_portrait():
    """218x178 -> 39x32 -> rows 4 to 35: torchvision's Resize(32), CenterCrop(32)."""
    image = noise(218, 178, 3)
    small = Image.fromarray(image).resize((32, 39), Image.Resampling.BILINEAR)
    expected = np.asarray(small)[4:36]
    np.testing.assert_array_equal(resize_center_crop(image, 32), expected)


def test_landscape_grey():
    image = noise(20, 51, 1)
    small = Image.fromarray(image[..., 0]).resize((25, 10), Image.Resampling.BILINEAR)
    expected = np.asarray(small)[:, 8:18, None]
    np.testing.assert_array_equal(resize_center_crop(image, 10), expected)


def test_right_height_is_cropped_without_resampling():
    image = noise(8, 13, 3)
    np.testing.assert_array_equal(resize_center_crop(image, 8), image[:, 2:10])


@pytest.mark.parametrize("size", [1, 5, 28, 64])
def test_any_size(size):
    assert resize_center_crop(noise(28, 28, 1), size).shape == (size, size, 1)


def test_resize_all_is_the_same_image_by_image():
    images = noise(9, 12, 15, 3)
    for got, image in zip(resize_all(images, 7), images, strict=True):
        np.testing.assert_array_equal(got, resize_center_crop(image, 7))


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 0), np.uint8), np.zeros((4, 4, 1))])
def test_bad_image(bad):
    with pytest.raises(ValueError, match=r"uint8 \[H, W, C\]"):
        resize_center_crop(bad, 2)


def test_other_numbers_of_channels_are_resized_each_alone():
    image = noise(12, 15, 5)
    found = resize_center_crop(image, 7)
    for c in range(5):
        expected = resize_center_crop(image[..., c : c + 1], 7)
        np.testing.assert_array_equal(found[..., c : c + 1], expected)


def test_on_threads_yields_all_in_order_and_passes_errors_on():
    assert list(on_threads(lambda index: index**2, 5000)) == [i**2 for i in range(5000)]
    with pytest.raises(ZeroDivisionError):
        list(on_threads(lambda index: 1 // (index - 3), 10))


def test_grayscale_is_pils():
    images = noise(3, 16, 16, 3)
    expected = np.stack([np.asarray(Image.fromarray(i).convert("L")) for i in images])
    np.testing.assert_array_equal(to_grayscale(images), expected[..., None])


def test_grey_to_rgb_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    rgb = to_rgb(grey)
    assert rgb.shape == (1, 16, 16, 3)
    np.testing.assert_array_equal(to_grayscale(rgb), grey)
    assert to_rgb(rgb) is rgb
    assert to_grayscale(grey) is grey


@pytest.mark.parametrize("function", [to_grayscale, to_rgb])
def test_bad_colours(function):
    with pytest.raises(ValueError, match="of 4 channels are neither grey"):
        function(np.zeros((2, 4, 4, 4), np.uint8))
