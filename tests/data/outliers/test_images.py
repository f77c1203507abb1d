"""Pseudo-outliers: each kind as its name says, in equal shares, row by row."""

import numpy as np
import pytest
from scipy import ndimage

from flowjax_ood import data
from flowjax_ood.data.outliers.images import (
    KINDS,
    NOISE,
    pseudo_outliers,
)

CLOTHES = data.load("fashion_mnist:train", source="embedded", limit=90)
COLOUR = data.load("synthetic_rgb", source="synthetic", limit=45, image_size=17)
IMAGES = {"grey": CLOTHES.images, "colour": COLOUR.images}


def only(kind, images, seed=0):
    outliers, index = pseudo_outliers(images, seed, (kind,))
    np.testing.assert_array_equal(index, 0)
    return outliers


@pytest.mark.parametrize("images", IMAGES)
def test_every_kind_once_in_every_run(images):
    before = IMAGES[images].copy()
    outliers, kind = pseudo_outliers(before, 3)
    assert (outliers.dtype, outliers.shape) == (np.uint8, before.shape)
    assert (kind.dtype, kind.shape) == (np.int32, (len(before),))
    runs = kind.reshape(-1, len(KINDS))
    np.testing.assert_array_equal(np.sort(runs), [range(len(KINDS))] * len(runs))
    assert len(np.unique(runs, axis=0)) > 1  # in an order of its own
    assert (outliers != before).reshape(len(before), -1).any(axis=1).all()
    np.testing.assert_array_equal(before, IMAGES[images])


@pytest.mark.parametrize("images", IMAGES)
def test_rows_are_those_of_the_whole(images):
    whole, kinds = pseudo_outliers(IMAGES[images], 5)
    rows = [40, 3, 4, 5, 0, 41, 3]
    some, kind = pseudo_outliers(IMAGES[images], 5, rows=rows)
    np.testing.assert_array_equal(some, whole[rows])
    np.testing.assert_array_equal(kind, kinds[rows])
    assert len(pseudo_outliers(IMAGES[images], 5, rows=[])[0]) == 0


def test_the_seed_matters():
    one, kinds = pseudo_outliers(CLOTHES.images, 0)
    other, kind = pseudo_outliers(CLOTHES.images, 1)
    assert (kinds != kind).any()
    assert (one != other).any()
    for name in set(KINDS) - {"blurred", "inverted"}:
        some, others = (only(name, CLOTHES.images, seed) for seed in (0, 1))
        assert (some != others).any(), name


@pytest.mark.parametrize("images", IMAGES)
def test_pixels_permuted_keep_their_colours(images):
    before = IMAGES[images]
    found = only("pixels_permuted", before)
    for image, other in zip(before, found):
        pixels, others = (np.sort(_pixels(i)) for i in (image, other))
        np.testing.assert_array_equal(pixels, others)


def _pixels(image):
    """One number for each pixel's colour."""
    image = image.reshape(-1, image.shape[-1]).astype(int)
    return image @ 256 ** np.arange(image.shape[-1])


def patches(image):
    h, w = image.shape[0] // 4, image.shape[1] // 4
    return [
        image[i * h : (i + 1) * h, j * w : (j + 1) * w].tobytes()
        for i in range(4)
        for j in range(4)
    ]


@pytest.mark.parametrize("images", IMAGES)
def test_patches_permuted_are_the_same_patches(images):
    before = IMAGES[images]
    for image, other in zip(before, only("patches_permuted", before)):
        assert patches(image) != patches(other)
        assert sorted(patches(image)) == sorted(patches(other))
        inside = 4 * (image.shape[0] // 4)  # 16 of 17: the rest stays
        np.testing.assert_array_equal(image[inside:], other[inside:])


def test_half_of_the_mixed_patches_are_of_one_other_image():
    before = COLOUR.images
    by_image = [patches(image) for image in before]
    for row, other in enumerate(only("patches_mixed", before)):
        mixed = patches(other)
        agree = [sum(a == b for a, b in zip(mixed, own)) for own in by_image]
        assert agree[row] == 8
        assert sorted(agree)[-2:] == [8, 8]
        inside = 4 * (other.shape[0] // 4)
        np.testing.assert_array_equal(before[row][inside:], other[inside:])


def test_averages_are_of_two_different_images():
    before = COLOUR.images.astype(int)
    for row, other in enumerate(only("averaged", COLOUR.images)):
        partner = 2 * other.astype(int) - before[row]
        gaps = np.abs(before - partner).reshape(len(before), -1).max(axis=1)
        assert gaps.min() <= 1  # rounding
        assert gaps.argmin() != row


def test_blurred_inverted_and_rotated():
    before = CLOTHES.images
    found = only("blurred", before)
    for image, other in zip(before, found):
        expected = ndimage.gaussian_filter(image.astype(float), (2, 2, 0))
        # away from the edges, where the rules of filling up differ
        inner = (slice(8, -8), slice(8, -8))
        np.testing.assert_allclose(other[inner], expected[inner], atol=0.51)
    np.testing.assert_array_equal(only("inverted", before), 255 - before)
    found = only("rotated", before)
    turned = [np.rot90(before, k, axes=(1, 2)) for k in (1, 3)]
    one, other = ((found == t).all(axis=(1, 2, 3)) for t in turned)
    assert (one | other).all()
    assert 0.3 < one.mean() < 0.7


def test_noise_is_uniform_and_clouds_are_smooth():
    white = only("uniform_noise", CLOTHES.images).astype(float)
    clouds = only("clouds", CLOTHES.images).astype(float)
    assert (white.min(), white.max()) == (0, 255)
    assert white.mean() == pytest.approx(127.5, abs=1)
    assert white.var() == pytest.approx((256**2 - 1) / 12, rel=0.02)

    def neighbours(x):
        return np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1]

    assert abs(neighbours(white)) < 0.02
    assert neighbours(clouds) > 0.8
    for name in NOISE:  # nothing of the images is left
        np.testing.assert_array_equal(
            only(name, CLOTHES.images), only(name, 255 - CLOTHES.images)
        )


def test_channels_of_noise_are_unrelated():
    for name in NOISE:
        found = only(name, COLOUR.images).astype(float).reshape(-1, 3)
        assert abs(np.corrcoef(found.T)[0, 1]) < 0.2


def test_what_cannot_be_done_is_said():
    images = CLOTHES.images
    with pytest.raises(ValueError, match=r"'blured'.*did you mean 'blurred'"):
        pseudo_outliers(images, 0, ["blured"])
    for kinds in ([], ["inverted", "inverted"]):
        with pytest.raises(ValueError, match="distinct and at least one"):
            pseudo_outliers(images, 0, kinds)
    with pytest.raises(ValueError, match=r"28 x 20 turned.*leave 'rotated' out"):
        pseudo_outliers(images[:, :, :20], 0)
    with pytest.raises(ValueError, match=r"7 x 28 are too small"):
        pseudo_outliers(images[:, :7], 0)
    with pytest.raises(ValueError, match="'patches_mixed' needs two images"):
        pseudo_outliers(images[:1], 0)
    with pytest.raises(ValueError, match="rows must be from 0 to 89, not 3 to 90"):
        pseudo_outliers(images, 0, rows=[3, 90])
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        pseudo_outliers(images, -1)
    with pytest.raises(ValueError, match=r"seed must be a whole number, got 0\.5"):
        pseudo_outliers(images, 0.5)
    with pytest.raises(TypeError, match="uint8 array, not float64"):
        pseudo_outliers(images / 255, 0)
