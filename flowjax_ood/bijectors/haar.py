"""Haar wavelet: neighbours' sums and differences, coarse first."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.bijectors.base import Bijector, image_shape, zero_logdet

AXES = ("channel", "space")


def haar_forward(x: jax.Array, axis: str) -> jax.Array:
    """Of neighbours a, b: coarse `(a + b) / sqrt(2)` and detail `(a - b) / sqrt(2)`.

    "channel", of neighbouring planes: `[B, H, W, C]` keeps its shape, the C / 2 coarse
    ones come first. "space", of rows and then of columns: `[B, H/2, W/2, 4C]`, C
    channels each of sums of sums, then of differences along W, along H, and along both.
    Orthonormal: energy is kept. Source: Haar 1910; Mallat 1989, section III.
    """
    if axis == "channel":
        return jnp.concatenate(_pair(x, 3), axis=-1)
    low, high = _pair(x, 1)
    return jnp.concatenate([*_pair(low, 2), *_pair(high, 2)], axis=-1)


def haar_inverse(z: jax.Array, axis: str) -> jax.Array:
    """`a = (c + d) / sqrt(2)` and `b = (c - d) / sqrt(2)`, put next to each other."""
    if axis == "channel":
        low, high = jnp.split(z, 2, axis=-1)
        return _unpair(low, high, 3)
    a, b, c, d = jnp.split(z, 4, axis=-1)
    return _unpair(_unpair(a, b, 2), _unpair(c, d, 2), 1)


def _pair(x, axis):
    shape = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    a, b = jnp.moveaxis(x.reshape(shape), axis + 1, 0)
    return (a + b) * math.sqrt(0.5), (a - b) * math.sqrt(0.5)


def _unpair(c, d, axis):
    both = jnp.stack([c + d, c - d], axis=axis + 1) * math.sqrt(0.5)
    return both.reshape(*c.shape[:axis], 2 * c.shape[axis], *c.shape[axis + 1 :])


class Haar(Bijector):
    """One level of the orthonormal Haar wavelet; logdet 0, the coarse part first.

    `axis="channel"` pairs neighbouring channels, the planes of a volume, and keeps the
    shape: `C / 2` coarse channels, then as many of details. `axis="space"` pairs rows
    and columns: `[B, H, W, C] -> [B, H/2, W/2, 4C]`, C coarse channels, then 3 C of
    details. Raises ValueError for what cannot be paired, and for an unknown axis.
    """

    axis: str = "channel"

    def __post_init__(self):
        if self.axis not in AXES:
            raise ValueError(f"unknown axis {self.axis!r}; known: {', '.join(AXES)}")
        super().__post_init__()

    def forward(self, x, cond=None):
        self.latent_shape(x.shape[1:])
        return haar_forward(x, self.axis), zero_logdet(x)

    def inverse(self, z, cond=None):
        self.data_shape(z.shape[1:])
        return haar_inverse(z, self.axis), zero_logdet(z)

    @nn.nowrap
    def coarse_channels(self, channels: int) -> int:
        """How many of the latent event's `channels` are coarse: they come first."""
        return channels // (2 if self.axis == "channel" else 4)

    @nn.nowrap
    def latent_shape(self, shape):
        h, w, c = image_shape(shape, "Haar")
        if self.axis == "channel":
            if c % 2:
                raise ValueError(
                    f"the Haar wavelet cannot pair {c} channels: their number must be "
                    "even at every level; use fewer levels, or add a plane"
                )
            return shape
        if h % 2 or w % 2:
            raise ValueError(
                f"the Haar wavelet cannot pair {h}x{w} pixels: height and width must "
                "be even at every level; use fewer levels, or pad the images"
            )
        return (h // 2, w // 2, 4 * c)

    @nn.nowrap
    def data_shape(self, shape):
        h, w, c = image_shape(shape, "Haar inverse")
        parts = 2 if self.axis == "channel" else 4
        if c % parts:
            raise ValueError(
                f"the inverse Haar wavelet cannot take {c} channels: not a multiple of "
                f"{parts}"
            )
        return shape if self.axis == "channel" else (2 * h, 2 * w, c // 4)
