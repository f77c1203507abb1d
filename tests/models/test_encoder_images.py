"""Images for the encoder: size, colour, and the normalisation of its training."""

import jax
import numpy as np
import pytest
from PIL import Image

from flowjax_ood.models import efficientnet

IMAGES = np.random.RandomState(0).randint(0, 256, (3, 20, 28, 3)).astype(np.uint8)


def test_values():
    x = efficientnet(jax.numpy.asarray(IMAGES[:, :, :20]), 20)
    assert x.dtype == np.float32
    # the resize of one size to itself changes nothing
    np.testing.assert_allclose(
        x, (IMAGES[:, :, :20].astype(np.float32) - 127) / 128, atol=1e-5
    )


@pytest.mark.parametrize("size", [7, 16, 40])
def test_resizing_is_that_of_pil(size):
    x = np.asarray(efficientnet(jax.numpy.asarray(IMAGES), size))
    assert x.shape == (3, size, size, 3)
    for mine, image in zip(128 * x + 127, IMAGES):
        picture = Image.fromarray(image)
        theirs = picture.resize((size, size), Image.Resampling.BILINEAR)
        # PIL rounds to whole numbers after each axis
        assert np.abs(mine - np.asarray(theirs, np.float32)).max() < 1.6


def test_grey_is_repeated():
    grey = jax.numpy.asarray(IMAGES[..., :1])
    x = efficientnet(grey, 32)
    assert x.shape == (3, 32, 32, 3)
    rgb = efficientnet(jax.numpy.repeat(grey, 3, axis=-1), 32)
    np.testing.assert_allclose(x, rgb, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "size", "match"),
    [
        (IMAGES.astype(np.float32), 8, "uint8 .* not float32"),
        (IMAGES[0], 8, r"shape \(20, 28, 3\)"),
        (IMAGES[..., :2], 8, "1 or 3 channels"),
        (IMAGES, 0, "image_size must be at least 1, not 0"),
    ],
)
def test_other_images_are_refused(images, size, match):
    with pytest.raises(ValueError, match=match):
        efficientnet(images, size)
