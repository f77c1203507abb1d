"""One law for each kind of corruption: against a reference, or by hand."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from flowjax_ood import data
from flowjax_ood.data.corruptions import SEVERITIES, corrupt
from flowjax_ood.data.corruptions.blur import disk, streak, zoom
from flowjax_ood.data.corruptions.parameters import SMALL_IMAGES, parameters
from flowjax_ood.data.corruptions.weather import plasma
from flowjax_ood.data.random import Streams

GREY = data.load("fashion_mnist:test", source="embedded", limit=60)
COLOUR = data.load("synthetic_rgb", source="synthetic", limit=60)
LARGE = data.load("synthetic_rgb", source="synthetic", limit=4, image_size=96)
SETS = {"grey": GREY, "colour": COLOUR, "large": LARGE}


def argument(kind, severity, side=28):
    return parameters(kind, severity, side)[0]


PLAIN = np.full((40, 32, 32, 1), 128, np.uint8)
X = 128 / 255


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        ("gaussian_noise", lambda c: c**2),
        ("shot_noise", lambda c: X / c),
        ("speckle_noise", lambda c: (X * c) ** 2),
    ],
)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_moments_of_noise(kind, variance, severity):
    expected = variance(argument(kind, severity))
    values = corrupt(PLAIN, kind, severity) / 255
    assert values.mean() == pytest.approx(X, abs=0.002)
    # 1/12 of a level squared is added by rounding to whole levels
    assert values.var() == pytest.approx(expected + 255**-2 / 12, rel=0.03)


def test_impulses_are_black_and_white_in_equal_parts():
    amount = argument("impulse_noise", 5)
    found = corrupt(PLAIN, "impulse_noise", 5)
    assert set(np.unique(found)) == {0, 128, 255}
    for value in (0, 255):
        assert (found == value).mean() == pytest.approx(amount / 2, rel=0.1)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_blur_is_that_of_scipy(severity):
    sigma = argument("gaussian_blur", severity)
    blurred = corrupt(COLOUR.images, "gaussian_blur", severity)
    for image, found in zip(COLOUR.images, blurred):
        expected = ndimage.gaussian_filter(
            image.astype(float), (sigma, sigma, 0), mode="nearest"
        )
        np.testing.assert_allclose(found, expected, atol=0.501)


def test_defocus_is_a_convolution_with_a_disk():
    for radius, softness in ((0.3, 0.4), (1, 0.2), (1.5, 0.1), (10, 0.5)):
        kernel = disk(radius, softness)
        assert kernel.sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel, kernel[::-1])
    disk_of_13 = np.array(
        [[abs(i) ** 2 + abs(j) ** 2 <= 4 for i in range(-3, 4)] for j in range(-3, 4)]
    )
    np.testing.assert_allclose(disk(2, 0.05), disk_of_13 / 13, atol=1e-6)
    kernel = disk(*parameters("defocus_blur", 5, 28))[..., None]
    for image, found in zip(GREY.images, corrupt(GREY.images, "defocus_blur", 5)):
        expected = ndimage.correlate(image.astype(float), kernel, mode="mirror")
        np.testing.assert_allclose(found, expected, atol=0.501)


def test_glass_shuffles_pixels_nearby():
    # sigma 0.05: the blurs do nothing, so the values are those of before
    found = corrupt(GREY.images, "glass_blur", 1)
    for before, after in zip(GREY.images, found):
        assert (before != after).any()
        np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(after, None))


def test_a_streak_runs_along_its_angle():
    dot = np.zeros((3, 21, 21, 1), np.float32)
    dot[:, 10, 10] = 1
    found = streak(dot, np.array([0, np.pi / 2, np.pi / 4]), radius=6, sigma=2)[..., 0]
    np.testing.assert_allclose(found.sum((1, 2)), 1, rtol=1e-6)
    # to the right: what is at p + i d comes to p
    assert (found[0, 10, 2:11] > 0).all()
    assert (np.diff(found[0, 10, 2:11]) > 0).all()
    assert found[0].sum() == pytest.approx(found[0, 10, 2:11].sum())
    np.testing.assert_array_equal(found[1], found[0].T)
    diagonal = np.diagonal(found[2])
    assert found[2].sum() == pytest.approx(diagonal.sum())
    assert np.count_nonzero(diagonal) == np.rint(8 * np.sqrt(0.5)) + 1


def test_motion_is_mostly_sideways():
    found = corrupt(COLOUR.images, "motion_blur", 5).astype(float)
    across, along = (np.diff(found, axis=a).var() for a in (2, 1))
    before = COLOUR.images.astype(float)
    first = np.diff(before, axis=2).var() / np.diff(before, axis=1).var()
    assert across / along < 0.9 * first


def test_zoom_keeps_lines_and_enlarges():
    ramp = np.linspace(-1, 1, 9, dtype=np.float32)
    for axis in (1, 2):
        shape = [9 if a == axis else 1 for a in range(4)]
        x = np.broadcast_to(ramp.reshape(shape), (1, 9, 9, 1)).copy()
        np.testing.assert_allclose(zoom(x, 1.5), x / 1.5, atol=1e-6)
    np.testing.assert_array_equal(zoom(x, 1), x)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_is_a_mean_of_zooms(severity):
    last = {1: 1.06, 2: 1.11, 3: 1.15, 4: 1.2, 5: 1.25}[severity]
    factors = np.arange(1, last + 0.005, 0.01)
    x = GREY.images[:5] / np.float32(255)
    expected = np.mean([x, *(zoom(x, factor) for factor in factors)], axis=0)
    found = corrupt(GREY.images[:5], "zoom_blur", severity)
    np.testing.assert_allclose(found, 255 * expected, atol=0.502)


def test_snow_falls_and_pales():
    dark = np.full((20, 32, 32, 1), 20, np.uint8)
    found = corrupt(dark, "snow", 4).astype(float)
    np.testing.assert_array_less(19.5, found)  # nothing gets darker
    down, sideways = (np.abs(np.diff(found, axis=a)).mean() for a in (1, 2))
    assert down < sideways
    # without a flake: 0.85 x + 0.15 (1.5 x + 0.5)
    level = 255 * (0.85 * 20 / 255 + 0.15 * (1.5 * 20 / 255 + 0.5))
    assert found.min() == pytest.approx(level, abs=0.5)


def test_frost_adds_ice_to_a_fading_picture():
    black, white = np.zeros((8, 28, 28, 1), np.uint8), np.full((8, 28, 28, 1), 255)
    keep, cover = parameters("frost", 5, 28)
    ice = corrupt(black, "frost", 5) / 255 / cover
    assert 0.1 < ice.min() < ice.max() <= 1
    assert ice.std(axis=(1, 2)).min() > 0.03
    over = corrupt(white.astype(np.uint8), "frost", 5) / 255
    np.testing.assert_allclose(over, np.minimum(keep + cover * ice, 1), atol=0.005)


def test_fog_lies_between_the_picture_and_the_clouds():
    found = corrupt(GREY.images, "fog", 5)
    brightest = GREY.images.max(axis=(1, 2, 3))
    assert (found.max(axis=(1, 2, 3)) <= brightest).all()
    assert (found.min(axis=(1, 2, 3)) > 0).any()  # clothing lies on pure black
    black = np.zeros((2, 28, 28, 1), np.uint8)
    np.testing.assert_array_equal(corrupt(black, "fog", 5), black)


def test_plasma_spans_0_to_1_and_is_smooth():
    streams = Streams(0, "plasma", range(30))
    smooth = plasma(streams, 32, 32, roughness=0.1)
    rough = plasma(streams, 32, 32, roughness=0.9)
    for relief in (smooth, rough):
        np.testing.assert_array_equal(relief.min((1, 2)), 0)
        np.testing.assert_allclose(relief.max((1, 2)), 1, rtol=1e-6)
    steps = [np.abs(np.diff(p, axis=a)).mean() for p in (smooth, rough) for a in (1, 2)]
    assert max(steps[:2]) < 0.1 < min(steps[2:])
    # neither direction is favoured
    assert steps[2] == pytest.approx(steps[3], rel=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_is_added_to_grey(severity):
    amount = argument("brightness", severity)
    found = corrupt(GREY.images, "brightness", severity) / 255
    expected = np.minimum(GREY.images / 255 + amount, 1)
    np.testing.assert_allclose(found, expected, atol=0.501 / 255)


def test_brightness_of_colour_keeps_hue_and_saturation():
    found = corrupt(COLOUR.images, "brightness", 3) / 255
    before = COLOUR.images / 255
    value = before.max(axis=3)
    np.testing.assert_allclose(
        found.max(axis=3), np.minimum(value + 0.15, 1), atol=0.501 / 255
    )
    bright = value > 0.3
    ratio = (found.max(axis=3) / value)[bright]
    np.testing.assert_allclose(
        found[bright], before[bright] * ratio[:, None], atol=0.01
    )
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert set(np.unique(corrupt(black, "brightness", 3))) == {38}


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_keeps_means_and_shrinks_deviations(severity):
    before = COLOUR.images.astype(float)
    after = corrupt(COLOUR.images, "contrast", severity).astype(float)
    space = (1, 2)
    # half a level: where the factor is 1/2, all halves may round the same way
    np.testing.assert_allclose(after.mean(space), before.mean(space), atol=0.5)
    factor = argument("contrast", severity)
    expected = before.mean(space, keepdims=True) * (1 - factor) + factor * before
    np.testing.assert_allclose(after, expected, atol=0.501)


def test_saturation_is_that_of_hsv_and_grey_stays_grey():
    def saturation(images):
        high, low = images.max(3).astype(float), images.min(3).astype(float)
        return (high - low) / np.maximum(high, 1)

    clear = COLOUR.images.max(3) > 100  # where rounding says little
    before = saturation(COLOUR.images)
    for severity, (factor, plus) in enumerate(SMALL_IMAGES["saturate"], 1):
        found = corrupt(COLOUR.images, "saturate", severity)
        np.testing.assert_array_equal(found.max(3), COLOUR.images.max(3))
        expected = np.minimum(factor * before + plus, 1)
        expected[before == 0] = 0
        np.testing.assert_allclose(
            saturation(found)[clear], expected[clear], atol=0.011
        )
    grey = data.to_rgb(GREY.images)
    np.testing.assert_array_equal(corrupt(grey, "saturate", 5), grey)


def test_spatter_is_water_then_mud():
    dark, light = (np.full((20, 32, 32, 3), v, np.uint8) for v in (40, 220))
    water = corrupt(dark, "spatter", 3).astype(int) - 40
    assert water.min() >= 0
    red, green, blue = water.reshape(-1, 3).sum(0)
    assert green == blue > red  # pale turquoise
    mud = corrupt(light, "spatter", 5)
    assert mud.max() == 220
    covered = (mud != 220).any(3)
    assert 0.005 < covered.mean() < 0.3
    assert (mud[covered] @ [1, -1, 0] > 0).all()  # brown: more red than green


def test_elastic_shifts_shrink_while_its_waves_grow():
    """The centre of mass moves less, straight edges are less straight."""
    bar = np.zeros((40, 32, 32, 1), np.uint8)
    bar[:, :, 16:] = 255
    moved, bent = [], []
    for severity in SEVERITIES:
        edge = 32 - corrupt(bar, "elastic_transform", severity).sum(2)[..., 0] / 255
        edge = edge[:, 8:24]
        slope = np.diff(edge, axis=1)
        moved.append(edge.mean(1).std())
        bent.append(np.diff(slope, axis=1).std())
    assert (np.diff(moved) < 0).all(), moved
    assert (np.diff(bent[1:]) > 0).all(), bent
    assert bent[4] > 5 * bent[0]


@pytest.mark.parametrize("images", SETS)
@pytest.mark.parametrize("severity", [1, 5])
def test_jpeg_is_a_round_trip_through_pil(images, severity):
    before = SETS[images].images[:4]
    quality = argument("jpeg_compression", severity, before.shape[1])
    for image, found in zip(before, corrupt(before, "jpeg_compression", severity)):
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).reshape(image.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("images", SETS)
@pytest.mark.parametrize("severity", [1, 5])
def test_pixelate_is_pil_to_few_pixels_and_back(images, severity):
    before = SETS[images].images[:4]
    side = before.shape[1]
    few = int(side * argument("pixelate", severity, side))
    for image, found in zip(before, corrupt(before, "pixelate", severity)):
        picture = Image.fromarray(image.squeeze()).resize((few, few), Image.BOX)
        expected = np.asarray(picture.resize((side, side), Image.BOX))
        np.testing.assert_array_equal(found, expected.reshape(image.shape))
