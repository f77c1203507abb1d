"""The Haar wavelet by its formula; that it inverts is in `test_laws.py`."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Haar, haar_forward, haar_inverse

X = np.random.default_rng(0).normal(size=(3, 4, 6, 8)).astype(np.float32)


def halves(a, b):
    return (a + b) / np.sqrt(2), (a - b) / np.sqrt(2)


def test_planes_are_paired_with_their_neighbours():
    coarse, details = halves(X[..., 0::2].astype(float), X[..., 1::2].astype(float))
    z = haar_forward(jnp.asarray(X), "channel")
    np.testing.assert_allclose(z[..., :4], coarse, atol=1e-6)
    np.testing.assert_allclose(z[..., 4:], details, atol=1e-6)


def test_blocks_of_four_pixels_become_a_mean_and_three_differences():
    x = X.astype(float)
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    expected = [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
    z = haar_forward(jnp.asarray(X), "space")
    np.testing.assert_allclose(z, np.concatenate(expected, -1) / 2, atol=1e-6)


@pytest.mark.parametrize("axis", ["channel", "space"])
def test_energy_is_kept_and_float32_inverts(axis):
    z = np.asarray(haar_forward(jnp.asarray(X), axis))
    energy = (X.astype(float) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose((z.astype(float) ** 2).sum((1, 2, 3)), energy, rtol=1e-6)
    np.testing.assert_allclose(haar_inverse(jnp.asarray(z), axis), X, atol=1e-6)


@pytest.mark.parametrize("axis", ["channel", "space"])
def test_a_constant_has_no_details(axis):
    bijector = Haar(axis)
    z, logdet = bijector.apply({}, jnp.full((2, 4, 4, 4), 0.3))
    coarse = bijector.coarse_channels(z.shape[-1])
    assert coarse == {"channel": 2, "space": 4}[axis]
    scale = {"channel": np.sqrt(2), "space": 2}[axis]
    np.testing.assert_allclose(z[..., :coarse], 0.3 * scale, rtol=1e-6)
    np.testing.assert_array_equal(z[..., coarse:], 0)
    np.testing.assert_array_equal(logdet, 0)


@pytest.mark.parametrize(
    ("axis", "shape", "message"),
    [
        ("channel", (4, 4, 3), "cannot pair 3 channels.*fewer levels"),
        ("space", (5, 4, 2), "cannot pair 5x4 pixels.*fewer levels"),
        ("channel", (4,), "takes images"),
    ],
)
def test_what_cannot_be_paired_is_named(axis, shape, message):
    with pytest.raises(ValueError, match=message):
        Haar(axis).latent_shape(shape)
    with pytest.raises(ValueError, match=message):
        Haar(axis).apply({}, jnp.zeros((1, *shape)))


def test_other_bad_input():
    with pytest.raises(ValueError, match="unknown axis 'depth'; known: channel, space"):
        Haar("depth")
    with pytest.raises(ValueError, match="6 channels: not a multiple of 4"):
        Haar("space").apply({}, jnp.zeros((1, 2, 2, 6)), method="inverse")
