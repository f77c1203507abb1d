"""Learned dequantisation noise: a map of each cell of pixel values onto itself."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.base import Bijector, sum_event


class VariationalDequantization(Bijector):
    """`z = (k + sigmoid(g(logit u; k))) / bins` for `x = (k + u) / bins`, u in [0, 1).

    Each cell `[k, k + 1) / bins` of an image k is mapped onto itself, so that
    `quantize(z) == quantize(x)` always: noise is moved, no pixel is changed. For u
    uniform, as `data.dequantize` draws it, the noise of z has the learned density
    `q(. | k)`, and `logdet = -log q`. As the first part of a flow of z it makes

        log_prob(x) = log p(z) - log q(z | k),

    whose mean over u is a lower bound of the probability of the image: `log_prob - D
    log bins <= log P(k)`, as it is with uniform noise, but closer. A flow with it is
    trained, scored and sampled from as any other. Source: Ho et al. 2019, section 3.1.

    * `bijector`: g, of events like the images, with an image `[B, H, W, K]` as `cond`;
      where it is the identity, so is all;
    * `context`: makes the network of k, such as `networks.GatedConvNet`: a module from
      `k / bins - 0.5` to that cond;
    * `bins`: values of a pixel, as of `dequantize`; a power of two.

    Results are multiples of `bins` times the resolution of numbers below 1, of 2^-24 in
    float32; gradients are those before this rounding. A `cond` that the flow is given
    is not looked at. Samples may lie outside of [0, 1), in cells of their own.
    Raises ValueError for `bins` that are no power of two, and events of no image.
    """

    bijector: Bijector
    context: Callable[..., nn.Module]
    bins: int = 256

    def __post_init__(self):
        bins = whole_number("bins", self.bins, 2)
        if bins & (bins - 1):
            raise ValueError(f"bins must be a power of two, got {bins}")
        super().__post_init__()

    def forward(self, x, cond=None):
        return self._moved(x, "forward")

    def inverse(self, z, cond=None):
        return self._moved(z, "inverse")

    @nn.nowrap
    def latent_shape(self, shape):
        if len(shape) != 3:
            raise ValueError(
                f"dequantisation is of images (H, W, C), got events of shape {shape}"
            )
        if (latent := self.bijector.latent_shape(shape)) != shape:
            raise ValueError(
                "the noise needs a bijector that keeps the shape of images; this one "
                f"maps {shape} to {latent}"
            )
        return shape

    @nn.compact
    def _moved(self, x, method):
        scaled = x * float(self.bins)
        k = lax.stop_gradient(jnp.floor(scaled))
        u = scaled - k
        # both steps are exact: powers of two, and what is left of a sum of 24 bits
        step = self.bins * float(jnp.finfo(x.dtype).eps) / 2
        # u stands for the interval that begins there: its middle has a logit
        e = _logit(jnp.minimum(u + step / 2, 1 - step / 2))
        context = self.context(name="context")(k / self.bins - 0.5)
        v, logdet = getattr(self.bijector, method)(e, context.astype(x.dtype))
        moved = jax.nn.sigmoid(v)
        low = jnp.clip(jnp.floor(moved / step) * step, 0, 1 - step)
        # what is not moved is not rounded either
        low = jnp.where(v == e, u, low)
        moved = moved + lax.stop_gradient(low - moved)
        logdet = logdet + sum_event(_log_slope(v) - _log_slope(e))
        return (k + moved) / self.bins, logdet


def _logit(u):
    return jnp.log(u) - jnp.log1p(-u)


def _log_slope(v):
    """`log d sigmoid(v) / dv`."""
    return jax.nn.log_sigmoid(v) + jax.nn.log_sigmoid(-v)
