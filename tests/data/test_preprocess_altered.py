"""Altered images: exactly what their name says, and no more."""

import numpy as np
import pytest

from flowjax_ood.data.preprocess import ALTERATIONS, altered
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
