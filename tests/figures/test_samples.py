"""Grids and rows of images: every image at its position, bad ones refused."""

import numpy as np
import pytest

from flowjax_ood import figures
from tests.helpers.drawings import IMAGES


def test_sample_grid_places_images_in_reading_order():
    picture = figures.sample_grid(IMAGES, "t", columns=3).axes[0].images[0].get_array()
    for k, (row, column) in {0: (0, 0), 2: (0, 20), 4: (10, 10), 6: (20, 0)}.items():
        tile = picture[row : row + 8, column : column + 8]
        np.testing.assert_allclose(tile, np.repeat(IMAGES[k] / 255, 3, axis=-1))
    np.testing.assert_array_equal(picture[20:, 20:], 1)  # empty places are white


def test_colour_images_keep_their_colours():
    red = np.zeros((1, 4, 4, 3))
    red[..., 0] = 1
    picture = figures.sample_grid(red, "t").axes[0].images[0].get_array()
    np.testing.assert_array_equal(picture, red[0])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.sample_grid(IMAGES[0], "t"), r"\[N, H, W, C\].*\(8, 8, 1\)"),
        (lambda: figures.sample_grid(IMAGES[..., [0, 0]], "t"), "C = 1 or 3"),
        (lambda: figures.sample_grid(IMAGES * 1.0, "t"), r"from 0 to 2\d\d"),
        (lambda: figures.sample_grid(IMAGES / np.nan, "t"), "expected in"),
        (lambda: figures.sample_grid(IMAGES.astype(int), "t"), "int64"),
        (lambda: figures.sample_grid(IMAGES, "t", columns=0), "at least 1"),
        (lambda: figures.sample_comparison({"a": IMAGES}, columns=9), "'a' has 7"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
