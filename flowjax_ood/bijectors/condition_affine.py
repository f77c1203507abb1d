"""A scale and a shift of everything, computed from the condition alone."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import real_number
from flowjax_ood.bijectors.base import Bijector
from flowjax_ood.bijectors.coupling import affine_forward, affine_inverse


class ConditionAffine(Bijector):
    """`z = (x + t(cond)) * exp(s(cond))`, all of x.

    `s = m tanh(s_raw / m)` with `m = max_log_scale`, so |s| <= m, and `(s_raw, t)` of
    `net`. With m = 0 there is no scale: `z = x + t(cond)`, and maximum likelihood is
    least squares.

    Under N(0, I) the density of x given cond is a Gaussian of independent dimensions,
    of mean -t and log standard deviation -s: regression with a variance of its own at
    each of them. Source: Page Vizcaino et al. 2024 (conditional wavelet flow).

    * `net`: makes the network, such as `networks.ImageConditioned` with its arguments
      bound. Called as `net(None, features, cond)`, it returns `[B, *shape, features]`
      for x `[B, *shape, C]`.

    Raises ValueError where cond is None, and for a negative or infinite bound.
    """

    net: Callable[..., nn.Module]
    max_log_scale: float = 2.0

    def __post_init__(self):
        if real_number("max_log_scale", self.max_log_scale) < 0:
            raise ValueError(
                "max_log_scale must be positive, or 0 for a shift alone, got "
                f"{self.max_log_scale}"
            )
        super().__post_init__()

    def forward(self, x, cond=None):
        return affine_forward(x, *self._numbers(x.shape, x.dtype, cond))

    def inverse(self, z, cond=None):
        return affine_inverse(z, *self._numbers(z.shape, z.dtype, cond))

    def mean_and_log_scale(self, shape: tuple[int, ...], cond) -> tuple:
        """Mean and log standard deviation `[B, *shape]` of x, where z is N(0, I)."""
        s, t = self._numbers((cond.shape[0], *shape), cond.dtype, cond)
        return -t, -s

    @nn.compact
    def _numbers(self, shape, dtype, cond) -> tuple[jax.Array, jax.Array]:
        """`(s, t)`, each of `shape`."""
        if cond is None:
            raise ValueError(
                "ConditionAffine is nothing but its condition: give cond to every "
                "method of the flow, got None"
            )
        bound = self.max_log_scale
        features = shape[-1] * (2 if bound else 1)
        raw = self.net(name="net")(None, features, cond.astype(dtype))
        if raw.shape != (*shape[:-1], features):
            raise ValueError(
                f"the network of ConditionAffine returned {raw.shape}, events of shape "
                f"{tuple(shape)} need {(*shape[:-1], features)}: an image-shaped cond "
                "has the sides of the events, [B, h, w, K]"
            )
        raw = raw.astype(dtype)
        if not bound:
            return jnp.zeros_like(raw), raw
        s, t = jnp.split(raw, 2, axis=-1)
        return bound * jnp.tanh(s / bound), t
