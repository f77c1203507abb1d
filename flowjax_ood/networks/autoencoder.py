"""The convolutional auto-encoder st-network: everything passes a few numbers."""

from typing import Any

import flax.linen as nn
import jax
from jax import lax

from flowjax_ood.networks.layers import Dense, convolve, uniform_fan_in

KERNEL = 4
WIDTHS = (32, 64, 64, 128)


def sizes(size: int, stride: int) -> list[int]:
    """Height or width after each of the encoder's convolutions, input first."""
    out = [size]
    for step in (1, 1, stride, stride):
        out.append((out[-1] - KERNEL) // step + 1)
    return out


class Conv(nn.Module):
    """Unpadded 4x4 convolution with bias, or its transpose; torch's initial values."""

    features: int
    stride: int = 1
    transpose: bool = False
    zero_init: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        # torch counts the fan-in of a transposed convolution over its outputs
        channels = self.features if self.transpose else x.shape[-1]
        init = uniform_fan_in(KERNEL * KERNEL * channels)
        if self.zero_init:
            init = nn.initializers.zeros
        shape = (KERNEL, KERNEL, x.shape[-1], self.features)
        dtype = self.dtype or x.dtype
        kernel = self.param("kernel", init, shape).astype(dtype)
        bias = self.param("bias", init, (self.features,)).astype(dtype)
        x = x.astype(dtype)
        if not self.transpose:
            return convolve(x, kernel, self.stride, "VALID") + bias
        strides = (self.stride, self.stride)
        numbers = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_transpose(x, kernel, strides, "VALID", dimension_numbers=numbers)
        return y + bias


class Autoencoder(nn.Module):
    """Four convolutions, a linear map to `latent_dim` numbers, and the way back.

    No normalisation, leaky ReLU (0.01), stride `W // 14` in the inner convolutions.
    Needs images of at least 14 x 14 that the strides divide (14, 28, 32, ...). `cond`
    is added to the code. Source: the paper, section 7; its code's
    `st_type="autoencoder"`.
    """

    latent_dim: int = 100
    zero_init: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        stride = self._stride(x.shape[1], x.shape[2])
        strides = (1, 1, stride, stride)
        h = x.astype(self.dtype or x.dtype)
        for i, (width, step) in enumerate(zip(WIDTHS, strides)):
            conv = Conv(width, step, dtype=self.dtype, name=f"encoder_{i}")
            h = leaky_relu(conv(h))
        shape = h.shape
        h = h.reshape(shape[0], -1)
        code = Dense(self.latent_dim, dtype=self.dtype, name="encode")(h)
        if cond is not None:
            code = code + Dense(self.latent_dim, dtype=self.dtype, name="cond")(cond)
        h = Dense(h.shape[-1], dtype=self.dtype, name="decode")(code).reshape(shape)
        back = (*reversed(WIDTHS[:-1]), features)
        for i, (width, step) in enumerate(zip(back, reversed(strides))):
            last = i == len(back) - 1
            zero = self.zero_init and last
            conv = Conv(width, step, True, zero, self.dtype, name=f"decoder_{i}")
            h = conv(h) if last else leaky_relu(conv(h))
        return h

    @nn.nowrap
    def _stride(self, height: int, width: int) -> int:
        stride = width // 14
        for size in (height, width):
            steps = sizes(size, stride) if stride else [0]
            back = steps[-1]
            for step in (stride, stride, 1, 1):
                back = (back - 1) * step + KERNEL
            if steps[-1] < 1 or back != size:
                raise ValueError(
                    f"the autoencoder st-network cannot take {height}x{width} images: "
                    "both sides must be at least 14 and survive its strides (14, 28 and"
                    " 32 do); use fewer scales, or st_net='resnet_ae'"
                )
        return stride


def leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.01)
