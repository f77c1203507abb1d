"""Base densities: the distributions of a flow's latents.

Any Flax module with `log_prob(z, cond) -> [B]` (nats) and
`sample(key, shape, num, temperature, cond)` will do as the base of a `Flow`.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.base import (
    Event,
    Shape,
    array_shapes,
    leaves,
    sum_event,
    zero_logdet,
)

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
PER = ("dimension", "channel")


def standard_normal_log_prob(z: Event) -> jax.Array:
    """`log N(z; 0, I)` of each event, summed over its arrays: `[B]`, nats."""
    parts = (sum_event(-0.5 * part * part - HALF_LOG_2PI) for part in leaves(z))
    return sum(parts, start=zero_logdet(z))


def normal_log_prob(z: Event, mean: Event, log_scale: Event) -> jax.Array:
    """`log N(z; mean, diag exp(2 log_scale))` of each event: `[B]`, nats.

    `mean` and `log_scale` are events like z; their arrays broadcast against those of z.
    """
    total = zero_logdet(z)
    for part, m, s in zip(leaves(z), leaves(mean), leaves(log_scale), strict=True):
        u = (part - m) * jnp.exp(-s)
        total = total + sum_event(-0.5 * u * u - s - HALF_LOG_2PI)
    return total


class StandardNormal(nn.Module):
    """N(0, I) on an event of any shape; no parameters, `cond` is ignored."""

    def log_prob(self, z: Event, cond=None) -> jax.Array:
        """`log N(z; 0, I)`: `[B]`, nats."""
        return standard_normal_log_prob(z)

    def sample(self, key, shape: Shape, num: int, temperature=1.0, cond=None) -> Event:
        """Draw `num` events of `shape` from N(0, temperature^2 I)."""
        return jax.tree.map(lambda noise: temperature * noise, _noise(key, shape, num))


class ConditionalNormal(nn.Module):
    """`N(mean(cond), diag exp(2 log_scale(cond)))` on an event of any shape.

    With h a ReLU network of widths `hidden` on `cond [B, K]` (none: h = cond),

        mean = h W + b,    log_scale = m tanh((h V + c) / m),   m = max_log_scale,

    so no standard deviation leaves (exp(-m), exp(m)): a class with few examples cannot
    collapse to a point. W, b, V and c start at zero: the start is N(0, I), whatever
    cond is. One-hot conditions (`one_hot_condition`) give every class a Gaussian of its
    own.

    * `per`: "dimension" has a mean and a scale for each of the D dimensions, without
      hidden layers 2 D (K + 1) parameters; "channel" for each channel (last axis) of
      each array of the event, which is what Glow does and what large images need.

    Source: Kingma and Dhariwal 2018 (class-conditional top prior); Izmailov et al. 2020
    (one Gaussian per class). Raises ValueError for settings out of range, and where
    cond is missing, not `[B, K]`, or of another K than the parameters.
    """

    hidden: Sequence[int] = ()
    per: str = "dimension"
    max_log_scale: float = 3.0

    def __post_init__(self):
        if self.per not in PER:
            raise ValueError(f"unknown per {self.per!r}; known: {', '.join(PER)}")
        if not 0 < self.max_log_scale < math.inf:
            raise ValueError(
                f"max_log_scale must be positive and finite, got {self.max_log_scale}"
            )
        self.hidden = tuple(self.hidden)
        if any(whole_number("hidden", width) < 1 for width in self.hidden):
            raise ValueError(f"hidden widths must be at least 1, got {self.hidden}")
        super().__post_init__()

    def log_prob(self, z: Event, cond=None) -> jax.Array:
        """`log N(z; mean(cond), diag exp(2 log_scale(cond)))`: `[B]`, nats."""
        parts = leaves(z)
        shape = tuple(part.shape[1:] for part in parts)
        mean, log_scale = self._parts(shape, cond, parts[0].shape[0])
        return normal_log_prob(parts, mean, log_scale)

    def sample(self, key, shape: Shape, num: int, temperature=1.0, cond=None) -> Event:
        """`mean + temperature * exp(log_scale) * N(0, I)`: one event per row of cond.

        `num` is the number of rows of cond.
        """
        return jax.tree.map(
            lambda m, s, e: m + temperature * jnp.exp(s) * e,
            *self.mean_and_log_scale(shape, cond, num),
            _noise(key, shape, num),
        )

    def mean_and_log_scale(self, shape: Shape, cond, num=None) -> tuple[Event, Event]:
        """Compute mean and log standard deviation of events, each `[B, *shape]`.

        With `per="channel"` the axes between the first and the last have length 1.
        `num` is the number of rows that cond must have; None allows any.
        """
        if _split(shape):
            return self._parts(shape, cond, num)
        (mean,), (log_scale,) = self._parts((shape,), cond, num)
        return mean, log_scale

    @nn.compact
    def _parts(self, shapes, cond, num):
        """`(means, log scales)`, one array for each of `shapes`; `num` rows of cond."""
        names = [*(f"hidden_{i}" for i in range(len(self.hidden))), "mean"]
        h = cond = self._checked(cond, num, names[0])
        precision = jax.lax.Precision.HIGHEST
        for name, width in zip(names, self.hidden, strict=False):
            h = nn.relu(nn.Dense(width, name=name, precision=precision)(h))
        if self.per == "channel":
            shapes = [(*(1,) * (len(s) - 1), s[-1]) for s in shapes]
        sizes = [math.prod(s) for s in shapes]

        def numbers(name):
            zeros = nn.initializers.zeros
            layer = nn.Dense(
                sum(sizes), name=name, kernel_init=zeros, precision=precision
            )
            return layer(h)

        def cut(flat):
            parts = jnp.split(flat, np.cumsum(sizes)[:-1], axis=-1)
            return tuple(
                part.reshape(cond.shape[0], *s)
                for part, s in zip(parts, shapes, strict=True)
            )

        bound = self.max_log_scale
        log_scale = bound * jnp.tanh(numbers("log_scale") / bound)
        return cut(numbers("mean")), cut(log_scale)

    def _checked(self, cond, num, first):
        if cond is None:
            raise ValueError(
                "ConditionalNormal needs cond [B, K], got None; give it to every "
                "method of the flow. For class labels: "
                "one_hot_condition(labels, num_classes)"
            )
        cond = jnp.asarray(cond)
        if cond.ndim != 2 or num not in (None, cond.shape[0]):
            raise ValueError(
                f"ConditionalNormal needs cond [{num or 'B'}, K], one row per event, "
                f"got shape {cond.shape}. For class labels: "
                "one_hot_condition(labels, num_classes)"
            )
        layer = self.variables.get("params", {}).get(first)
        if layer is not None and len(layer["kernel"]) != cond.shape[1]:
            raise ValueError(
                f"this ConditionalNormal was initialised with cond "
                f"[B, {len(layer['kernel'])}], got shape {cond.shape}"
            )
        return cond


def _split(shape: Shape) -> bool:
    """Whether it is the shapes of a tuple's arrays."""
    return bool(shape) and isinstance(shape[0], tuple)


def _noise(key, shape: Shape, num: int) -> Event:
    """`num` events of `shape` from N(0, I), of JAX's default dtype."""
    shapes = array_shapes(shape)
    if not _split(shape):
        return jax.random.normal(key, (num, *shapes[0]))
    keys = jax.random.split(key, len(shapes))
    return tuple(
        jax.random.normal(k, (num, *s)) for k, s in zip(keys, shapes, strict=True)
    )
