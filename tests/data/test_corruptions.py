"""Corruptions: each does what its name says, more so when severe, image by image."""

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    corrupted,
    corruptions_for,
)
from flowjax_ood.data.corruptions.parameters import (
    LARGE_IMAGES,
    SMALL_IMAGES,
    parameters,
)

GREY = data.load("fashion_mnist:test", source="embedded", limit=60)
COLOUR = data.load("synthetic_rgb", source="synthetic", limit=60)
LARGE = data.load("synthetic_rgb", source="synthetic", limit=4, image_size=96)
SETS = {"grey": GREY, "colour": COLOUR, "large": LARGE}
# the benchmark's constants do not order these by distance: see `parameters`
UNORDERED = {"elastic_transform", "glass_blur", "frost", "saturate", "spatter"}


def distance(images, kind, severity):
    """Mean squared distance to the clean images, in grey levels squared."""
    changed = corrupt(images, kind, severity).astype(float)
    return float(((changed - images) ** 2).mean())


def test_nineteen_kinds_of_which_one_needs_colour():
    assert len(CORRUPTIONS) == 19
    assert corruptions_for(3) == CORRUPTIONS
    assert set(CORRUPTIONS) - set(corruptions_for(1)) == {"saturate"}
    for table in (SMALL_IMAGES, LARGE_IMAGES):
        assert set(table) == set(CORRUPTIONS)
        assert {len(rows) for rows in table.values()} == {len(SEVERITIES)}


@pytest.mark.parametrize(
    ("images", "kind"),
    [(s, k) for s in SETS for k in corruptions_for(1 if s == "grey" else 3)],
)
def test_shape_type_and_change(images, kind):
    before = SETS[images].images
    kept = before.copy()
    for severity in (1, 5):
        changed = corrupt(before, kind, severity)
        assert (changed.dtype, changed.shape) == (np.uint8, before.shape)
        assert (changed != before).any()
    np.testing.assert_array_equal(before, kept)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_an_image_does_not_depend_on_its_batch(kind):
    images = COLOUR.images[:7]
    whole = corrupt(images, kind, 3, seed=5)
    np.testing.assert_array_equal(whole, corrupt(images, kind, 3, seed=5))
    parts = [corrupt(images[:1], kind, 3, seed=5)]
    parts.append(corrupt(images[1:4], kind, 3, seed=5, offset=1))
    parts.append(corrupt(images[4:], kind, 3, seed=5, offset=4))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_large_sets_are_worked_through_in_parts():
    many = np.repeat(GREY.images[:1], 1500, axis=0)
    whole = corrupt(many, "gaussian_noise", 2)
    end = corrupt(many[1400:], "gaussian_noise", 2, offset=1400)
    np.testing.assert_array_equal(whole[1400:], end)
    assert len(np.unique(whole.reshape(1500, -1), axis=0)) == 1500


RANDOM = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    *("glass_blur", "motion_blur", "snow", "frost", "fog", "spatter"),
    "elastic_transform",
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_seed_and_position_matter_where_there_is_chance(kind):
    images = np.repeat(COLOUR.images[:1], 2, axis=0)
    one, other = corrupt(images, kind, 3, seed=0), corrupt(images, kind, 3, seed=1)
    assert (one != other).any() == (kind in RANDOM)
    assert (one[0] != one[1]).any() == (kind in RANDOM)


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - UNORDERED))
@pytest.mark.parametrize("images", ["grey", "colour"])
def test_distance_grows_with_severity(images, kind):
    found = [distance(SETS[images].images, kind, s) for s in SEVERITIES]
    if kind == "motion_blur":
        # kernels of severity 3 and 4 differ by less than 0.1%, directions by chance
        assert found[3] == pytest.approx(found[2], rel=0.15)
        found.pop(3)
    assert (np.diff(found) > 0).all(), found


@pytest.mark.parametrize(
    ("kind", "severities"),
    [
        ("spatter", (1, 2, 3)),
        ("spatter", (4, 5)),
        ("saturate", (1, 2)),
        ("saturate", (3, 4, 5)),
        ("frost", (1, 2)),
        ("glass_blur", (3, 5)),
    ],
)
def test_distance_grows_within_one_form_of_a_kind(kind, severities):
    found = [distance(COLOUR.images, kind, s) for s in severities]
    assert (np.diff(found) > 0).all(), found


def test_lengths_of_large_images_go_with_their_side():
    assert parameters("gaussian_blur", 5, 63) == (1.0,)
    assert parameters("gaussian_blur", 5, 224) == (6,)
    assert parameters("gaussian_blur", 5, 112) == (3,)
    assert parameters("motion_blur", 1, 448) == (20, 6)
    assert parameters("contrast", 1, 112) == (0.4,)
    mud = parameters("spatter", 4, 112)
    assert mud == (0.65, 0.15, 0.5, 0.65, 0, 0.75)


def test_images_need_not_be_square():
    wide = COLOUR.images[:3, :20]
    for kind in CORRUPTIONS:
        assert corrupt(wide, kind, 5).shape == wide.shape


# --- sets, and errors ---------------------------------------------------------------


def test_a_corrupted_set_says_so():
    found = corrupted(GREY, "gaussian_noise", 3, seed=7)
    assert found.name == "fashion_mnist gaussian_noise 3"
    assert found.origin.endswith("; gaussian_noise of severity 3, seed 7")
    assert (found.split, found.source) == ("test", "embedded")
    assert found.labels is GREY.labels
    expected = corrupt(GREY.images, "gaussian_noise", 3, seed=7)
    np.testing.assert_array_equal(found.images, expected)


def test_what_cannot_be_done_is_said():
    images = GREY.images
    with pytest.raises(ValueError, match=r"'gausian_noise'.*mean 'gaussian_noise'"):
        corrupt(images, "gausian_noise", 1)
    with pytest.raises(
        ValueError, match=r"'saturate' changes colours.*corruptions_for"
    ):
        corrupt(images, "saturate", 1)
    with pytest.raises(
        ValueError, match="severity must be one of 1, 2, 3, 4, 5, not 6"
    ):
        corrupt(images, "fog", 6)
    with pytest.raises(ValueError, match=r"severity must be a whole number, got 2\.5"):
        corrupt(images, "fog", 2.5)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        corrupt(images, "fog", 1, seed=-1)
    with pytest.raises(ValueError, match="offset must be at least 0, got -2"):
        corrupt(images, "fog", 1, offset=-2)
    with pytest.raises(TypeError, match="uint8 array, not float32"):
        corrupt(images.astype(np.float32), "fog", 1)
    with pytest.raises(ValueError, match=r"7 x 28 are too small.*8 pixels"):
        corrupt(images[:, :7], "fog", 1)
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        corruptions_for(2)
