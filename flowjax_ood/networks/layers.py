"""Layers of st-networks and classifiers: convolutions, weight-normed ones, dense.

Initial values follow torch's defaults, which the paper's code relies on. Parameters are
float32; layers compute as their `precision` says.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.networks.convolution import convolve
from flowjax_ood.precision import FLOAT32, Precision


def uniform_fan_in(fan_in: int):
    """Make the initializer U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's default."""
    bound = 1 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def weight_norm(v: jax.Array, g: jax.Array) -> jax.Array:
    """`w = g * v / ||v||`, the norm over all axes but the last (output channels)."""
    axes = tuple(range(v.ndim - 1))
    return v * lax.broadcast_to_rank(g * lax.rsqrt(jnp.sum(v * v, axes)), v.ndim)


class Conv(nn.Module):
    """Convolution `y = x * kernel + bias` of images, or its transpose.

    Parameters `kernel [k, k, I, O]` and `bias [O]`, which start as torch's do: both
    U(+-1/sqrt(fan_in)). With `kernel_init` the kernel starts as that says and the bias
    at zero.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: str = "SAME"
    transpose: bool = False
    kernel_init: Callable | None = None
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        k = self.kernel_size
        # torch counts the fan-in of a transposed convolution over its outputs
        channels = self.features if self.transpose else x.shape[-1]
        torch_init = uniform_fan_in(k * k * channels)
        shape = (k, k, x.shape[-1], self.features)
        kernel = self.param(
            "kernel", self.kernel_init or torch_init, shape, jnp.float32
        )
        bias_init = nn.initializers.zeros if self.kernel_init else torch_init
        bias = self.param("bias", bias_init, (self.features,), jnp.float32)
        x, kernel, bias = self.precision.cast(x, kernel, bias)
        if self.transpose:
            strides, multiply = (self.stride, self.stride), self.precision.multiply
            y = lax.conv_transpose(x, kernel, strides, self.padding, precision=multiply)
        else:
            y = convolve(x, kernel, self.precision, self.stride, self.padding)
        return y + lax.broadcast_to_rank(bias, y.ndim)


class WNConv(nn.Module):
    """Weight-normed convolution `y = x * (g v / ||v||) + b`, zero padding "SAME".

    Parameters `v [k, k, I, O]`, `g [O]`, `bias [O]`. g starts at ||v||, so the layer
    starts as torch's convolution does; with `zero_init`, g and bias start at zero and
    so does the output (v keeps a direction: the gradient with respect to g is alive).
    Source: Salimans and Kingma 2016.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    zero_init: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        k = self.kernel_size
        fan_in = k * k * x.shape[-1]
        shape = (k, k, x.shape[-1], self.features)
        v = self.param("v", uniform_fan_in(fan_in), shape, jnp.float32)

        def norm_of_v(key):
            return jnp.sqrt(jnp.sum(v * v, (0, 1, 2)))

        zeros = nn.initializers.zeros
        if self.zero_init:
            g = self.param("g", zeros, (self.features,), jnp.float32)
        else:
            g = self.param("g", norm_of_v)
        # the norm is taken in the parameters' float32: only its result is rounded
        x, kernel = self.precision.cast(x, weight_norm(v, g))
        y = convolve(x, kernel, self.precision)
        if self.use_bias:
            init = zeros if self.zero_init else uniform_fan_in(fan_in)
            bias = self.param("bias", init, (self.features,), jnp.float32)
            y = y + lax.broadcast_to_rank(bias.astype(y.dtype), y.ndim)
        return y


class Dense(nn.Module):
    """`y = x W + b` on the last axis with torch's default initial values."""

    features: int
    zero_init: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        fan_in = x.shape[-1]
        init = nn.initializers.zeros if self.zero_init else uniform_fan_in(fan_in)
        kernel = self.param("kernel", init, (fan_in, self.features), jnp.float32)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = self.precision.cast(x, kernel, bias)
        y = jnp.matmul(x, kernel, precision=self.precision.multiply)
        return y + lax.broadcast_to_rank(bias, y.ndim)


def add_condition(net: nn.Module, h: jax.Array, cond) -> jax.Array:
    """`h + linear(cond)` at every position, or h where `cond [B, K]` is None.

    Call inside a compact method of `net`: the map becomes its layer `cond`, and
    computes in its `precision`. Raises ValueError where `net` has that layer, and cond
    is None, and for a cond that is not `[B, K]`.
    """
    check_condition(net, cond, "cond")
    if cond is None:
        return h
    bias = Dense(h.shape[-1], precision=net.precision, name="cond")(cond)
    return h + jnp.expand_dims(bias, tuple(range(1, h.ndim - 1))).astype(h.dtype)


def check_condition(net: nn.Module, cond, parameter: str) -> None:
    """Raise ValueError unless cond is `[B, K]`, one vector for each event.

    Or None, where `net` has no `parameter` of a condition.
    """
    who = type(net).__name__
    if cond is None:
        # Flax ignores parameters without a use: another density, unnoticed
        if net.has_variable("params", parameter):
            raise ValueError(
                f"this {who} was initialised with cond, got None; give cond to every "
                "method of the flow"
            )
        return
    if cond.ndim == 2:
        return
    remedy = (
        "; for a condition shaped like an image, [B, h, w, K], the st-network is "
        "networks.ImageConditioned"
        if cond.ndim > 2
        else ""
    )
    raise ValueError(f"{who} needs cond [B, K], got shape {cond.shape}{remedy}")


def normalise_pixels(
    x: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> jax.Array:
    """`(x - mean) / std` per channel; `x` float `[B, H, W, C]` in [0, 1].

    Raises TypeError for pixels that are not floating-point, and ValueError for another
    shape, or for `mean` and `std` of another number of channels.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"a classifier takes floating-point pixels in [0, 1], got {x.dtype}; "
            "divide stored images by 255"
        )
    if x.ndim != 4:
        remedy = ": of one image, x[None]" if x.ndim == 3 else ""
        raise ValueError(f"images must be [B, H, W, C], got shape {x.shape}{remedy}")
    if not len(mean) == len(std) == x.shape[-1]:
        first = len(mean) == len(std) == x.shape[1]
        remedy = "; of channels first, x.transpose(0, 2, 3, 1)" if first else ""
        raise ValueError(
            f"mean {mean} and std {std} must have one number for each of the "
            f"{x.shape[-1]} channels of images of shape {x.shape}{remedy}"
        )
    if not all(s > 0 for s in std):
        raise ValueError(f"std must be positive, got {std}")
    x = jnp.asarray(x)
    m, s = (lax.broadcast_to_rank(jnp.asarray(a, x.dtype), x.ndim) for a in (mean, std))
    return (x - m) / s
