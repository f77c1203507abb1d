"""From a batch to the arrays a module takes: dequantised, augmented, scaled.

Everything random here is a function of `(key, step, index)`: the same for every way of
splitting the batch over devices, and for a run that was interrupted.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.ood.network import as_input

# fields of a batch, by name; every array has a row for each example
Batch = dict[str, jax.Array]
# (uint8 [B, H, W, C], one key an image) -> uint8 [B, H, W, C]
Augment = Callable[[jax.Array, jax.Array], jax.Array]


def flow_inputs(batch: Batch, step_key: jax.Array) -> tuple:
    """`(x, cond)` of a flow: `batch["x"]` as it is, or `batch["image"]` dequantised.

    The noise of an image depends on `(step_key, its index)` alone. `cond` is
    `batch["cond"]`, floating-point `[B, K]`, or None.
    """
    x = batch.get("x")
    if x is None:
        x = dequantize(batch["image"], example_keys(step_key, batch["index"]))
    return x, batch.get("cond")


def classifier_inputs(
    batch: Batch, step_key: jax.Array, augment: Augment | None = None
) -> tuple:
    """`(x,)` of a classifier: `batch["x"]` as it is, or images divided by 255.

    Images are augmented first, by keys of `(step_key, index)`. Where the batch has
    `outlier`, more images with an `outlier_index`, they are the rows after the others.
    Raises ValueError for `augment` where there are no images.
    """
    if "x" in batch:
        if augment:
            raise ValueError('augment takes images, but the batch has "x", no "image"')
        return (batch["x"],)

    def images(kind, index):
        if augment is None:
            return batch[kind]
        return augment(batch[kind], example_keys(step_key, batch[index]))

    x = images("image", "index")
    if "outlier" in batch:
        x = jnp.concatenate([x, images("outlier", "outlier_index")])
    return (as_input(x),)


def dropout_key(batch: Batch, step_key: jax.Array) -> jax.Array:
    """The key of a step's dropout on the devices that hold these rows of the batch."""
    # a stream of its own, as no example has number 2^32 - 1, and not the same on every
    # device
    stream = jax.random.fold_in(step_key, 2**32 - 1)
    return jax.random.fold_in(stream, batch["index"][0])


def crop_flip(images: jax.Array, keys: jax.Array, *, padding: int = 4) -> jax.Array:
    """A random window of each image padded with zeros, flipped left to right or not.

    `images` `[B, H, W, C]` of any dtype, `keys` `[B]`; what becomes of an image depends
    on its key alone. All `(2 padding + 1)^2` windows of size H x W are as likely, and
    half of them flipped. Raises ValueError for a negative `padding`.

    The usual augmentation of CIFAR-10, with padding 4 at 32x32. `padding` of another
    number: `partial(crop_flip, padding=2)`.
    """
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}")
    return jax.vmap(partial(_crop_flip, padding=padding))(images, keys)


def _crop_flip(image, key, padding):
    where, side = jax.random.split(key)
    row, column = jax.random.randint(where, (2,), 0, 2 * padding + 1)
    wide = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    window = lax.dynamic_slice(wide, (row, column, 0), image.shape)
    return jnp.where(jax.random.bernoulli(side), window[:, ::-1], window)
