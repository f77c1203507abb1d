"""2-d convolution, by the algorithm that a `Precision` asks for."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.networks.winograd import (
    TAPS,
    kernel_gradient,
    transposed,
    winograd,
)
from flowjax_ood.precision import Precision

# with fewer channels the transforms cost more than they save
LEAST_CHANNELS = 32
# of a kernel's gradient by Winograd: channels, and numbers in an image's activations
LEAST_GRADIENT_CHANNELS, LEAST_GRADIENT_SIZE = 24, 14 * 14 * 64
# XLA's convolution on CPU computes as much in a second from so many channels on
FULL_CHANNELS = 32


def convolve(
    x: jax.Array, kernel: jax.Array, precision: Precision, stride=1, padding="SAME"
) -> jax.Array:
    """`[B, H, W, I]` with `[h, w, I, O]`, both in the dtype to compute in.

    `precision.convolution` says how float32 convolutions of stride 1 are computed that
    are large enough for it; all others are XLA's own in any case.
    """
    how = precision.convolution
    plain = stride == 1 and padding == "SAME" and x.dtype == jnp.float32
    if how != "direct" and plain:
        *size, inputs, outputs = kernel.shape
        if size == [1, 1]:
            flat = x.reshape(-1, inputs)
            y = jnp.matmul(flat, kernel[0, 0], precision=precision.multiply)
            return y.reshape(*x.shape[:-1], outputs)
        if size == [TAPS, TAPS] and how == "products":
            return with_products(x, kernel)
        if size == [TAPS, TAPS] and min(inputs, outputs) >= LEAST_CHANNELS:
            return winograd(x, kernel)
    return _convolution(x, kernel, precision.multiply, stride, padding)


def _convolution(x, kernel, multiply=lax.Precision.HIGHEST, stride=1, padding="SAME"):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=multiply,
    )


@jax.custom_vjp
def with_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[B, H, W, I]` with `[3, 3, I, O]`: XLA's own, its gradients for CPUs.

    XLA on CPU is fast forward, and two to four times as slow in the gradient of the
    kernel of large images, which is Winograd's here. Few channels are folded. Exact but
    for rounding. Differentiable once, in reverse mode.
    """
    return folded_convolution(x, kernel)


def _forward(x, kernel):
    return with_products(x, kernel), (x, kernel)


def _backward(kept, dy):
    x, kernel = kept
    dx = folded_convolution(dy, transposed(kernel))
    _, h, w, inputs = x.shape
    least = min(inputs, dy.shape[-1])
    if least >= LEAST_GRADIENT_CHANNELS and h * w * least >= LEAST_GRADIENT_SIZE:
        return dx, kernel_gradient(x, dy)
    (of_kernel,) = jax.linear_transpose(lambda k: _convolution(x, k), kernel)(dy)
    return dx, of_kernel


with_products.defvjp(_forward, _backward)


def folded_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[B, H, W, I]` with `[3, 3, I, O]`; few channels take in neighbouring columns.

    `[H, W, I]` is in memory what `[H, W / f, f I]` is, and a kernel with zeros does the
    same to it. That is more to multiply, in less time where XLA's loops would be over a
    few channels.
    """
    _, _, width, inputs = x.shape
    outputs, fold = kernel.shape[3], 1
    while max(inputs, outputs) * fold * 2 <= FULL_CHANNELS and width % (fold * 2) == 0:
        fold *= 2
    if fold == 1:
        return _convolution(x, kernel)
    wide = jnp.einsum("ncvd,adio->ancivo", _columns(fold), kernel, precision="highest")
    wide = wide.reshape(TAPS, TAPS, fold * inputs, fold * outputs)
    y = _convolution(x.reshape(*x.shape[:2], width // fold, fold * inputs), wide)
    return y.reshape(*x.shape[:-1], outputs)


def _columns(fold: int) -> np.ndarray:
    """Which tap d joins column c of neighbour n to output column v: `[3, f, f, 3]`."""
    n, c, v, d = np.ogrid[:TAPS, :fold, :fold, :TAPS]
    return ((n - 1) * fold + c - v + 1 == d).astype(np.float32)
