"""Dequantise images to a density's domain [0, 1), and exactly back.

The key is explicit and one per example, so an image's noise depends on its key alone:
not on the batch it came in, and not on the devices the batch is spread over.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# what float32 holds of a value in [0, 1)
BITS = 24
MOST_BINS = 2**16


def dequantize(
    images: jax.Array | np.ndarray, keys: jax.Array, bins: int = 256
) -> jax.Array:
    """`x = (k + u) / bins`, `u ~ U[0, 1)` per pixel and channel; float32 in [0, 1).

    `images`: uint8 or uint16 `[B, H, W, C]` of values below `bins`, a power of two:
    256 of 8-bit images, 32 of 5-bit ones, 65536 of 16-bit ones. `keys`: typed threefry
    keys `[B]`, from `example_keys`. Returns float32 `[B, H, W, C]`, strictly below 1,
    with `quantize(x, bins) == images` always.

    `u` is a multiple of `bins 2^-24`. Then `k + u` takes 24 bits, just what float32
    holds, and every step is exact. `jax.random.uniform` has 23 bits after the point:
    `255 + u` would round to 256 now and then, out of the domain, and any large `k + u`
    to the next integer, another pixel value.

    Raises `TypeError` or `ValueError` for other images or bins, for keys that are not
    typed, not `[B]`, or not threefry, and, outside of jit, for values not below `bins`.
    Source: Uria et al. 2013; Theis et al. 2016, section 3.1.
    """
    depth = check_bins(bins)
    dtype = getattr(images, "dtype", type(images).__name__)
    if dtype not in (jnp.uint8, jnp.uint16) or (dtype == jnp.uint16 and bins <= 256):
        kind = "uint8" if bins <= 256 else "uint8 or uint16"
        raise TypeError(
            f"dequantize takes {kind} images, not {dtype}: apply it to the stored "
            f"values 0..{bins - 1}, once; 16-bit images take bins=2**16"
        )
    if images.ndim != 4:
        raise ValueError(f"images must be [B, H, W, C], not of shape {images.shape}")
    _check_keys(keys)
    if keys.shape != images.shape[:1]:
        raise ValueError(
            f"keys of shape {keys.shape} for images of shape {images.shape}: one key "
            f"per example, shape {images.shape[:1]}; see example_keys"
        )
    check_values(images, bins)
    shape = images.shape[1:]
    # 16 bits are drawn where they are enough, as they always were for 256 bins
    drawn, least = (16, jnp.uint16) if depth >= BITS - 16 else (32, jnp.uint32)
    bits = jax.vmap(lambda key: jax.random.bits(key, shape, least))(keys)
    if spare := drawn - (BITS - depth):
        bits = bits >> jnp.full_like(bits, spare)
    u = bits.astype(jnp.float32) * 2.0 ** (depth - BITS)
    return (jnp.asarray(images).astype(jnp.float32) + u) * 2.0**-depth


def quantize(x: jax.Array | np.ndarray, bins: int = 256) -> jax.Array:
    """`k = floor(bins x)` clipped to 0 ... bins - 1: exact inverse of `dequantize`.

    Floating `x` of any shape -> uint8 of that shape, uint16 with more than 256 bins.
    Samples of a flow may leave [0, 1), hence the clip.
    """
    check_bins(bins)
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"quantize takes floating values in [0, 1), not {x.dtype}")
    dtype = jnp.uint8 if bins <= 256 else jnp.uint16
    return jnp.clip(jnp.floor(x * float(bins)), 0.0, bins - 1.0).astype(dtype)


def check_values(images: jax.Array | np.ndarray, bins: int) -> None:
    """Raise ValueError for values not below `bins`, where values are known."""
    if bins > jnp.iinfo(images.dtype).max or isinstance(images, jax.core.Tracer):
        return
    if (highest := int(np.max(np.asarray(images), initial=0))) >= bins:
        raise ValueError(
            f"images hold the value {highest}, and bins={bins} are 0..{bins - 1}; "
            "give the bins of these images, or shift their values right first"
        )


def check_bins(bins: int) -> int:
    """`log2(bins)`; ValueError unless that is an integer from 1 to 16."""
    if bins not in [2**depth for depth in range(1, MOST_BINS.bit_length())]:
        raise ValueError(
            f"bins must be a power of two from 2 to {MOST_BINS}, not {bins!r}; values "
            "of any other number of bins have those of the next power of two"
        )
    return int(bins).bit_length() - 1


def example_keys(key: jax.Array, index: jax.Array | np.ndarray) -> jax.Array:
    """`keys[b] = fold_in(key, index[b])`: one key per example of the data set.

    `key`: a typed threefry key, such as that of the training step; `index`: integer
    `[B]`, the examples' positions in the set. Returns keys `[B]`.
    """
    _check_keys(key)
    index = jnp.asarray(index)
    if key.shape != () or index.ndim != 1 or index.dtype.kind not in "iu":
        raise ValueError(
            "example_keys takes one key and integer indices [B], not a key of shape "
            f"{key.shape} and {index.dtype} indices of shape {index.shape}"
        )
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)


def _check_keys(keys: jax.Array) -> None:
    dtype: Any = getattr(keys, "dtype", None)
    if not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(
            "keys must be typed PRNG keys, as of jax.random.key(seed), not "
            f"{getattr(keys, 'dtype', type(keys).__name__)}; an old-style key is "
            "wrapped by jax.random.wrap_key_data"
        )
    if "threefry" not in str(jax.random.key_impl(keys)):
        # Under vmap, rbg draws for the whole batch from one key.
        raise ValueError(
            f"keys of implementation {jax.random.key_impl(keys)} make an example's "
            'noise depend on its batch; use jax.random.key(seed, impl="threefry2x32")'
        )
