"""ActNorm: a per-channel affine map whose first batch comes out normalised."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.bijectors.base import Bijector, logdet_dtype


def actnorm_forward(x: jax.Array, bias: jax.Array, log_scale: jax.Array):
    """`z = (x + bias) * exp(log_scale)` per channel (last axis).

    `logdet = positions * sum(log_scale)`, the same for every example. Source: Kingma
    and Dhariwal 2018, section 3.1.
    """
    return (x + bias) * jnp.exp(log_scale), _logdet(x, log_scale)


def actnorm_inverse(z: jax.Array, bias: jax.Array, log_scale: jax.Array):
    """`x = z * exp(-log_scale) - bias`."""
    return z * jnp.exp(-log_scale) - bias, -_logdet(z, log_scale)


def actnorm_init(x: jax.Array, eps: float = 1e-6):
    """`(bias, log_scale)` that give each channel of x zero mean and unit variance."""
    axes = tuple(range(x.ndim - 1))
    return -jnp.mean(x, axes), -jnp.log(jnp.std(x, axes) + eps)


def _logdet(x: jax.Array, log_scale: jax.Array) -> jax.Array:
    positions = math.prod(x.shape[1:-1])
    total = positions * jnp.sum(log_scale, dtype=logdet_dtype(x))
    return jnp.broadcast_to(total, x.shape[:1])


class ActNorm(Bijector):
    """`z = (x + bias) * exp(log_scale)` per channel, initialised from data.

    `init(key, batch)` chooses bias and scale so that this batch leaves the layer with
    zero mean and unit variance per channel; there is no state beyond the parameters.
    Initialising through `inverse` normalises the latents it is given instead.
    """

    @nn.compact
    def _parameters(self, event, inverse):
        def initial(which):
            def init(key):
                bias, log_scale = actnorm_init(event.astype(logdet_dtype(event)))
                if inverse:  # x = z * exp(-log_scale) - bias must be normalised
                    bias, log_scale = -bias * jnp.exp(log_scale), -log_scale
                return (bias, log_scale)[which]

            return init

        return self.param("bias", initial(0)), self.param("log_scale", initial(1))

    def forward(self, x, cond=None):
        return actnorm_forward(x, *self._parameters(x, inverse=False))

    def inverse(self, z, cond=None):
        return actnorm_inverse(z, *self._parameters(z, inverse=True))
