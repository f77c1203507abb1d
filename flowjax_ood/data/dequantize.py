"""Dequantise uint8 images to a density's domain [0, 1), and exactly back.

The key is explicit and one per example, so an image's noise depends on its key alone:
not on the batch it came in, and not on the devices the batch is spread over.
"""

import jax
import jax.numpy as jnp


def dequantize(images: jax.Array, keys: jax.Array) -> jax.Array:
    """`x = (k + u) / 256`, `u ~ U[0, 1)` per pixel and channel; float32 in [0, 1).

    `images`: uint8 `[B, H, W, C]`; `keys`: typed threefry keys `[B]`, from
    `example_keys`. Returns float32 `[B, H, W, C]`, strictly below 1, with
    `quantize(x) == images` always.

    `u` is a multiple of 2^-16. Then `k + u` takes 8 + 16 = 24 bits, just what float32
    holds, and every step is exact. `jax.random.uniform` has 23 bits after the point:
    `255 + u` would round to 256 now and then, out of the domain, and any large `k + u`
    to the next integer, another pixel value.

    Raises `TypeError` or `ValueError` for images that are not uint8 `[B, H, W, C]`, and
    for keys that are not typed, not `[B]`, or not threefry.
    Source: Uria et al. 2013; Theis et al. 2016, section 3.1.
    """
    dtype = getattr(images, "dtype", type(images).__name__)
    if dtype != jnp.uint8:
        raise TypeError(
            f"dequantize takes uint8 images, not {dtype}: apply it to the stored "
            "values 0..255, once"
        )
    if images.ndim != 4:
        raise ValueError(f"images must be [B, H, W, C], not of shape {images.shape}")
    _check_keys(keys)
    if keys.shape != images.shape[:1]:
        raise ValueError(
            f"keys of shape {keys.shape} for images of shape {images.shape}: one key "
            f"per example, shape {images.shape[:1]}; see example_keys"
        )
    shape = images.shape[1:]
    bits = jax.vmap(lambda key: jax.random.bits(key, shape, jnp.uint16))(keys)
    u = bits.astype(jnp.float32) * 2.0**-16
    return (jnp.asarray(images).astype(jnp.float32) + u) * 2.0**-8


def quantize(x: jax.Array) -> jax.Array:
    """`k = floor(256 x)` clipped to 0 ... 255: the exact inverse of `dequantize`.

    Floating `x` of any shape -> uint8 of that shape. Samples of a flow may leave
    [0, 1), hence the clip.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"quantize takes floating values in [0, 1), not {x.dtype}")
    return jnp.clip(jnp.floor(x * 256.0), 0.0, 255.0).astype(jnp.uint8)


def example_keys(key: jax.Array, index: jax.Array) -> jax.Array:
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
    if not jnp.issubdtype(getattr(keys, "dtype", None), jax.dtypes.prng_key):
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
