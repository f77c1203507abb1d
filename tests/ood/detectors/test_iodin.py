"""i-ODIN by the published formula, in float64 NumPy."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import IODIN, ODIN, Network
from tests.helpers import blobs, numpy_blobs

NET = blobs.NETWORK


def by_hand(x, magnitude, temperature, values):
    z = numpy_blobs.forward(x)[2] / temperature
    # of the cross-entropy of the predicted class
    dz = (special.softmax(z, axis=1) - np.eye(3)[z.argmax(1)]) / temperature
    g = numpy_blobs.backward(x, dz)[2].reshape(len(x), -1)
    moved = np.float64(x).reshape(len(x), -1)
    for row, gradient in zip(moved, g):
        largest = np.argsort(-np.abs(gradient))[:values]
        row[largest] -= magnitude * np.where(gradient[largest] >= 0, 1, -1)
    z = numpy_blobs.forward(moved.reshape(x.shape))[2] / temperature
    return special.logit(special.softmax(z, axis=1).max(1))


@pytest.mark.parametrize(("temperature", "values"), [(1000.0, 1), (1.0, 3)])
def test_score(temperature, values):
    x = np.concatenate([blobs.between(20), blobs.grey(20)])
    fitted = IODIN(0.1, temperature, values).fit(NET)
    expected = by_hand(x, 0.1, temperature, values)
    np.testing.assert_allclose(fitted.score(x), expected, rtol=1e-4, atol=1e-6)
    assert blobs.area(fitted, blobs.grey()) > 0.9


@pytest.mark.thorough
def test_of_all_values_it_is_odin():
    x = blobs.between(20)
    fitted = IODIN(0.05, 10.0, 16).fit(NET)
    expected = ODIN((0.05,), (10.0,)).fit(NET).score(x)
    np.testing.assert_allclose(fitted.score(x), expected, rtol=1e-5, atol=1e-7)


def test_the_largest_gradient_is_by_normalised_pixels():
    """Gradients of three channels are 1, 3, 2, and 10, 3, 8 in units of std."""
    slopes = np.float32([1, 3, 2])

    def apply(_, x):
        first = jnp.sum(x * slopes, axis=(1, 2, 3))
        return {}, jnp.stack([first, 0 * first], axis=1)

    network = Network(apply, mean=(0.5,) * 3, std=(1.0, 0.1, 0.4))
    x = np.full((1, 1, 1, 3), 0.5, np.float32)
    # of the first channel, which the second has over in pixels
    expected = 3.0 + 0.01 * np.array([1, 0, 0]) @ slopes
    assert np.isclose(IODIN(0.01, 1.0).fit(network).score(x)[0], expected, atol=1e-5)
    alike = replace(network, std=(1.0, 1.0, 1.0))
    assert np.isclose(IODIN(0.01, 1.0).fit(alike).score(x)[0], 3.03, atol=1e-5)


def test_published_settings_and_errors():
    assert (IODIN().magnitude, IODIN().temperature, IODIN().values) == (0.0014, 1000, 1)
    for wrong in ({"values": 0}, {"temperature": 0}, {"magnitude": -1}):
        with pytest.raises(ValueError, match=rf"IODIN: {next(iter(wrong))} must be"):
            IODIN(**wrong)
    tokens = Network(lambda _, x: ({}, x * 1.0))
    with pytest.raises(TypeError, match=r"i-ODIN changes its input.*int"):
        IODIN().fit(tokens).score(np.zeros((3, 4), int))
