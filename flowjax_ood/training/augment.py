"""Augmentation of the images that a classifier is trained on."""

import jax
import jax.numpy as jnp
from jax import lax


def crop_flip(images: jax.Array, keys: jax.Array, *, padding: int = 4) -> jax.Array:
    """A random window of each image padded with zeros, flipped left to right or not.

    `images` `[B, H, W, C]` of any dtype, `keys` `[B]`; what becomes of an image depends
    on its key alone. All `(2 padding + 1)^2` windows of size H x W are as likely, and
    half of them flipped. Raises ValueError for a negative `padding`.

    The usual augmentation of CIFAR-10, with padding 4 at 32x32.
    """
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}")

    def augmented(image, key):
        where, side = jax.random.split(key)
        row, column = jax.random.randint(where, (2,), 0, 2 * padding + 1)
        wide = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        window = lax.dynamic_slice(wide, (row, column, 0), image.shape)
        return jnp.where(jax.random.bernoulli(side), window[:, ::-1], window)

    return jax.vmap(augmented)(images, keys)
