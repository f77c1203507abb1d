"""Latents in the layout of the image, and noise that starts samples there."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.analysis.positions import check_keeps_places, latent_sources
from flowjax_ood.bijectors import (
    Bijector,
    Chain,
    ChannelPermutation,
    Event,
    FactorOut,
    Inverse,
    Patches,
    Repeat,
    Reshape,
    Reverse,
    Squeeze,
)
from flowjax_ood.bijectors.base import leaves
from flowjax_ood.distributions import Flow


def image_layout(bijector: Bijector, z: Event) -> jax.Array:
    """Lay out the latent event as one array `[B, H, W, C]`, like the image.

    Undoes splits, squeezes, permutations, patches and reshapes and nothing else: every
    latent lands on the pixel and channel it came from. Source: the paper, section 5
    (its code runs the inverse of a copy of the flow whose couplings are the identity).

    Raises ValueError for layers that mix pixels into an event of another shape.
    """
    match bijector:
        case Chain():
            for inner in reversed(bijector.bijectors):
                z = image_layout(inner, z)
            return _only(z)
        case Repeat():
            for _ in range(bijector.n):
                z = image_layout(bijector.block, z)
            return _only(z)
        case FactorOut():
            extra, *rest = z
            # the inner latents are a tuple only where they are split in their turn
            x = image_layout(bijector.inner, tuple(rest) if len(rest) > 1 else rest[0])
            return jnp.concatenate([x, extra], axis=-1)
        case Inverse(bijector=Patches() | Reshape()) | (
            Squeeze() | ChannelPermutation() | Patches() | Reshape() | Reverse()
        ):
            return bijector.apply({}, z, method="inverse")[0]
        case Inverse():
            raise ValueError(
                "latents of an inverted bijector have no image layout of their own: "
                "lay out those of the bijector inside"
            )
        case _:
            z = _only(z)
            check_keeps_places(bijector, z.shape[1:])
            return z


def _only(z: Event) -> jax.Array:
    """The array of an event that is not split."""
    (array,) = leaves(z)
    return array


def latent_images(
    flow: Flow, *, batch_statistics: bool = False
) -> Callable[[dict, jax.Array], jax.Array]:
    """`f(variables, x [B, H, W, C]) -> latents [B, H, W, C]` in image layout, compiled.

    With `batch_statistics`, batch norm uses the mean and variance of this very batch,
    as in training, and an image's latent depends on the others in it; without, the
    running ones in `variables`.
    """

    @jax.jit
    def images(variables, x):
        with jax.default_matmul_precision("highest"):
            if batch_statistics:
                z, _ = flow.apply(
                    variables, x, method="latents", mutable=["batch_stats"]
                )
            else:
                z = flow.apply(variables, x, method="latents")
        return image_layout(flow.bijector, z)

    return images


def mean_latents(
    latents: Callable[[jax.Array], jax.Array], draws: Iterable[jax.Array]
) -> np.ndarray:
    """Average latents `[B, H, W, C]`, in float64, over draws of a batch of images.

    `draws`: the batch `x [B, H, W, C]`, dequantised anew each time; one is in memory at
    a time. Raises ValueError for no draw. Source: the paper, section 5 (40 draws).
    """
    total, count = np.zeros(()), 0
    for x in draws:
        total = total + np.asarray(latents(x), np.float64)
        count += 1
    if not count:
        raise ValueError("mean_latents needs at least one draw, got none")
    return total / count


def latents_at_pixels(flow: Flow, images: jax.Array) -> Event:
    """Find the latent event z with `image_layout(flow.bijector, z) = images`.

    `images`: `[B, H, W, C]` in the layout of the image, such as standard normal noise,
    which has the same density in any layout. Given the same noise, flows of different
    scales and masks start their samples from the same value at the same pixel.
    Raises ValueError for a flow whose events are not images, and for images of another
    shape than its events'.
    """
    shape = tuple(flow.event_shape)
    if len(shape) != 3:
        raise ValueError(f"a flow of events of shape {shape} makes no images [H, W, C]")
    if images.shape[1:] != shape:
        raise ValueError(f"noise of shape {images.shape[1:]} for images of {shape}")
    flat = jnp.reshape(images, (len(images), -1))
    sources = latent_sources(flow.bijector, shape)
    return jax.tree.map(lambda source: flat[:, source], sources)
