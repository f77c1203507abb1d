"""Latents put back where their pixels came from."""

import jax

from flowjax_ood.bijectors import (
    Bijector,
    Chain,
    ChannelPermutation,
    Event,
    FactorOut,
    Inverse,
    Squeeze,
)


def image_layout(bijector: Bijector, z: Event) -> jax.Array:
    """The latent event as one array `[B, H, W, C]` in the layout of the image.

    Undoes splits, squeezes and permutations and nothing else: every latent lands on
    the pixel and channel it came from. Source: the paper, section 5 (its code runs the
    inverse of a copy of the flow whose couplings are the identity).
    """
    match bijector:
        case Chain():
            for inner in reversed(bijector.bijectors):
                z = image_layout(inner, z)
            return z
        case FactorOut():
            # merging latents needs no log-determinant and no parameters
            outer = FactorOut(_Layout(bijector.inner), bijector.keep)
            return outer.apply({}, z, method="inverse")[0]
        case Squeeze() | ChannelPermutation():
            return bijector.apply({}, z, method="inverse")[0]
        case Inverse():
            raise ValueError(
                "latents of an inverted bijector have no image layout of their own: "
                "lay out those of the bijector inside"
            )
        case _:
            return z


class _Layout(Bijector):
    """`image_layout` of a bijector, as a bijector."""

    of: Bijector

    def inverse(self, z, cond=None):
        x = image_layout(self.of, z)
        return x, jax.numpy.zeros(x.shape[0])
