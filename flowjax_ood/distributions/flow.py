"""The flow: a bijector with a base density, and the units of its likelihoods."""

import math
from dataclasses import field
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import event_shape, whole_number
from flowjax_ood.bijectors.base import (
    Bijector,
    Event,
    Shape,
    event_size,
    leaves,
    widened,
)
from flowjax_ood.bijectors.combinators import forward_by_scale
from flowjax_ood.distributions.base_densities import StandardNormal


def discrete_log_likelihood(log_prob, dims: int, bins: int = 256):
    """Log-probability (nats) of a discrete image: `dims` values of `bins` levels each.

    `log_prob - dims * log(bins)`, a lower bound in expectation over the
    dequantisation noise. Raises ValueError for fewer than one level. Source: Theis et
    al. 2016, section 3.1.
    """
    return log_prob - dims * math.log(whole_number("bins", bins, 1))


def bits_per_dim(log_prob, dims: int, bins: int = 256):
    """`-(log_prob - dims log bins) / (dims log 2)`: bits/dim, lower is likelier.

    `log_prob` in nats on [0, 1)^dims, as `Flow.log_prob` gives it.
    """
    return -discrete_log_likelihood(log_prob, dims, bins) / (dims * math.log(2))


class LogProbParts(NamedTuple):
    """`log_prob = log_pz + logdet`, each `[B]` in nats."""

    log_pz: jax.Array
    logdet: jax.Array

    @property
    def log_prob(self) -> jax.Array:
        """Log-density `[B]` in nats."""
        return self.log_pz + self.logdet


class ScaleParts(NamedTuple):
    """The terms of the log-density by scale, finest first: nats.

    `latents` are those that leave the flow at each scale, a tuple of S arrays; the
    log-determinants are gained between them. Sums over scales are `LogProbParts`.
    """

    log_pz: jax.Array  # [B, S]
    logdet: jax.Array  # [B, S]
    latents: tuple[jax.Array, ...]


class Flow(nn.Module):
    """`log p(x) = log p_Z(f(x)) + log |det df/dx|`.

    `event_shape` is one event's shape, `(H, W, C)` for images. Use as any Flax module:

        variables = flow.init(key, x)
        log_prob = flow.apply(variables, x)                       # [B], nats
        z = flow.apply(variables, x, method="latents")
        x = flow.apply(variables, key, 16, method="sample")
        x, log_prob = flow.apply(variables, key, 16, method="sample_and_log_prob")

    `cond` is an optional condition, a floating-point vector `[B, K]` for the bijectors,
    st-networks and base densities this package has, or an image `[B, h, w, K]` for
    `networks.ImageConditioned`: one row for each event, or for each sample drawn. A
    class is a one-hot row (`one_hot_condition`). With `conditional_bijector=False` the
    base density alone is given it: the latents of an event are then the same for all
    conditions, and scoring all classes costs one pass.

    A `cond` that nothing would use then, because the base is the default
    `StandardNormal`, raises ValueError.

    Events, latents and densities are float32, or float64 where the events given or the
    parameters are (samples: the parameters). Narrower events are widened first.

    There is no hidden state; every method works under jit, vmap and grad. A flow is
    hashable and equals another of the same arguments, so it may be a static argument
    of `jax.jit`; bind the arguments of a module factory by `networks.Bound` for that.
    """

    bijector: Bijector
    event_shape: tuple[int, ...]
    base: nn.Module = field(default_factory=StandardNormal)
    conditional_bijector: bool = True

    def __post_init__(self):
        self.event_shape = event_shape("event_shape", self.event_shape)
        super().__post_init__()

    def __call__(self, x, cond=None):
        return self.log_prob(x, cond)

    def log_prob(self, x: jax.Array, cond=None) -> jax.Array:
        """`log p_Z(f(x)) + log |det df/dx|` of `x [B, *event_shape]`: `[B]`, nats.

        Images are in [0, 1). Raises ValueError for x or cond of another shape or dtype.
        """
        return self.log_prob_parts(x, cond).log_prob

    def log_prob_parts(self, x: jax.Array, cond=None) -> LogProbParts:
        """Compute the two terms of the log-density, each `[B]` in nats."""
        z, logdet = self._forward(x, cond)
        return LogProbParts(self.base.log_prob(z, cond), logdet)

    def log_prob_scales(self, x: jax.Array, cond=None) -> ScaleParts:
        """Compute the terms of the log-density that each scale of the flow adds.

        ValueError for a base density other than N(0, I), which need not be a sum over
        scales.
        """
        if type(self.base) is not StandardNormal:
            raise ValueError(
                f"terms by scale need the base StandardNormal, a sum over scales; this "
                f"flow's is {type(self.base).__name__}"
            )
        self._check(x, cond)
        x, cond = self._wide(x), self._for_bijector(cond)
        latents, logdets = forward_by_scale(self.bijector, x, cond)
        log_pz = [self.base.log_prob(z) for z in latents]
        return ScaleParts(jnp.stack(log_pz, 1), jnp.stack(logdets, 1), latents)

    def latents(self, x: jax.Array, cond=None) -> Event:
        """`z = f(x)`, the latent event: an array, or several, coarsest last."""
        return self._forward(x, cond)[0]

    def from_latents(self, z: Event, cond=None) -> jax.Array:
        """`x = f^-1(z)`: `[B, *event_shape]`, the events whose latents are z.

        Raises ValueError for z that is no latent event, as `latents` gives it.
        """
        return self._inverse(z, cond)[0]

    def sample(self, key, num: int, temperature=1.0, cond=None) -> jax.Array:
        """Draw `num` events; the base's standard deviation is scaled by `temperature`.

        `cond`: one row per sample; `jnp.repeat(row[None], num, axis=0)` for one row.
        Image samples may fall slightly outside [0, 1): clip before showing them.
        Raises ValueError for a negative number, and a negative temperature or NaN.
        """
        return self.from_latents(self._draw(key, num, temperature, cond), cond)

    def sample_and_log_prob(self, key, num: int, temperature=1.0, cond=None):
        """`(x, log p(x))`: what `sample` draws, and its log-density `[num]` in nats.

        `log p(x) = log p_Z(z) - log |det df^-1/dz|` of the very latents z that x is
        made of. That is `log_prob(x)`, but exact where x, rounded, has lost digits, as
        images have outside [0, 1). At every temperature it is the density of the flow:
        the one that samples are drawn from only at temperature 1. Raises ValueError as
        `sample` does.
        """
        z = self._draw(key, num, temperature, cond)
        x, logdet = self._inverse(z, cond)
        return x, self.base.log_prob(z, cond) - logdet

    def bits_per_dim(self, x: jax.Array, cond=None, bins: int = 256) -> jax.Array:
        """Compute bits/dim `[B]` of dequantised images `x` in [0, 1) of `bins` levels.

        8-bit images have 256. Raises ValueError as `log_prob` does.
        """
        return bits_per_dim(self.log_prob(x, cond), self.dims, bins)

    @nn.nowrap
    def latent_shape(self):
        """Return the shape of the latent event, or the shapes of its arrays.

        Raises ValueError where the bijector cannot take events of `event_shape`.
        """
        return self.bijector.latent_shape(tuple(self.event_shape))

    @property
    def dims(self) -> int:
        """Number of dimensions of an event."""
        return event_size(tuple(self.event_shape))

    def _forward(self, x, cond):
        self._check(x, cond)
        return self.bijector.forward(self._wide(x), self._for_bijector(cond))

    def _inverse(self, z, cond):
        check_latents(z, self.latent_shape())
        self._check_cond(cond, leaves(z)[0].shape[0], "events")
        return self.bijector.inverse(self._wide(z), self._for_bijector(cond))

    def _draw(self, key, num, temperature, cond):
        """`num` latent events of the parameters' dtype; a base may draw another."""
        num = whole_number("num", num, 0)
        check_temperature(temperature)
        self._check_cond(cond, num, "samples")
        z = self.base.sample(key, self.latent_shape(), num, temperature, cond)
        return jax.tree.map(lambda part: part.astype(self._dtype()), z)

    def _wide(self, event):
        return widened(event, self._dtype())

    def _dtype(self):
        """The widest of float32 and the parameters' dtypes."""
        params = jax.tree.leaves(self.variables.get("params", {}))
        return jnp.result_type(jnp.float32, *(array.dtype for array in params))

    @nn.nowrap
    def _for_bijector(self, cond):
        # a narrow cond would round the weights it meets
        return jax.tree.map(widened, cond) if self.conditional_bijector else None

    @nn.nowrap
    def _check(self, x, cond):
        expected = tuple(self.event_shape)
        if not hasattr(x, "shape"):
            raise ValueError(f"the flow takes an array of events, got {_summary(x)}")
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
        self._check_cond(cond, x.shape[0], "events")

    @nn.nowrap
    def _check_cond(self, cond, num: int, of: str):
        unconditional = type(self.base) is StandardNormal
        if cond is not None and unconditional and not self.conditional_bijector:
            raise ValueError(
                "nothing of this flow uses cond: conditional_bijector=False leaves it "
                "to the base density, and StandardNormal ignores it; give "
                "base=ConditionalNormal(), or leave cond out"
            )
        # a single row would broadcast in some networks and fail in others, and
        # integers would round the weights they meet
        for array in jax.tree.leaves(cond):
            shape, dtype = jnp.shape(array), jnp.result_type(array)
            if shape[:1] != (num,):
                raise ValueError(
                    f"cond must have one row for each of the {num} {of}, got shape "
                    f"{shape}"
                )
            if not jnp.issubdtype(dtype, jnp.floating):
                raise ValueError(
                    f"cond must be floating-point, got {dtype}; make class labels "
                    "one-hot rows (flowjax_ood.distributions.one_hot_condition)"
                )


def check_latents(z: Event, shape: Shape) -> None:
    """Raise ValueError unless z is a batch of floating-point latent events of `shape`.

    `shape`: of one event, an array's or a tuple of those of its arrays.
    """
    given = jax.tree.map(lambda a: tuple(getattr(a, "shape", ()))[1:], z)
    arrays = jax.tree.leaves(z)
    if given != shape or len({a.shape[0] for a in arrays}) != 1:
        parts = shape if isinstance(shape[0], tuple) else (shape,)
        names = [f"[B, {', '.join(map(str, part))}]" for part in parts]
        expected = names[0] if parts != shape else f"a tuple ({', '.join(names)})"
        raise ValueError(f"the flow's latents are {expected}, got {_summary(z)}")
    for array in arrays:
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"latents must be floating-point, got {array.dtype}")


def check_temperature(temperature) -> None:
    """Raise ValueError for a negative temperature, NaN and inf, where it is known."""
    if isinstance(temperature, jax.core.Tracer):
        return
    try:
        values = np.asarray(temperature, float)
    except (TypeError, ValueError):
        values = np.asarray(np.nan)
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(
            f"temperature must be a finite number, at least 0, got {temperature!r}"
        )


def _summary(value) -> str:
    """What something given for an event is: its shapes, or its type."""
    if hasattr(value, "shape"):
        return str(list(value.shape))
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(map(_summary, value))})"
    return "None" if value is None else f"a {type(value).__name__}"
