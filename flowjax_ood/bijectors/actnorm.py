"""ActNorm: a per-channel affine map whose first batch comes out normalised."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.bijectors.base import Bijector, logdet_dtype

REMEDY = (
    "give init real, dequantised images; for shapes alone, as to restore a checkpoint, "
    "use jax.eval_shape(flow.init, key, x)"
)


def actnorm_forward(x: jax.Array, bias: jax.Array, log_scale: jax.Array):
    """`z = (x + bias) * exp(log_scale)` per channel (last axis).

    `logdet = positions * sum(log_scale)`, the same for every example. Source: Kingma
    and Dhariwal 2018, section 3.1.
    """
    gain = lax.broadcast_to_rank(jnp.exp(log_scale), x.ndim)
    return (x + lax.broadcast_to_rank(bias, x.ndim)) * gain, _logdet(x, log_scale)


def actnorm_inverse(z: jax.Array, bias: jax.Array, log_scale: jax.Array):
    """`x = z * exp(-log_scale) - bias`."""
    gain = lax.broadcast_to_rank(jnp.exp(-log_scale), z.ndim)
    return z * gain - lax.broadcast_to_rank(bias, z.ndim), -_logdet(z, log_scale)


def actnorm_init(x: jax.Array, eps: float = 1e-6):
    """`(bias, log_scale)` that give each channel of x zero mean and unit variance.

    Float32. A channel that does not vary, by more than `eps` and rounding, has no scale
    to be given: its log_scale is 0.
    """
    x = x.astype(logdet_dtype(x))
    axes = tuple(range(x.ndim - 1))
    log_scale = jnp.where(_varies(x, eps), -jnp.log(jnp.std(x, axes) + eps), 0)
    return -jnp.mean(x, axes).astype(jnp.float32), log_scale.astype(jnp.float32)


def check_varies(x: jax.Array) -> None:
    """Raise ValueError for a batch that ActNorm cannot start from, if it is known."""
    if 0 in x.shape[:-1]:
        raise ValueError(
            f"ActNorm starts from data, and the batch given to init is empty: {x.shape}"
            f"; {REMEDY}"
        )
    if isinstance(x, jax.core.Tracer):
        return
    # NumPy: while something else is traced, JAX would trace this too
    values = np.asarray(x, jnp.promote_types(x.dtype, np.float32))
    with np.errstate(invalid="ignore"):
        varies = _varies(values)
    if not varies.all():
        channel = int(varies.argmin())
        first = float(values[..., channel].ravel()[0])
        raise ValueError(
            f"ActNorm starts from data, and of the batch given to init channel "
            f"{channel} reaches it as {first:g} throughout, or not finite; {REMEDY}"
        )


def _varies(x, eps: float = 1e-6):
    """Whether each channel takes different, finite values: boolean `[C]`."""
    axes = tuple(range(x.ndim - 1))
    # with an initial value, an empty batch has a shape, which Flax asks for
    low, high = x.min(axes, initial=np.inf), x.max(axes, initial=-np.inf)
    # not the deviation, which is a sum: it is rounded more the more values there are
    rounding = 4 * jnp.finfo(x.dtype).eps * (abs(low) + abs(high))
    return high - low > eps + rounding


def _logdet(x: jax.Array, log_scale: jax.Array) -> jax.Array:
    positions = math.prod(x.shape[1:-1])
    total = positions * jnp.sum(log_scale, dtype=logdet_dtype(x))
    return jnp.broadcast_to(total, x.shape[:1])


class ActNorm(Bijector):
    """`z = (x + bias) * exp(log_scale)` per channel, initialised from data.

    `init(key, batch)` chooses bias and scale so that this batch leaves the layer with
    zero mean and unit variance per channel; there is no state beyond the parameters.
    Initialising through `inverse` normalises the latents it is given instead.

    Raises ValueError for a batch in which a channel is constant or not finite. Under
    jit, where values are not known, the scale of such a channel is left at 1.
    """

    @nn.compact
    def _parameters(self, event, inverse):
        def initial(which):
            def init(key):
                bias, log_scale = actnorm_init(event)
                if inverse:  # x = z * exp(-log_scale) - bias must be normalised
                    bias, log_scale = -bias * jnp.exp(log_scale), -log_scale
                return (bias, log_scale)[which]

            return init

        # not in `initial`, which Flax evaluates for its shape wherever there are values
        if not self.has_variable("params", "bias"):
            check_varies(event)
        return self.param("bias", initial(0)), self.param("log_scale", initial(1))

    def forward(self, x, cond=None):
        return actnorm_forward(x, *self._parameters(x, inverse=False))

    def inverse(self, z, cond=None):
        return actnorm_inverse(z, *self._parameters(z, inverse=True))
