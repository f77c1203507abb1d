"""Logit transform of images in [0, 1): the first step of every image flow."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.bijectors.base import Bijector, sum_event

# how far outside its domain a value may lie, in units of its dtype's epsilon
ROUNDING = 4


def logit_forward(x: jax.Array, alpha: float = 0.05):
    """`z = logit(alpha + (1 - 2 alpha) x)`, elementwise, for x in [0, 1].

    Returns `(z, logdet [B])`. With alpha > 0 the latents of [0, 1] stay bounded. Where
    the inverse rounds to the ends of the domain, -+ alpha / (1 - 2 alpha) outside
    [0, 1], z is that of the last number within, and finite; beyond, NaN. Source: Dinh
    et al. 2017, section 4.1; the paper's code uses alpha = 0.05.
    """
    p = alpha + (1 - 2 * alpha) * x
    eps, tiny = jnp.finfo(p.dtype).eps, jnp.finfo(p.dtype).tiny
    # as finely as numbers near the ends are rounded: alpha, and 1
    inside = jnp.clip(p, max(alpha * eps / 2, tiny), 1 - eps / 2)
    p = jnp.where(jnp.abs(p - inside) <= 2 * ROUNDING * eps, inside, jnp.nan)
    z = jnp.log(p) - jnp.log1p(-p)
    return z, sum_event(_log_slope(z, alpha))


def logit_inverse(z: jax.Array, alpha: float = 0.05):
    """`x = (sigmoid(z) - alpha) / (1 - 2 alpha)`, the exact inverse.

    (The paper's code returns `sigmoid(z)`, hence its low-contrast samples.)
    """
    x = (jax.nn.sigmoid(z) - alpha) / (1 - 2 * alpha)
    return x, -sum_event(_log_slope(z, alpha))


def _log_slope(z: jax.Array, alpha: float) -> jax.Array:
    # d logit(p) = dp / (p (1 - p)), with log p and log (1 - p) as softplus of z
    return jax.nn.softplus(z) + jax.nn.softplus(-z) + math.log(1 - 2 * alpha)


class Logit(Bijector):
    """`z = logit(alpha + (1 - 2 alpha) x)`: maps [0, 1) to the reals.

    `log dz/dx` of each value is sown as `log_slope` in `intermediates`. Raises
    ValueError for values outside [0, 1] by more than `alpha / (1 - 2 alpha)` and
    rounding, where the logit is undefined, if it can see them: under jit they give NaN.
    """

    alpha: float = 0.05

    def setup(self):
        if not 0 <= self.alpha < 0.5:
            raise ValueError(f"Logit needs 0 <= alpha < 0.5, got {self.alpha}")

    def forward(self, x, cond=None):
        if not isinstance(x, jax.core.Tracer) and x.size:
            # NumPy: while something else is traced, JAX would trace this too
            values = np.asarray(x, np.float64)
            low, high = values.min(), values.max()
            # samples may leave [0, 1] as far as the logit is defined
            rounding = ROUNDING * float(jnp.finfo(jnp.result_type(x, 0.0)).eps)
            margin = (self.alpha + rounding) / (1 - 2 * self.alpha)
            if not -margin <= low <= high <= 1 + margin:
                raise ValueError(
                    f"Logit takes values in [0, 1], got {low:g} to {high:g} (samples "
                    f"may lie as far out as {-margin:.7g} and {1 + margin:.7g}); "
                    "divide 8-bit images by 256 (flowjax_ood.data.dequantize does)"
                )
        z, logdet = logit_forward(x, self.alpha)
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "log_slope", _log_slope(z, self.alpha))
        return z, logdet

    def inverse(self, z, cond=None):
        return logit_inverse(z, self.alpha)
