"""Squeeze: trade resolution for channels."""

import flax.linen as nn
import jax

from flowjax_ood.bijectors.base import Bijector, image_shape, zero_logdet


def squeeze(x: jax.Array) -> jax.Array:
    """`z[y, x, 4c + 2 dy + dx] = x[2y + dy, 2x + dx, c]`.

    `[B, H, W, C]` to `[B, H/2, W/2, 4C]`. Source: Dinh et al. 2017, section 3.6.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // 2, w // 2, 4 * c)


def unsqueeze(z: jax.Array) -> jax.Array:
    """The inverse of `squeeze`: `[B, H, W, 4C]` to `[B, 2H, 2W, C]`."""
    b, h, w, c = z.shape
    z = z.reshape(b, h, w, c // 4, 2, 2)
    return z.transpose(0, 1, 4, 2, 5, 3).reshape(b, 2 * h, 2 * w, c // 4)


class Squeeze(Bijector):
    """`[B, H, W, C] -> [B, H/2, W/2, 4C]`, volume-preserving. H and W must be even."""

    def forward(self, x, cond=None):
        self.latent_shape(x.shape[1:])
        return squeeze(x), zero_logdet(x)

    def inverse(self, z, cond=None):
        self.data_shape(z.shape[1:])
        return unsqueeze(z), zero_logdet(z)

    @nn.nowrap
    def latent_shape(self, shape):
        h, w, c = image_shape(shape, "Squeeze")
        if h % 2 or w % 2:
            raise ValueError(
                f"cannot squeeze {h}x{w} pixels: height and width must be even at every"
                " scale; use fewer scales, or pad or resize the images"
            )
        return (h // 2, w // 2, 4 * c)

    @nn.nowrap
    def data_shape(self, shape):
        h, w, c = image_shape(shape, "Squeeze inverse")
        if c % 4:
            raise ValueError(f"cannot unsqueeze {c} channels: not a multiple of 4")
        return (2 * h, 2 * w, c // 4)
