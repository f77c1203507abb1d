"""Depthwise convolution as shifted multiply-adds."""

import jax
import jax.numpy as jnp


def depthwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`y[b, h, w, c] = sum_ij x[b, h s + i, w s + j, c] kernel[i, j, c]`, "SAME".

    `x [B, H, W, C]`, `kernel [k, k, C]`, s the stride; y is `[B, ceil(H/s),
    ceil(W/s), C]`. Zeros are padded as TensorFlow does: of an odd number of rows or
    columns, the larger half goes to the end.

    The same sums as a convolution with one group a channel, written as k * k products
    of whole images: on CPU, XLA runs a grouped convolution as many tiny ones, 7 to 55
    times slower than this; elsewhere it is one fused loop.
    """
    taps = kernel.shape[0]
    out, padding = zip(*(_same(size, taps, stride) for size in x.shape[1:3]))
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    # where the last window begins, and one more
    rows, columns = ((size - 1) * stride + 1 for size in out)
    return sum(
        x[:, i : i + rows : stride, j : j + columns : stride] * kernel[i, j]
        for i in range(taps)
        for j in range(taps)
    )


def _same(size: int, taps: int, stride: int) -> tuple[int, tuple[int, int]]:
    """Size of the output, and the zeros (before, after) that it needs."""
    out = -(-size // stride)
    zeros = max((out - 1) * stride + taps - size, 0)
    return out, (zeros // 2, zeros - zeros // 2)
