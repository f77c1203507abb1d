"""Bijectors made of bijectors: chain, inverse, multi-scale factor-out."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.base import Bijector, image_shape, leaves, zero_logdet


class Chain(Bijector):
    """`Chain([a, b])` applies a, then b; log-determinants add up.

    Flax shares parameters between two uses of the same instance: make one each.
    """

    bijectors: Sequence[Bijector]

    def __post_init__(self):
        # a list has no hash, and so would the flow have none
        self.bijectors = tuple(self.bijectors)
        super().__post_init__()

    def forward(self, x, cond=None):
        total = zero_logdet(x)
        for bijector in self.bijectors:
            x, logdet = bijector.forward(x, cond)
            total = total + logdet
        return x, total

    def inverse(self, z, cond=None):
        total = zero_logdet(z)
        for bijector in reversed(self.bijectors):
            z, logdet = bijector.inverse(z, cond)
            total = total + logdet
        return z, total

    @nn.nowrap
    def latent_shape(self, shape):
        for bijector in self.bijectors:
            shape = bijector.latent_shape(shape)
        return shape

    @nn.nowrap
    def data_shape(self, shape):
        for bijector in reversed(self.bijectors):
            shape = bijector.data_shape(shape)
        return shape

    @nn.nowrap
    def children(self):
        return tuple((f"bijectors_{i}", b) for i, b in enumerate(self.bijectors))


class Inverse(Bijector):
    """`Inverse(b)` has b's inverse as forward and b's forward as inverse."""

    bijector: Bijector

    def forward(self, x, cond=None):
        return self.bijector.inverse(x, cond)

    def inverse(self, z, cond=None):
        return self.bijector.forward(z, cond)

    @nn.nowrap
    def latent_shape(self, shape):
        return self.bijector.data_shape(shape)

    @nn.nowrap
    def data_shape(self, shape):
        return self.bijector.latent_shape(shape)

    @nn.nowrap
    def children(self):
        return (("bijector", self.bijector),)


class FactorOut(Bijector):
    """`(x[..., keep:], *inner(x[..., :keep]))`: a multi-scale split that loses nothing.

    The first `keep` channels (default: half) go on through `inner`; the others become
    latents here. The latent event is a tuple, coarser scales last, nested splits
    flattened: (extra of scale 1, extra of scale 2, ..., final). Source: Dinh et al.
    2017, section 3.6; order of the channels as in the paper's code.
    """

    inner: Bijector
    keep: int | None = None

    @nn.nowrap
    def _keep(self, channels: int) -> int:
        keep = channels // 2 if self.keep is None else whole_number("keep", self.keep)
        if not 0 < keep < channels:
            raise ValueError(
                f"FactorOut must keep between 1 and {channels - 1} of {channels} "
                f"channels, got {keep}"
            )
        return keep

    @nn.nowrap
    def split(self, x):
        """`(x[..., keep:], x[..., :keep])`: what leaves here, and what goes on."""
        keep = self._keep(x.shape[-1])
        return x[..., keep:], x[..., :keep]

    def forward(self, x, cond=None):
        extra, kept = self.split(x)
        z, logdet = self.inner.forward(kept, cond)
        return (extra, *leaves(z)), logdet

    def inverse(self, z, cond=None):
        extra, *rest = z
        # inner's latents are a bare array unless inner splits in its turn
        event = tuple(rest) if len(rest) > 1 else rest[0]
        x, logdet = self.inner.inverse(event, cond)
        return jnp.concatenate([x, extra], axis=-1), logdet

    @nn.nowrap
    def latent_shape(self, shape):
        h, w, c = image_shape(shape, "FactorOut")
        keep = self._keep(c)
        inner = self.inner.latent_shape((h, w, keep))
        nested = isinstance(inner[0], tuple)
        return ((h, w, c - keep), *(inner if nested else (inner,)))

    @nn.nowrap
    def data_shape(self, shape):
        extra, *rest = shape
        event = tuple(rest) if len(rest) > 1 else rest[0]
        h, w, c = self.inner.data_shape(event)
        return (h, w, c + extra[-1])

    @nn.nowrap
    def children(self):
        return (("inner", self.inner),)


def forward_by_scale(bijector: Bijector, x, cond=None) -> tuple[tuple, tuple]:
    """`(latents, logdets)` of every scale: the latents that leave the flow there.

    A scale ends where `FactorOut` splits, as the last of a chain; its log-determinant
    `[B]` is gained since the scale before, so the sum is that of `forward`. Without
    such splits, there is one scale.
    """
    gained = zero_logdet(x)
    while isinstance(bijector, Chain) and bijector.bijectors:
        *before, bijector = bijector.bijectors
        for part in before:
            x, logdet = part.forward(x, cond)
            gained = gained + logdet
    if isinstance(bijector, FactorOut):
        extra, kept = bijector.split(x)
        latents, logdets = forward_by_scale(bijector.inner, kept, cond)
        return (extra, *latents), (gained, *logdets)
    z, logdet = bijector.forward(x, cond)
    return leaves(z), (gained + logdet, *[zero_logdet(x)] * (len(leaves(z)) - 1))
