"""The battery: each kind by its law, from its seed and row, in its block."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from flowjax_ood import data
from flowjax_ood.data.outliers import battery_patterns, battery_poses
from flowjax_ood.data.outliers.battery import BLOCKS, KINDS, OTHERS, UNPAIRED
from flowjax_ood.data.random import Streams

CLOTHES = data.load("fashion_mnist:test", source="embedded", limit=24).images
COLOUR = data.load("synthetic_rgb", source="synthetic", limit=6, image_size=16).images
IMAGES = {"grey": CLOTHES, "colour": COLOUR}
# of their images alone: other seeds make the same
FIXED = {"inverted", "upside_down", "rotated", "dimmed", "bright", "blurred"}
FIXED |= {"mirrored", "rotated_180", "rotated_270", "transposed", "antitransposed"}
FIXED |= {"smaller", "larger", "edges", "pixelated", "low_contrast", "jpeg"}
FIXED |= {"defocus_blur", "gaussian_blur", "zoom_blur", "brightness", "saturate"}


@cache
def made(which="grey", seed=0):
    return data.battery(IMAGES[which], seed)


def kind(name, which="grey", seed=0):
    return made(which, seed).sets[name].images


@pytest.mark.parametrize("which", IMAGES)
def test_all_kinds_of_the_shape_of_their_images(which):
    images = IMAGES[which].copy()
    found = data.battery(images, 0)
    np.testing.assert_array_equal(images, IMAGES[which])
    wanted = {n: block for block in BLOCKS for n in KINDS[block]}
    if which == "grey":
        assert wanted.pop("saturate") == "told"
    assert {n: s.block for n, s in found.sets.items()} == wanted
    for name, (_, outliers, paired) in found.sets.items():
        assert (outliers.dtype, outliers.shape) == (np.uint8, images.shape), name
        differ = (outliers != images).reshape(len(images), -1).any(1)
        assert differ.mean() > 0.9, name
        np.testing.assert_array_equal(outliers, kind(name, which))
        assert paired == (name not in UNPAIRED)


def test_the_seed_matters_where_something_is_drawn():
    for name, (_, outliers, _) in made("colour").sets.items():
        same = np.array_equal(outliers, kind(name, "colour", seed=1))
        assert same == (name in FIXED), name


def test_a_row_is_made_of_its_image_alone():
    # of an image, and for some kinds of another one
    mixed = {"mean_of_two", "half_of_another"}
    changed = CLOTHES.copy()
    changed[5] = 255 - changed[6]
    for name, (_, outliers, paired) in data.battery(changed, 0).sets.items():
        rows = (outliers != kind(name)).reshape(len(changed), -1).any(1)
        if name in mixed:
            assert rows[5], name
            assert rows.sum() <= 4, name
        else:
            assert rows.nonzero()[0].tolist() == [5] * paired, name


@pytest.mark.parametrize("which", IMAGES)
def test_poses(which):
    images = IMAGES[which]

    def again(name, outliers):
        return data.battery(outliers, 0).sets[name].images

    for name in ("upside_down", "mirrored", "rotated_180", "transposed"):
        once = kind(name, which)
        np.testing.assert_array_equal(again(name, once), images)
    np.testing.assert_array_equal(again("rotated_270", kind("rotated", which)), images)
    np.testing.assert_array_equal(
        again("upside_down", again("mirrored", images)), kind("rotated_180", which)
    )
    for name in ("rotated", "antitransposed"):
        assert (np.sort(kind(name, which), 1) != np.sort(images, 1)).any()


def test_movements_about_the_centre():
    # a black ground around a square in the middle
    square = np.zeros((4, 28, 28, 1), np.uint8)
    square[:, 10:18, 10:18] = 200
    sets = data.battery(square, 0).sets
    for name, factor in (("smaller", 0.6), ("larger", 1.5)):
        area = sets[name].images.sum((1, 2, 3)) / square[0].sum()
        np.testing.assert_allclose(area, factor**2, rtol=0.07)
    np.testing.assert_allclose(
        sets["rotated_30"].images.sum((1, 2, 3)), square[0].sum(), rtol=0.03
    )
    for image in sets["shifted"].images[..., 0]:
        rows, columns = np.argwhere(image).mean(0) - 13.5
        assert sorted((abs(rows), abs(columns))) == [0, 7]
    # what comes in is of the border's colour
    assert (data.battery(255 - square, 0).sets["smaller"].images[:, 0] == 255).all()


def test_rotations_by_30_degrees_are_those_of_scipy():
    images = CLOTHES[:6]
    x = images[..., 0] - battery_poses.border(images)[..., 0]
    turned = kind("rotated_30")[:6, ..., 0]
    for image, ground, found in zip(x, battery_poses.border(images), turned):
        both = [
            ndimage.rotate(image, angle, reshape=False, order=1) + ground[..., 0]
            for angle in (30, -30)
        ]
        assert min(np.abs(found - b.clip(0, 255)).max() for b in both) < 1


def test_values():
    images = CLOTHES.astype(int)
    np.testing.assert_array_equal(kind("inverted"), 255 - images)
    np.testing.assert_array_equal(kind("dimmed"), images // 2)
    np.testing.assert_array_equal(kind("bright"), np.ceil(127.5 + images / 2))
    noise = kind("noisy").astype(int) - images
    inner = (images > 90) & (images < 165)  # three deviations from both ends
    assert noise[inner].std() == pytest.approx(25.5, rel=0.1)
    assert np.mean(kind("mutated") != images) == pytest.approx(0.2, abs=0.01)
    spoilt = kind("salt_and_pepper")
    spoilt = spoilt[spoilt != CLOTHES]
    assert set(spoilt) == {0, 255}
    white = np.mean((kind("salt_and_pepper") == 255) & (CLOTHES < 255))
    assert white == pytest.approx(0.01, abs=0.004)


def test_cutouts_are_squares_of_the_mean():
    for image, cut in zip(CLOTHES[..., 0], kind("cutout")[..., 0]):
        at = np.argwhere(cut != image)
        assert (np.ptp(at, 0) < 10).all()
        assert set(cut[cut != image]) == {np.rint(image.mean())}


def test_mixtures_of_two():
    images = CLOTHES.astype(int)
    for name in ("mean_of_two", "half_of_another"):
        for row, found in enumerate(kind(name)):
            if name == "mean_of_two":
                all_of_it = (images[row] + images + 1) // 2
            else:
                own = np.broadcast_to(images[row], images.shape)
                all_of_it = np.concatenate([images[:, :, :14], own[:, :, 14:]], 2)
            same = (all_of_it == found).all((1, 2, 3))
            assert same.any(), (name, row)
            assert not same[row], (name, row)


def test_scrambled_phases_keep_the_power_spectrum():
    for images in (CLOTHES[:4], COLOUR[:4]):
        streams = Streams(0, "x", range(4))
        found = battery_patterns.phase_scrambled(images, np.arange(4), streams)
        before, after = (np.abs(np.fft.fft2(x, axes=(1, 2))) for x in (images, found))
        np.testing.assert_allclose(after, before, atol=1e-6 * before.max())
        np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)))
        assert np.abs(found - images).mean() > 5
    # the same turn in all channels
    a, b = (np.fft.fft2(x, axes=(1, 2)) for x in (COLOUR[:4].astype(float), found))
    cross = [x[..., 0] * x[..., 1].conj() for x in (a, b)]
    np.testing.assert_allclose(*cross, atol=1e-6 * np.abs(cross[0]).max())


def test_patterns():
    for which in IMAGES:
        for image in kind("constant", which):
            assert (image == image[0, 0]).all()
        for image in kind("chequers", which):
            assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) == 2
            assert image.std((0, 1)).min() > 0
    for image in kind("gradients")[..., 0].astype(float):
        # second differences of a straight line, but for rounding
        for axis in (0, 1):
            assert np.abs(np.diff(image, 2, axis)).max() <= 2
        assert np.ptp(image) > 0
    edges = kind("edges")
    x = CLOTHES[3, ..., 0].astype(float)
    gradient = np.hypot(*(ndimage.sobel(x, axis, mode="nearest") for axis in (0, 1)))
    np.testing.assert_allclose(
        edges[3, ..., 0], 255 * gradient / gradient.max(), atol=0.51
    )
    assert edges.max((1, 2, 3)).min() == 255


def test_other_sets_have_a_block():
    digits = np.concatenate([CLOTHES, CLOTHES])
    others = {"mine": CLOTHES[:3], "digits": digits, "emoji": CLOTHES[::-1]}
    found = data.battery(CLOTHES, 0, others | {"sklearn_digits": CLOTHES[:5]})
    assert list(found.sets)[:4] == ["digits", "emoji", "inverted_emoji", "mine"]
    assert list(found.left_out) == ["glyphs", "saturate", "class_left_out"]
    assert "not given" in found.left_out["glyphs"]
    assert {n: len(found.sets[n].images) for n in ("digits", "mine")} == {
        "digits": len(CLOTHES),
        "mine": 3,
    }
    np.testing.assert_array_equal(
        found.sets["inverted_emoji"].images, 255 - CLOTHES[::-1]
    )
    assert "sklearn_digits" in found.of_block("kept back")
    assert not found.sets["digits"].paired
    absent = {n for n in OTHERS if n not in found.sets}
    assert absent == {"glyphs", "class_left_out"}


def test_blocks_alone():
    found = data.battery(CLOTHES, 0, blocks=("kept back",))
    assert set(found.sets) == set(KINDS["kept back"])
    assert list(found.left_out) == ["class_left_out", "sklearn_digits"]
    for name, outliers in found.of_block("kept back").items():
        np.testing.assert_array_equal(outliers, kind(name))
    assert found.of_block("seen") == {}
    with pytest.raises(ValueError, match="'unseen' is not a block"):
        found.of_block("unseen")


def test_no_kind_is_in_two_blocks():
    names = [n for kinds in KINDS.values() for n in kinds] + list(OTHERS)
    assert len(set(names)) == len(names)


def test_images_that_are_not_square():
    found = data.battery(CLOTHES[:, :20], 0)
    why = "images of 20 x 28 are not square"
    lost = {n for n, reason in found.left_out.items() if reason == why}
    assert lost == {"rotated", "rotated_270", "transposed", "antitransposed"}
    assert all(s.images.shape[1:] == (20, 28, 1) for s in found.sets.values())


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, "uint8", (CLOTHES / 255, 0)),
        (ValueError, "27 x 28 make no battery", (CLOTHES[:, :27], 0)),
        (ValueError, "6 x 6 make no battery", (CLOTHES[:, :6, :6], 0)),
        (ValueError, "channels, not 2", (np.repeat(CLOTHES, 2, 3), 0)),
        (ValueError, "give at least 2", (CLOTHES[:1], 0)),
        (ValueError, "seed must be at least 0", (CLOTHES, -1)),
        (ValueError, "'noisy', which is a kind", (CLOTHES, 0, {"noisy": CLOTHES})),
        (ValueError, "'x' is of images", (CLOTHES, 0, {"x": COLOUR})),
        (TypeError, "the set 'x'", (CLOTHES, 0, {"x": CLOTHES / 255})),
    ],
)
def test_what_makes_no_battery_is_refused(error, match, arguments):
    with pytest.raises(error, match=match):
        data.battery(*arguments)


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="'told_' is not a block"):
        data.battery(CLOTHES, 0, blocks=("told_",))
