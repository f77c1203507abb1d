"""Random crops and flips: of which images, how often, and by whose key."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.data.dequantize import example_keys
from flowjax_ood.training.inputs import crop_flip


def images(count=5, size=(6, 7)):
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (count, *size, 3), np.uint8)


def keys(count, seed=0):
    key = jax.random.key(seed, impl="threefry2x32")
    return example_keys(key, jnp.arange(count))


def possible(image, padding):
    """All windows, each with its mirror image: `[(2 padding + 1)^2, 2, H, W, C]`."""
    h, w, _ = image.shape
    wide = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    windows = [
        wide[r : r + h, c : c + w]
        for r in range(2 * padding + 1)
        for c in range(2 * padding + 1)
    ]
    return np.stack([[w, w[:, ::-1]] for w in windows])


def test_every_window_and_its_mirror_image_is_as_likely():
    padding, count = 1, 3600
    one = images(1)
    many = jax.jit(partial(crop_flip, padding=padding))(
        jnp.repeat(one, count, 0), keys(count)
    )
    assert many.dtype == jnp.uint8
    known = possible(one[0], padding).reshape(18, -1)
    which = (np.asarray(many).reshape(count, 1, -1) == known).all(-1)
    # each is one of them, and of no two the same
    np.testing.assert_array_equal(which.sum(1), 1)
    expected = count / 18
    # chi-squared with 17 degrees of freedom: 48 is one in ten thousand
    assert ((which.sum(0) - expected) ** 2 / expected).sum() < 48


def test_an_image_depends_on_its_key_alone():
    whole = crop_flip(images(), keys(5))
    for k in range(5):
        one = crop_flip(images()[k : k + 1], keys(5)[k : k + 1])
        np.testing.assert_array_equal(one[0], whole[k])
    np.testing.assert_array_equal(crop_flip(images(), keys(5)), whole)
    assert (crop_flip(images(), keys(5, seed=1)) != whole).any()
    for image, found in zip(images(), np.asarray(whole), strict=True):
        assert (possible(image, 4) == found).all((2, 3, 4)).any()


def test_without_padding_it_flips():
    given, found = images(50), np.asarray(crop_flip(images(50), keys(50), padding=0))
    flipped = (found == given[:, :, ::-1]).all((1, 2, 3))
    assert ((found == given).all((1, 2, 3)) != flipped).all()
    assert 10 < flipped.sum() < 40


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="-1"):
        crop_flip(images(), keys(5), padding=-1)
