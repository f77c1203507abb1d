"""The same numbers in another shape: reshaped, flattened, as patches, reversed."""

import math

import flax.linen as nn
import jax

from flowjax_ood.arguments import event_shape, whole_number
from flowjax_ood.bijectors.base import Bijector, image_shape, zero_logdet


class Reshape(Bijector):
    """Events of shape `data` as events of shape `latent`, in row-major order.

    Raises ValueError for shapes of different sizes, and for other events.
    """

    data: tuple[int, ...]
    latent: tuple[int, ...]

    def __post_init__(self):
        self.data = event_shape("data", self.data)
        self.latent = event_shape("latent", self.latent)
        if math.prod(self.data) != math.prod(self.latent):
            raise ValueError(
                f"cannot reshape {self.data} to {self.latent}: {math.prod(self.data)} "
                f"numbers are not {math.prod(self.latent)}"
            )
        super().__post_init__()

    def forward(self, x, cond=None):
        self.latent_shape(x.shape[1:])
        return x.reshape(-1, *self.latent), zero_logdet(x)

    def inverse(self, z, cond=None):
        self.data_shape(z.shape[1:])
        return z.reshape(-1, *self.data), zero_logdet(z)

    @nn.nowrap
    def latent_shape(self, shape):
        if tuple(shape) != self.data:
            raise ValueError(f"Reshape takes events {self.data}, got {tuple(shape)}")
        return self.latent

    @nn.nowrap
    def data_shape(self, shape):
        if tuple(shape) != self.latent:
            raise ValueError(
                f"Reshape's inverse takes events {self.latent}, got {tuple(shape)}"
            )
        return self.data


def patches(x: jax.Array, size: int) -> jax.Array:
    """`[B, H, W, C]` as tokens `[B, T, size * size * C]`, row by row of patches."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // size, size, w // size, size, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, size * size * c)


def unpatched(tokens: jax.Array, size: int, shape: tuple[int, int, int]) -> jax.Array:
    """The images of `shape` (H, W, C) that `patches` cut into tokens."""
    h, w, c = shape
    x = tokens.reshape(-1, h // size, w // size, size, size, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)


class Patches(Bijector):
    """Images of `shape` (H, W, C) as tokens `[T, size * size * C]`, row-major.

    Raises ValueError for a size that does not divide both sides, and for other images.
    """

    shape: tuple[int, int, int]
    size: int = 4

    def __post_init__(self):
        self.shape = image_shape(event_shape("shape", self.shape), "Patches")
        h, w, _ = self.shape
        if h % whole_number("size", self.size, 1) or w % self.size:
            fitting = [n for n in range(2, min(h, w) + 1) if not (h % n or w % n)]
            raise ValueError(
                f"patches of side {self.size} do not divide {h}x{w} pixels; those "
                f"that do: {', '.join(map(str, fitting)) or 'none'}"
            )
        super().__post_init__()

    def forward(self, x, cond=None):
        self.latent_shape(x.shape[1:])
        return patches(x, self.size), zero_logdet(x)

    def inverse(self, z, cond=None):
        self.data_shape(z.shape[1:])
        return unpatched(z, self.size, self.shape), zero_logdet(z)

    @nn.nowrap
    def latent_shape(self, shape):
        if tuple(shape) != self.shape:
            raise ValueError(f"Patches takes images {self.shape}, got {tuple(shape)}")
        h, w, c = self.shape
        return (h * w // self.size**2, c * self.size**2)

    @nn.nowrap
    def data_shape(self, shape):
        tokens = self.latent_shape(self.shape)
        if tuple(shape) != tokens:
            raise ValueError(
                f"Patches' inverse takes tokens {tokens}, got {tuple(shape)}"
            )
        return self.shape


class Reverse(Bijector):
    """The first axis of an event reversed, such as tokens `[T, C]`, or rows of pixels.

    Volume-preserving, and its own inverse.
    """

    def forward(self, x, cond=None):
        return x[:, ::-1], zero_logdet(x)

    def inverse(self, z, cond=None):
        return self.forward(z)
