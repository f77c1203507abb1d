"""Altered images: exactly what their name says, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.data.preprocess import (
    ALTERATIONS,
    altered,
    to_grayscale,
    with_depth,
)
from flowjax_ood.data.sources.synthetic import load_synthetic

IMAGES = load_synthetic("synthetic_rgb", "test", limit=5, image_size=6)


@pytest.mark.parametrize("how", ALTERATIONS)
def test_an_altered_set_says_so_and_keeps_all_else(how):
    before = IMAGES.images.copy()
    found = altered(IMAGES, how)
    assert found.name == f"synthetic_rgb {how}"
    assert found.origin == f"{IMAGES.origin}; {how}"
    assert (found.split, found.source) == (IMAGES.split, IMAGES.source)
    assert found.labels is IMAGES.labels
    assert found.images.shape == IMAGES.images.shape
    assert (found.images != before).any()
    np.testing.assert_array_equal(IMAGES.images, before)


def test_each_alteration_is_that_of_its_name():
    k = IMAGES.images.astype(int)
    found = {how: altered(IMAGES, how).images for how in ALTERATIONS}
    np.testing.assert_array_equal(found["inverted"] + k, np.full_like(k, 255))
    np.testing.assert_array_equal(found["dimmed"], np.floor(k / 2))
    np.testing.assert_array_equal(found["upside_down"][:, 0], k[:, -1])
    for how in ("inverted", "upside_down"):
        again = altered(altered(IMAGES, how), how)
        np.testing.assert_array_equal(again.images, k)


def test_an_unknown_alteration_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'inverted'"):
        altered(IMAGES, "invertd")


@pytest.mark.parametrize(("bins", "dtype"), [(2, "u1"), (32, "u1"), (2**16, "u2")])
def test_images_of_any_depth_are_inverted_within_it(bins, dtype):
    pixels = with_depth(IMAGES.images, bins)
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, IMAGES.images * float(bins) // 256)
    images = replace(IMAGES, images=pixels)
    inverted = altered(images, "inverted", bins).images
    assert inverted.dtype == dtype
    np.testing.assert_array_equal(inverted + pixels.astype(int), bins - 1)
    with pytest.raises(ValueError, match=rf"value \d+, not below bins={bins // 2};"):
        altered(images, "inverted", bins // 2)


def test_eight_bits_are_left_as_they_are():
    assert with_depth(IMAGES.images, 256) is IMAGES.images


def test_sixteen_bit_colours_have_the_luma_of_their_eight_bits():
    deep = to_grayscale(with_depth(IMAGES.images, 2**16))
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 256, to_grayscale(IMAGES.images), atol=0.51)
    assert (to_grayscale(np.full((1, 2, 2, 3), 65535, np.uint16)) == 65535).all()
