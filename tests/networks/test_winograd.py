"""Winograd's convolution is the convolution, and is used where it should be."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from flowjax_ood.models import RealNVP
from flowjax_ood.networks.convolution import LEAST_CHANNELS, convolve
from flowjax_ood.networks.winograd import cook_toom, winograd
from flowjax_ood.precision import BFLOAT16, FLOAT32, Precision

FAST = Precision(convolution="winograd")


def direct(x, kernel):
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


def drawn(*shapes, dtype):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes)]


@pytest.mark.parametrize(("outputs", "taps"), [(2, 3), (4, 3), (3, 2)])
def test_cook_toom_is_a_correlation(outputs, taps):
    points = (0.0, 1.0, -1.0, 2.0, -0.5)[: outputs + taps - 2]
    a, g, b = cook_toom(points, outputs, taps)
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=outputs + taps - 1), rng.normal(size=taps)
    expected = np.correlate(x, k, mode="valid")
    np.testing.assert_allclose(a.T @ ((g @ k) * (b.T @ x)), expected, rtol=1e-12)


@pytest.mark.accelerator
@pytest.mark.parametrize("size", [(8, 8), (14, 14), (5, 7), (1, 3)])
def test_values_and_gradients_in_float64(size):
    with jax.enable_x64(True):
        x, kernel, dy = drawn(
            (2, *size, 3), (3, 3, 3, 4), (2, *size, 4), dtype=jnp.float64
        )

        @partial(jax.jit, static_argnums=0)
        def values(fn, x, kernel, dy):
            y, pull = jax.vjp(fn, x, kernel)
            return y, pull(dy)

        y, grads = values(winograd, x, kernel, dy)
        expected, expected_grads = values(direct, x, kernel, dy)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        for ours, theirs in zip(grads, expected_grads):
            np.testing.assert_allclose(ours, theirs, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.accelerator
def test_rounding_in_float32_is_that_of_a_few_sums():
    c = 64
    x, kernel = drawn((2, 28, 28, c), (3, 3, c, c), dtype=jnp.float32)
    kernel = kernel / np.sqrt(9 * c)  # outputs of unit variance
    with jax.enable_x64(True):
        exact = direct(x.astype(jnp.float64), kernel.astype(jnp.float64))
    error = np.asarray(jax.jit(winograd)(x, kernel), np.float64) - np.asarray(exact)
    rms = np.sqrt(np.mean(error**2))
    assert rms < 2e-6


def test_vmap_and_jit():
    x, kernels = drawn((2, 6, 6, 3), (4, 3, 3, 3, 2), dtype=jnp.float32)
    each = jnp.stack([jax.jit(winograd)(x, k) for k in kernels])
    together = jax.jit(jax.vmap(winograd, in_axes=(None, 0)))(x, kernels)
    np.testing.assert_allclose(together, each, atol=1e-5)


def primitives(fn, *args) -> set[str]:
    return {e.primitive.name for e in jax.make_jaxpr(fn)(*args).eqns}


WIDE = (3, 3, LEAST_CHANNELS, LEAST_CHANNELS)


@pytest.mark.parametrize(
    ("kernel", "dtype", "precision", "stride", "padding", "used"),
    [
        (WIDE, jnp.float32, FAST, 1, "SAME", "custom_vjp_call"),
        ((1, 1, 5, 3), jnp.float32, FAST, 1, "SAME", "dot_general"),
        (WIDE, jnp.float32, FLOAT32, 1, "SAME", "conv_general_dilated"),
        ((3, 3, 4, 64), jnp.float32, FAST, 1, "SAME", "conv_general_dilated"),
        (WIDE, jnp.float32, FAST, 2, "SAME", "conv_general_dilated"),
        (WIDE, jnp.float32, FAST, 1, "VALID", "conv_general_dilated"),
        ((5, 5, 32, 32), jnp.float32, FAST, 1, "SAME", "conv_general_dilated"),
        (
            WIDE,
            jnp.bfloat16,
            replace(BFLOAT16, convolution="winograd"),
            1,
            "SAME",
            "conv_general_dilated",
        ),
    ],
)
def test_what_is_computed_how(kernel, dtype, precision, stride, padding, used):
    x = jnp.ones((1, 8, 8, kernel[2]), dtype)
    w = jnp.ones(kernel, dtype)

    def fn(x, w):
        return convolve(x, w, precision, stride, padding)

    found = primitives(fn, x, w)
    assert used in found
    assert ("conv_general_dilated" in found) == (used == "conv_general_dilated")


@pytest.mark.thorough
def test_a_flow_has_the_same_likelihood_and_gradient():
    args = {"scales": 1, "couplings": 2, "width": LEAST_CHANNELS, "blocks": 1}
    shape = (8, 8, 1)
    x = jax.random.uniform(jax.random.key(0), (3, *shape))
    plain = RealNVP(shape, **args)
    fast = RealNVP(shape, **args, precision=FAST)
    variables = plain.init(jax.random.key(1), x)

    def loss(flow, params):
        given = {**variables, "params": params}
        log_prob, _ = flow.apply(given, x, mutable=["batch_stats"])
        return jnp.mean(log_prob)

    expected, expected_grad = jax.jit(jax.value_and_grad(partial(loss, plain)))(
        variables["params"]
    )
    value, grad = jax.jit(jax.value_and_grad(partial(loss, fast)))(variables["params"])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(grad), jax.tree.leaves(expected_grad)):
        np.testing.assert_allclose(a, b, atol=2e-5 * max(1.0, np.abs(b).max()))


def test_another_algorithm_is_refused():
    with pytest.raises(ValueError, match="unknown convolution 'fft'; known: direct, w"):
        Precision(convolution="fft")


def test_an_empty_batch_has_an_empty_answer():
    kernel = jnp.ones((3, 3, 32, 64))
    assert winograd(jnp.zeros((0, 8, 8, 32)), kernel).shape == (0, 8, 8, 64)
