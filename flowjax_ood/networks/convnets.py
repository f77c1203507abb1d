"""The st-networks of Glow: highway layers, and plain convolutions.

Called as `net(x [B, H, W, C], features, cond)`, return `[B, H, W, features]`. Their
output starts at zero, so the coupling starts as the identity. Source: the paper's code
(`st_type="highway"`, `"glow_convnet"`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.networks.layers import Dense, convolve


class Conv(nn.Module):
    """Convolution with bias, zero padding; weights start N(0, 0.05^2) or at zero."""

    features: int
    kernel_size: int = 3
    zero_init: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        k = self.kernel_size
        init = nn.initializers.normal(0.05)
        if self.zero_init:
            init = nn.initializers.zeros
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        dtype = self.dtype or x.dtype
        return convolve(x.astype(dtype), kernel.astype(dtype)) + bias.astype(dtype)


class Highway(nn.Module):
    """`h <- g * conv(h) + (1 - g) * h` with `g = sigmoid(conv(h))`, `layers` times.

    No other non-linearity and no normalisation. `cond [B, K]` enters as a bias after
    the first convolution.
    """

    width: int = 200
    layers: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        h = Conv(self.width, dtype=self.dtype, name="in_conv")(x)
        h = _conditioned(self, h, cond)
        for i in range(self.layers):
            gate = Conv(self.width, dtype=self.dtype, name=f"gate_{i}")(h)
            new = Conv(self.width, dtype=self.dtype, name=f"conv_{i}")(h)
            gate = jax.nn.sigmoid(gate)
            h = gate * new + (1 - gate) * h
        return Conv(features, 1, True, self.dtype, name="out_conv")(h)


class GlowConvNet(nn.Module):
    """conv 3x3, ReLU, conv 1x1, ReLU, conv 3x3: the st-network of Glow's own paper.

    `cond [B, K]` enters as a bias after the first convolution.
    """

    width: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        h = Conv(self.width, dtype=self.dtype, name="in_conv")(x)
        h = jax.nn.relu(_conditioned(self, h, cond))
        h = jax.nn.relu(Conv(self.width, 1, dtype=self.dtype, name="mid_conv")(h))
        return Conv(features, 3, True, self.dtype, name="out_conv")(h)


def _conditioned(net: nn.Module, h: jax.Array, cond) -> jax.Array:
    if cond is None:
        return h
    bias = Dense(net.width, dtype=net.dtype, name="cond")(cond)
    return h + jnp.expand_dims(bias, (1, 2))
