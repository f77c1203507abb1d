"""How much of an image is in its latents: on latents whose answer is known."""

import numpy as np
import pytest

from flowjax_ood.analysis.visibility import local_structure, visibility

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 10, 8, 1))
CHECKERBOARD = np.indices((10, 8)).sum(0)[..., None] % 2


def test_the_image_itself_is_all_there():
    for latents in (IMAGES, 5 - 3 * IMAGES, IMAGES + 7 * CHECKERBOARD):
        seen = visibility(IMAGES, latents)
        np.testing.assert_allclose(seen.own, 1)
        np.testing.assert_array_equal(seen.first, 1)
        assert abs(seen.other.mean()) < 0.1


def test_noise_and_nothing_show_no_image():
    many = RNG.random((200, 10, 8, 1))
    found = visibility(many, RNG.standard_normal(many.shape)).measures()
    assert abs(found["correlation"]) < 0.03
    assert found["identified"] < 0.05
    empty = visibility(IMAGES, np.ones_like(IMAGES)).measures()
    assert empty["correlation"] == empty["correlation_others"] == 0
    # all images share the first place
    assert empty["identified"] == pytest.approx(1 / 12)


def test_what_all_images_have_in_common_is_told_apart():
    common = 20 * RNG.random((1, 10, 8, 1))
    found = visibility(IMAGES + common, RNG.standard_normal(IMAGES.shape) + common)
    assert found.own.mean() > 0.9
    assert abs(found.own.mean() - found.other.mean()) < 0.02
    assert found.first.mean() < 0.5


def test_the_gradient_is_that_of_a_plane():
    y, x = np.indices((5, 6))
    plane = np.stack([3 * x + 4 * y, 12 * x], -1)[None].astype(float)
    np.testing.assert_allclose(local_structure(plane), 13)
    assert local_structure(plane).shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("images", "latents", "message"),
    [
        (IMAGES, IMAGES[:5], "one shape"),
        (IMAGES[:1], IMAGES[:1], "at least 2"),
        (IMAGES, np.full_like(IMAGES, np.inf), "not finite"),
        (IMAGES[:, :2], IMAGES[:, :2], "3 x 3"),
    ],
)
def test_bad_input_is_named(images, latents, message):
    with pytest.raises(ValueError, match=message):
        visibility(images, latents)
