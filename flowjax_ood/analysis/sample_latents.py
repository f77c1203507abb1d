"""One draw of noise for several flows: equal noise at equal pixels."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.analysis.latents import image_layout
from flowjax_ood.bijectors import Event
from flowjax_ood.distributions import Flow


def latents_at_pixels(flow: Flow, images: jax.Array) -> Event:
    """The latent event z with `image_layout(flow.bijector, z) = images`.

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
    latent, tree = jax.tree.flatten(
        flow.latent_shape(), is_leaf=lambda s: all(isinstance(n, int) for n in s)
    )
    sizes = [math.prod(part) for part in latent]
    # which latent lands on each pixel, by laying out their numbers: exact in float32
    numbers = np.split(np.arange(flow.dims, dtype=np.float32), np.cumsum(sizes)[:-1])
    numbers = [n.reshape(1, *part) for n, part in zip(numbers, latent)]
    landed = image_layout(flow.bijector, jax.tree.unflatten(tree, numbers))
    pixel = np.argsort(np.asarray(landed, np.int64).reshape(-1))
    flat = jnp.reshape(images, (len(images), -1))[:, pixel]
    parts = jnp.split(flat, np.cumsum(sizes)[:-1].tolist(), axis=1)
    parts = [p.reshape(len(images), *part) for p, part in zip(parts, latent)]
    return jax.tree.unflatten(tree, parts)
