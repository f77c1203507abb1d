"""Fixed permutation of the channels (or of a vector's dimensions)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.bijectors.base import Bijector, zero_logdet


def permute(x: jax.Array, order: np.ndarray) -> jax.Array:
    """`z[..., i] = x[..., order[i]]`."""
    return jnp.take(x, jnp.asarray(order), axis=-1)


class ChannelPermutation(Bijector):
    """`z[..., i] = x[..., order[i]]`, volume-preserving.

    `order` is a permutation of the channels; without it, a random one is drawn from
    `seed`; without either, the channels are reversed.
    """

    order: tuple[int, ...] | None = None
    seed: int | None = None

    def __post_init__(self):
        if self.order is not None:
            self.order = tuple(np.asarray(self.order).tolist())
        super().__post_init__()

    @nn.nowrap
    def resolve(self, channels: int) -> np.ndarray:
        """The permutation `[channels]` used for that many channels."""
        if self.order is not None:
            order = np.asarray(self.order)
            if sorted(order.tolist()) != list(range(channels)):
                raise ValueError(
                    f"order {self.order} is not a permutation of the {channels} "
                    "channels"
                )
            return order
        if self.seed is not None:
            return np.random.default_rng(self.seed).permutation(channels)
        return np.arange(channels)[::-1].copy()

    def forward(self, x, cond=None):
        return permute(x, self.resolve(x.shape[-1])), zero_logdet(x)

    def inverse(self, z, cond=None):
        order = np.argsort(self.resolve(z.shape[-1]))
        return permute(z, order), zero_logdet(z)

    @nn.nowrap
    def latent_shape(self, shape):
        self.resolve(shape[-1])
        return shape
