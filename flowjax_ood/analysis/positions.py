"""Which pixel each value inside a flow came from.

Squeezes, permutations, patches and factor-out move values and change none of them, so
at every layer of an image flow each value has a *source*: a position of the image.
Couplings and all other layers keep their values in place. An invertible 1x1 convolution
mixes the channels of a position: behind it, sources tell where in the image a value
lies, and the channel is that of the mixture.
"""

import math
from typing import NamedTuple

import numpy as np

from flowjax_ood.bijectors import (
    Bijector,
    ChannelPermutation,
    FactorOut,
    Inverse,
    Patches,
    Repeat,
    Reshape,
    Reverse,
    Squeeze,
    leaves,
    squeeze,
)
from flowjax_ood.bijectors.reshape import patches, unpatched


class Placed(NamedTuple):
    """A leaf of a bijector, and where its input comes from.

    `source`: integers of the shape of the leaf's input event, each the index of a value
    of the flattened image. Injective: no position is the source of two values, and
    those that were factored out before are the source of none. `path`: as in
    `bijectors.unstacked`.
    """

    path: tuple[str, ...]
    bijector: Bijector
    source: np.ndarray


def placed_leaves(bijector: Bijector, shape) -> list[Placed]:
    """List the leaves in the order forward applies them, every `Repeat` taken apart.

    `shape` is the image's `(H, W, C)`. Raises ValueError for an inverted bijector other
    than `Patches` and `Reshape`, for leaves behind a split, which have no source of
    their own, and for those that mix values into an event of another shape.
    """
    placed: list[Placed] = []
    _follow(bijector, _positions(shape), (), placed)
    return placed


def latent_sources(bijector: Bijector, shape) -> np.ndarray | tuple[np.ndarray, ...]:
    """Find the source of each latent, without B, in the structure of the latents.

    Raises ValueError as `placed_leaves` does.
    """
    return _follow(bijector, _positions(shape), (), [])


def to_image(values: np.ndarray, source: np.ndarray, shape, fill=0.0) -> np.ndarray:
    """Put values `[..., *source.shape]` into images `[..., H, W, C]` of `shape`.

    Linear in `values` and `fill`: each value goes to its source, and positions that are
    the source of none hold `fill`. With NaN as `fill`, figures leave them blank.
    """
    values = np.asarray(values)
    batch = values.shape[: values.ndim - source.ndim]
    if values.shape[len(batch) :] != source.shape:
        raise ValueError(
            f"values of shape {values.shape} do not end in the shape of their source, "
            f"{source.shape}"
        )
    dtype = np.result_type(values.dtype, type(fill))
    image = np.full((*batch, math.prod(shape)), fill, dtype)
    image[..., source.ravel()] = values.reshape(*batch, -1)
    return image.reshape(*batch, *shape)


def _positions(shape) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


def _follow(bijector, source, path, placed):
    """Return the source of the bijector's output; append its leaves to `placed`."""
    if isinstance(source, tuple):
        raise ValueError(
            f"the layer at {'/'.join(path)} follows a split: its values have no "
            "position in the image; put it inside FactorOut"
        )
    if isinstance(bijector, Inverse):
        if isinstance(joined := bijector.bijector, Patches):
            bijector.latent_shape(source.shape)
            return unpatched(source[None], joined.size, joined.shape)[0]
        if isinstance(joined, Reshape):
            return source.reshape(bijector.latent_shape(source.shape))
        raise ValueError(
            "an inverted bijector has no image layout of its own: look at the one "
            "inside"
        )
    if isinstance(bijector, Repeat):
        for r in range(bijector.n):
            source = _follow(bijector.block, source, (*path, str(r)), placed)
        return source
    if isinstance(bijector, FactorOut):
        extra = bijector.latent_shape(source.shape)[0][-1]
        keep = source.shape[-1] - extra
        inner = _follow(bijector.inner, source[..., :keep], (*path, "inner"), placed)
        return (source[..., keep:], *leaves(inner))
    children = bijector.children()
    for name, child in children:
        source = _follow(child, source, (*path, name), placed)
    if children:
        return source
    placed.append(Placed(path, bijector, source))
    bijector.latent_shape(source.shape)  # refuses what it cannot take
    if isinstance(bijector, Squeeze):
        return squeeze(source[None])[0]
    if isinstance(bijector, Reverse):
        return source[::-1]
    if isinstance(bijector, Patches):
        return patches(source[None], bijector.size)[0]
    if isinstance(bijector, Reshape):
        return source.reshape(bijector.latent)
    if isinstance(bijector, ChannelPermutation):
        return source[..., bijector.resolve(source.shape[-1])]
    check_keeps_places(bijector, source.shape)
    return source


def check_keeps_places(bijector: Bijector, shape) -> None:
    """Raise ValueError for a layer whose values of `shape` do not stay in place."""
    after = bijector.latent_shape(tuple(shape))
    if after != tuple(shape):
        raise ValueError(
            f"{type(bijector).__name__} makes events {after} of {tuple(shape)}, whose "
            "values have no position in the image"
        )
