"""Explanations: exact on linear networks, complete on smooth ones."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.ood import Network, explanation
from tests.helpers import blobs

RNG = np.random.default_rng(0)
SHAPE, CLASSES = (8, 8, 2), 3
W = RNG.normal(size=(128, CLASSES)).astype(np.float32)
B = RNG.normal(size=CLASSES).astype(np.float32)
X = RNG.integers(0, 256, (40, *SHAPE), np.uint8)
LINEAR = Network(lambda _, x: ({}, x.reshape(len(x), -1) @ W + B))


def smooth_logits(x):
    h = jnp.tanh(x.reshape(len(x), -1) @ (W / 4))
    return h @ W[:CLASSES, :CLASSES] + 3 * jnp.sin(h)


SMOOTH = Network(lambda _, x: ({}, smooth_logits(x)))


def test_of_a_linear_network_it_is_the_weight_times_the_pixel():
    x = np.float64(X) / 255
    predicted = (x.reshape(40, -1) @ np.float64(W) + B).argmax(1)
    added = x * W.T[predicted].reshape(40, *SHAPE)
    # 4 x 4 parts of 2 x 2 pixels, of both channels together
    expected = np.zeros((40, 4, 4))
    for i in range(8):
        for j in range(8):
            expected[:, i // 2, j // 2] += added[:, i, j].sum(1) / 4
    found = explanation(LINEAR, X, "gradient_input", 4)
    np.testing.assert_allclose(found, expected.reshape(40, 16), rtol=1e-4, atol=1e-5)
    # pixels as floats in [0, 1] are the same images, in any batches
    again = explanation(LINEAR, np.float32(x), grid=4, batch_size=7)
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)
    # one part is the whole image, and from black "integrated" is the same
    black = np.zeros(SHAPE, np.float32)
    whole = explanation(LINEAR, X, "integrated", 1, baseline=black, points=3)
    np.testing.assert_allclose(whole[:, 0], found.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("points", "tolerance"), [(64, 1e-3), (1, None)])
def test_integrated_sums_to_what_the_logit_gained(points, tolerance):
    """Of one point it does not: the law would notice."""
    baseline = np.float32(X.mean(0) / 255)
    at = explanation(SMOOTH, X, "integrated", 2, baseline=baseline, points=points)
    z, z0 = (
        np.asarray(smooth_logits(jnp.asarray(x)), np.float64)
        for x in (
            np.float32(X) / 255,
            baseline[None],
        )
    )
    predicted = z.argmax(1)
    gained = z[np.arange(40), predicted] - z0[0, predicted]
    # 4 parts of 16 pixels
    away = np.abs(16 * np.float64(at).sum(1) - gained).max()
    assert away < tolerance if tolerance else away > 0.05


def test_by_the_head_it_is_the_feature_times_its_weight():
    z, f, _ = blobs.NETWORK.collect(blobs.TEST)
    found = explanation(blobs.NETWORK, blobs.TEST, "head")
    expected = np.float64(f) * np.float64(blobs.W).T[z.argmax(1)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.sum(1) + blobs.B[z.argmax(1)], z.max(1), rtol=1e-4, atol=1e-4
    )


def test_what_cannot_be_explained():
    for said, arguments in {
        "unknown explanation 'lime'; known: gradient_input": ("lime",),
        "grid=3 does not divide images of 8 x 8": ("gradient_input", 3),
        "grid must be at least 1": ("gradient_input", 0),
        r"baseline of the shape \(8, 8, 2\), got None": ("integrated", 2),
        r'"head" needs network\.head': ("head",),
    }.items():
        with pytest.raises(ValueError, match=said):
            explanation(LINEAR, X, *arguments)
    with pytest.raises(ValueError, match=r"got \(4, 4, 2\): give the mean"):
        explanation(LINEAR, X, "integrated", 2, baseline=np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match=r"images \[N, H, W, C\], got shape \(40, 128"):
        explanation(LINEAR, X.reshape(40, -1))
    with pytest.raises(TypeError, match="int64 values have not"):
        explanation(LINEAR, X.astype(int), grid=4)
    with pytest.raises(TypeError, match="no function `apply`"):
        explanation(replace(LINEAR, apply=None), X, grid=4)
