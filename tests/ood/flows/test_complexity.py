"""Code lengths against the coders themselves, and the scores made of them."""

import io
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, features
from scipy.stats import multivariate_normal

from flowjax_ood import ood
from flowjax_ood.ood.flows.code_lengths import CODERS
from tests.helpers.scored_flows import gaussian_flow, image_flow, images, vector_flow

NOISE = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def flow():
    return image_flow()


def coarse(count, seed=0):
    """Images of four levels: with all, 8 x 8 pixels are as long as noise."""
    return images(count, seed) // 64 * 64


@pytest.fixture(scope="module")
def train(flow):
    return flow.collect(coarse(60))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("coder", ["png", "webp"])
def test_codes_of_pictures_lose_nothing(coder, channels):
    x = images(3, channels=channels)
    options = {
        "png": {"compress_level": 9},
        "webp": {"lossless": True, "quality": 80, "method": 4, "exact": True},
    }
    for image, bits in zip(x, ood.code_length(x, coder), strict=True):
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, format=coder, **options[coder])
        assert bits == 8 * len(file.getvalue())
        with Image.open(file) as opened:
            back = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
        np.testing.assert_array_equal(back, image.squeeze())


def test_differences_are_those_of_left_neighbours():
    x = images(3, channels=3)
    for image, bits in zip(x, ood.code_length(x, "difference"), strict=True):
        rows = image.astype(int)
        left = np.concatenate([np.zeros((8, 1, 3), int), rows[:, :-1]], 1)
        code = zlib.compress(((rows - left) % 256).astype(np.uint8).tobytes(), 9)
        assert bits == 8 * len(code)
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 1, 1))
    plain, difference = (
        ood.code_length(ramp[None], coder) for coder in ("zlib", "difference")
    )
    assert difference < plain / 2


@pytest.mark.parametrize("coder", CODERS)
def test_noise_is_longest_and_codes_belong_to_the_image(coder):
    x = np.concatenate([NOISE, np.zeros((1, 8, 8, 1), np.uint8), coarse(4)])
    bits = ood.code_length(x, coder)
    assert bits.dtype == np.float64
    # incompressible: at least its own 512 bits, and a header
    assert (bits[:4] >= 512).all()
    assert bits[4] < bits[5:].min() <= bits[5:].max() < bits[:4].min()
    np.testing.assert_array_equal(ood.code_length(x[::-1], coder), bits[::-1])
    turned = ood.code_length(np.asfortranarray(x), coder)
    np.testing.assert_array_equal(turned, bits)


@pytest.mark.thorough
@pytest.mark.parametrize("coder", CODERS)
def test_input_complexity_adds_nats(flow, train, coder):
    score = ood.InputComplexity(coder)
    assert score.name == f"input complexity ({coder})"
    got = score.fit(flow).score_outputs(train)
    bits = ood.code_length(train.events, coder)
    np.testing.assert_allclose(got, train.log_prob + np.log(2) * bits, rtol=1e-12)


def test_one_component_is_a_gaussian_of_both(flow, train):
    fitted = ood.ComplexityMixture("zlib", components=1).fit(
        flow, ood.Given(train=train)
    )
    others = flow.collect(coarse(9, seed=1))

    def of(outputs):
        bits = ood.code_length(outputs.events, "zlib")
        return np.stack([outputs.latent_log_prob, bits], 1)

    t = of(train)
    mean, std = t.mean(0), t.std(0, ddof=1)
    unit = (t - mean) / std
    covariance = unit.T @ unit / len(t) + 1e-3 * np.eye(2)
    law = multivariate_normal(np.zeros(2), covariance).logpdf((of(others) - mean) / std)
    np.testing.assert_allclose(fitted.score_outputs(others), law, rtol=1e-8)


def test_more_components_fit_training_no_worse_and_seeds_repeat(flow, train):
    given = ood.Given(train=train, seed=3)
    one, five, again = (
        ood.ComplexityMixture(components=k).fit(flow, given).score_outputs(train)
        for k in (1, 5, 5)
    )
    assert five.mean() > one.mean()
    np.testing.assert_array_equal(five, again)


def test_without_webp_the_default_is_zlib_and_says_so(flow, monkeypatch):
    assert ood.InputComplexity().name == "input complexity (webp)"
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    assert ood.InputComplexity().name == "input complexity (zlib)"
    with pytest.raises(ValueError, match="built without WebP"):
        ood.InputComplexity("webp").fit(flow)
    with pytest.raises(ValueError, match="take 'png' or 'zlib'"):
        ood.code_length(NOISE, "webp")


@pytest.mark.parametrize(
    ("x", "coder", "error", "message"),
    [
        (NOISE, "flif", ValueError, "unknown coder 'flif'; known: png"),
        (NOISE.astype(np.uint16), "png", TypeError, "got uint16"),
        (NOISE[0], "png", ValueError, r"\[N, H, W, C\]"),
        (NOISE[:0], "zlib", ValueError, r"got \[0, 8, 8, 1\]"),
        (NOISE.reshape(4, 8, 4, 2), "webp", ValueError, "take 'zlib'"),
    ],
)
def test_bad_images_and_coders_are_refused(x, coder, error, message):
    with pytest.raises(error, match=message):
        ood.code_length(x, coder)


def test_what_cannot_be_fitted_is_refused(flow, train):
    with pytest.raises(ValueError, match=r"coder must be one of png.*got 'flif'"):
        ood.InputComplexity("flif")
    with pytest.raises(ValueError, match="score of images"):
        ood.InputComplexity().fit(vector_flow())
    with pytest.raises(ValueError, match="score of images"):
        ood.ComplexityMixture().fit(gaussian_flow())
    score = ood.ComplexityMixture()
    with pytest.raises(ValueError, match="reference images"):
        score.fit(flow)
    with pytest.raises(ValueError, match=r"needs 20 reference images.*got 19"):
        score.fit(flow, ood.Given(train=train.rows(slice(19))))
    same = replace(train, events=np.zeros_like(train.events))
    with pytest.raises(ValueError, match="the code length of all 60"):
        score.fit(flow, ood.Given(train=same))
    broken = train.rows(slice(3))
    broken.log_pz[1] = np.nan
    with pytest.raises(ValueError, match="number 1"):
        score.fit(flow, ood.Given(train=train)).score_outputs(broken)
