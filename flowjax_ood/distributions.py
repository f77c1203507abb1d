"""Base densities, and the flow: a bijector with a base density.

Densities are in nats with respect to the event's own units: for images, [0, 1)^D.
"""

import math
from dataclasses import field
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.bijectors.base import (
    Bijector,
    Event,
    event_size,
    leaves,
    sum_event,
)


def standard_normal_log_prob(z: Event) -> jax.Array:
    """`log N(z; 0, I)` of each event, summed over its arrays: `[B]`, nats."""
    half_log_2pi = 0.5 * math.log(2 * math.pi)
    return sum(sum_event(-0.5 * part * part - half_log_2pi) for part in leaves(z))


def discrete_log_likelihood(log_prob, dims: int, bins: int = 256):
    """Log-probability (nats) of a discrete image: `dims` values of `bins` levels each.

    `log_prob - dims * log(bins)`, a lower bound in expectation over the
    dequantisation noise. Source: Theis et al. 2016, section 3.1.
    """
    return log_prob - dims * math.log(bins)


def bits_per_dim(log_prob, dims: int, bins: int = 256):
    """`-(log_prob - dims log bins) / (dims log 2)`: bits/dim, lower is likelier.

    `log_prob` in nats on [0, 1)^dims, as `Flow.log_prob` gives it.
    """
    return -discrete_log_likelihood(log_prob, dims, bins) / (dims * math.log(2))


class StandardNormal(nn.Module):
    """N(0, I) on an event of any shape; no parameters, `cond` is ignored."""

    def log_prob(self, z: Event, cond=None) -> jax.Array:
        """`[B]`, nats."""
        return standard_normal_log_prob(z)

    def sample(self, key, shape, num: int, temperature=1.0, cond=None) -> Event:
        """`num` events of `shape` from N(0, temperature^2 I)."""
        if not (shape and isinstance(shape[0], tuple)):
            return temperature * jax.random.normal(key, (num, *shape))
        keys = jax.random.split(key, len(shape))
        return tuple(
            temperature * jax.random.normal(k, (num, *s))
            for k, s in zip(keys, shape, strict=True)
        )


class LogProbParts(NamedTuple):
    """`log_prob = log_pz + logdet`, each `[B]` in nats."""

    log_pz: jax.Array
    logdet: jax.Array

    @property
    def log_prob(self) -> jax.Array:
        return self.log_pz + self.logdet


class Flow(nn.Module):
    """`log p(x) = log p_Z(f(x)) + log |det df/dx|`.

    `event_shape` is one event's shape, `(H, W, C)` for images. Use as any Flax module:

        variables = flow.init(key, x)
        log_prob = flow.apply(variables, x)                       # [B], nats
        z = flow.apply(variables, x, method="latents")
        x = flow.apply(variables, key, 16, method="sample")

    There is no hidden state; every method works under jit, vmap and grad.
    """

    bijector: Bijector
    event_shape: tuple[int, ...]
    base: nn.Module = field(default_factory=StandardNormal)

    def __call__(self, x, cond=None):
        return self.log_prob(x, cond)

    def log_prob(self, x: jax.Array, cond=None) -> jax.Array:
        """Log-density `[B]` in nats of `x [B, *event_shape]`; images in [0, 1)."""
        return self.log_prob_parts(x, cond).log_prob

    def log_prob_parts(self, x: jax.Array, cond=None) -> LogProbParts:
        """The two terms of the log-density, each `[B]` in nats."""
        z, logdet = self.bijector.forward(self._checked(x), cond)
        return LogProbParts(self.base.log_prob(z, cond), logdet)

    def latents(self, x: jax.Array, cond=None) -> Event:
        """The latent event of x: an array, or a tuple of arrays, coarsest last."""
        return self.bijector.forward(self._checked(x), cond)[0]

    def from_latents(self, z: Event, cond=None) -> jax.Array:
        """The event whose latents are z."""
        return self.bijector.inverse(z, cond)[0]

    def sample(self, key, num: int, temperature=1.0, cond=None) -> jax.Array:
        """`num` events; the base's standard deviation is scaled by `temperature`.

        Image samples may fall slightly outside [0, 1): clip before showing them.
        """
        shape = self.latent_shape()
        z = self.base.sample(key, shape, num, temperature, cond)
        return self.from_latents(z, cond)

    def bits_per_dim(self, x: jax.Array, cond=None) -> jax.Array:
        """Bits per dimension `[B]` of dequantised 8-bit images `x` in [0, 1)."""
        return bits_per_dim(self.log_prob(x, cond), self.dims)

    @nn.nowrap
    def latent_shape(self):
        """Shape of the latent event, or shapes of its arrays; checks the event's size.

        Raises ValueError where the bijector cannot take events of `event_shape`.
        """
        return self.bijector.latent_shape(tuple(self.event_shape))

    @property
    def dims(self) -> int:
        """Number of dimensions of an event."""
        return event_size(tuple(self.event_shape))

    @nn.nowrap
    def _checked(self, x):
        expected = tuple(self.event_shape)
        if x.ndim != len(expected) + 1 or x.shape[1:] != expected:
            raise ValueError(
                f"the flow takes events of shape [B, {', '.join(map(str, expected))}], "
                f"got {x.shape}"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"the flow takes floating-point events, got {x.dtype}; dequantise 8-bit"
                " images first (flowjax_ood.data.dequantize)"
            )
        return x
