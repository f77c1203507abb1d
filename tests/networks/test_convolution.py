"""Gradients by products of matrices are those of the convolution, and so are folds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.networks import convolution as algorithms
from flowjax_ood.networks import winograd as parts
from flowjax_ood.networks.convolution import (
    LEAST_GRADIENT_CHANNELS,
    LEAST_GRADIENT_SIZE,
    convolve,
    folded_convolution,
    with_products,
)
from flowjax_ood.precision import FLOAT32, Precision

PRODUCTS = Precision(convolution="products")


def drawn(*shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(1), len(shapes))
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes)]


def value_and_gradients(fn, x, kernel, dy):
    y, pull = jax.jit(lambda x, kernel: jax.vjp(fn, x, kernel))(x, kernel)
    return y, *pull(dy)


def direct(x, kernel):
    return convolve(x, kernel, FLOAT32)


@pytest.mark.thorough
@pytest.mark.accelerator
@pytest.mark.parametrize(
    ("size", "inputs", "outputs", "taps"),
    [
        ((14, 14), 64, 70, 3),  # the kernel's gradient is Winograd's
        ((7, 14), 32, 32, 3),  # it is not
        ((8, 12), 8, 4, 3),  # columns are folded by four
        ((5, 6), 2, 16, 3),  # by two
        ((4, 7), 3, 5, 3),  # an odd number of columns is not
        ((6, 10), 24, 2, 1),
        ((3, 2), 2, 24, 1),
    ],
)
def test_values_and_gradients_in_float64(monkeypatch, size, inputs, outputs, taps):
    # the type is no reason: what is wrong by rounding alone is seen in float64
    monkeypatch.setattr(algorithms.jnp, "float32", jnp.float64)
    with jax.enable_x64(True):
        shapes = (4, *size, inputs), (taps, taps, inputs, outputs), (4, *size, outputs)
        given = drawn(*shapes, dtype=jnp.float64)
        ours = value_and_gradients(lambda *a: convolve(*a, PRODUCTS), *given)
        expected = value_and_gradients(direct, *given)
        for a, b in zip(ours, expected):
            np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(b).max())


@pytest.mark.thorough
@pytest.mark.parametrize("images", [6, 5])
def test_in_parts_it_is_the_same(monkeypatch, images):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    shapes = (images, 9, 10, 3), (3, 3, 3, 4), (images, 9, 10, 4)
    x, kernel, dy = drawn(*shapes)
    whole = value_and_gradients(parts.winograd, x, kernel, dy)
    image = 9 * 36 * 4 * 4  # bytes of an image's tiles
    monkeypatch.setattr(parts, "PART_BYTES", 2 * image)
    jaxpr = jax.make_jaxpr(parts.kernel_gradient)(x, dy)
    loops = [e for e in jaxpr.eqns if e.primitive.name in ("scan", "while")]
    assert len(loops) == 1
    # two lanes of three images, and one of five
    assert loops[0].params["length"] == {6: 3, 5: 5}[images]
    # a new function: the old one's program is kept
    again = value_and_gradients(lambda *a: parts.winograd(*a), x, kernel, dy)
    for a, b in zip(again, whole):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("channels", "columns", "fold"),
    [
        (2, 28, 4),
        (2, 32, 16),
        (8, 28, 4),
        (8, 14, 2),
        (8, 7, 1),
        (16, 4, 2),
        (17, 4, 1),
    ],
)
def test_how_many_columns_are_folded(channels, columns, fold):
    x, kernel = drawn((1, 3, columns, channels), (3, 3, channels, channels))
    jaxpr = jax.make_jaxpr(folded_convolution)(x, kernel)
    (made,) = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert made.invars[0].aval.shape == (1, 3, columns // fold, fold * channels)


def primitives(jaxpr, found=None):
    found = set() if found is None else found
    for e in jaxpr.eqns:
        found.add(e.primitive.name)
        for value in e.params.values():
            if hasattr(value, "jaxpr"):
                primitives(value.jaxpr, found)
    return found


@pytest.mark.thorough
def test_which_gradients_are_winograds():
    def used(side, channels):
        x, kernel, dy = drawn(
            (2, side, side, channels),
            (3, 3, channels, channels),
            (2, side, side, channels),
        )
        pull = jax.vjp(with_products, x, kernel)[1]
        return "dot_general" in primitives(jax.make_jaxpr(pull)(dy).jaxpr)

    assert used(28, LEAST_GRADIENT_CHANNELS)
    assert LEAST_GRADIENT_SIZE == 14 * 14 * 64
    assert used(14, 64)
    assert not used(14, 32)
    assert not used(7, 128)


def test_a_matrix_product_of_few_channels_is_no_convolution():
    x, kernel = drawn((2, 5, 5, 7), (1, 1, 7, 3))
    found = primitives(
        jax.make_jaxpr(lambda *a: convolve(*a, PRODUCTS))(x, kernel).jaxpr
    )
    assert "conv_general_dilated" not in found
