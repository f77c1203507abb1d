"""Mixtures of logistic distributions: a coupling by their cumulative distribution."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.arguments import real_number, whole_number
from flowjax_ood.bijectors.coupling import (
    ElementwiseCoupling,
    bounded_log_scale,
    check_max_log_scale,
)

# of the inverse: the bracket is halved to less than a float32 holds, and then
# Newton's steps double the digits of a float64
BISECTIONS, NEWTON_STEPS = 40, 2
# exp of it is finite in float32: the slope of the inverse between components far apart
STEEPEST = 80.0


class Mixture(NamedTuple):
    """`F(x) = sum_k w_k sigmoid((x - m_k) exp(-h_k))`: each `[..., K]`.

    `log_weight` are log w_k, which sum to 1; `mean` m_k; `log_scale` h_k.
    """

    log_weight: jax.Array
    mean: jax.Array
    log_scale: jax.Array


def mixture_parameters(
    raw: jax.Array, min_log_scale: float = -7.0, tail_weight: float = 0.0
) -> Mixture:
    """A mixture from unconstrained numbers `[..., 3 K]`; zeros give the identity.

    In order: K weights (softmax), K means and K log-scales, cut at `min_log_scale`.
    With a `tail_weight` w > 0 there is one component more, the standard logistic of
    that weight: `|logit F(x)| <= log(1 + exp|x|) - log w`, wherever the others are.
    """
    if raw.shape[-1] % 3 or not raw.shape[-1]:
        raise ValueError(
            f"a mixture needs 3 K numbers for K components, got {raw.shape[-1]}"
        )
    weight, mean, log_scale = jnp.split(raw, 3, axis=-1)
    log_scale = jnp.maximum(log_scale, min_log_scale)
    log_weight = jax.nn.log_softmax(weight, axis=-1)
    if tail_weight:
        log_weight = log_weight + math.log1p(-tail_weight)
        log_weight = _with_one(log_weight, math.log(tail_weight))
        mean, log_scale = _with_one(mean, 0.0), _with_one(log_scale, 0.0)
    return Mixture(log_weight, mean, log_scale)


def _with_one(a: jax.Array, value: float) -> jax.Array:
    """`a` with `value` at the end of its last axis."""
    return jnp.concatenate([a, jnp.full_like(a[..., :1], value)], axis=-1)


def mixture_forward(x: jax.Array, mixture: Mixture):
    """`y = logit F(x)` and `log dy/dx`, elementwise, exact in both tails.

    `y = log F - log(1 - F)` and `log dy/dx = log f - log F - log(1 - F)`, f the density
    of F, all summed in logs. A mixture of equal components is one logistic: there
    `y = (x - m) exp(-h)` to the last bit, and zeros the identity. The mixture has one
    axis more than x. Source: Ho et al. 2019, section 3.2.
    """
    log_weight, mean, log_scale = mixture
    u = (x[..., None] - mean) * jnp.exp(-log_scale)
    # log sigmoid(u) and log sigmoid(-u), by one exp and one log
    tail = jnp.log1p(jnp.exp(-jnp.abs(u)))
    below, above = jnp.minimum(u, 0) - tail, -jnp.maximum(u, 0) - tail
    log_below = jax.nn.logsumexp(log_weight + below, axis=-1)
    log_above = jax.nn.logsumexp(log_weight + above, axis=-1)
    y = log_below - log_above
    # shares of the smaller tail, whose logarithm may be large: sums of what is near 0
    low = (log_below < log_above)[..., None]
    share = log_weight + jnp.where(low, below, above)
    share = share - jnp.minimum(log_below, log_above)[..., None]
    other = jnp.where(low, above, below)
    log_slope = jax.nn.logsumexp(share + other - log_scale, axis=-1)
    log_slope = log_slope - jnp.maximum(log_below, log_above)
    equal = (u == u[..., :1]) & (log_scale == log_scale[..., :1])
    equal = jnp.all(equal, axis=-1)
    y = _valued(y, equal, u[..., 0])
    return y, _valued(log_slope, equal, -log_scale[..., 0])


def mixture_inverse(y: jax.Array, mixture: Mixture):
    """`x` with `logit F(x) = y`, and `log dx/dy`, elementwise.

    One component is inverted in closed form. Of several, logit F(x) lies between the
    least and the greatest `(x - m_k) exp(-h_k)`, so x lies between the least and the
    greatest `m_k + exp(h_k) y`: that bracket is halved, and Newton's method ends it.
    Gradients are those of the implicit function.
    """
    if mixture.mean.shape[-1] == 1:
        mean, log_scale = mixture.mean[..., 0], mixture.log_scale[..., 0]
        return mean + jnp.exp(log_scale) * y, log_scale
    x = _root(y, mixture)
    return x, -mixture_forward(x, mixture)[1]


def mixture_bracket(y: jax.Array, mixture: Mixture) -> tuple[jax.Array, jax.Array]:
    """`(least, greatest)` x that can have `logit F(x) = y`."""
    ends = mixture.mean + jnp.exp(mixture.log_scale) * y[..., None]
    return jnp.min(ends, axis=-1), jnp.max(ends, axis=-1)


@jax.custom_jvp
def _root(y, mixture):
    def halve(_, bracket):
        low, high = bracket
        middle = low + (high - low) / 2
        too_low = mixture_forward(middle, mixture)[0] < y
        return jnp.where(too_low, middle, low), jnp.where(too_low, high, middle)

    bracket = mixture_bracket(y, mixture)
    # a fixed count: no example of a batch waits for another
    low, high = lax.fori_loop(0, BISECTIONS, halve, bracket)

    def newton(_, x):
        reached, log_slope = mixture_forward(x, mixture)
        step = (reached - y) * _inverse_slope(log_slope)
        return jnp.clip(x - step, low, high)

    return lax.fori_loop(0, NEWTON_STEPS, newton, low + (high - low) / 2)


@_root.defjvp
def _root_jvp(primals, tangents):
    y, mixture = primals
    x = _root(y, mixture)
    _, log_slope = mixture_forward(x, mixture)
    _, moved = jax.jvp(
        lambda mixture: mixture_forward(x, mixture)[0], (mixture,), (tangents[1],)
    )
    return x, (tangents[0] - moved) * _inverse_slope(log_slope)


def _inverse_slope(log_slope):
    return jnp.exp(jnp.minimum(-log_slope, STEEPEST))


def _valued(x, where, value):
    """`x`, with the given value in places, and its own gradient everywhere."""
    return x + lax.stop_gradient(jnp.where(where, value - x, 0))


class MixtureCoupling(ElementwiseCoupling):
    """`z = (logit F(x) + t) exp(s)` on the changed part, F a mixture of logistics.

    Its weights, means and log-scales, and s and t, are computed from the seen part; an
    st-network that starts at zero makes it the identity. The other arguments are those
    of every `Coupling`. Source: Ho et al. 2019, section 3.2, in our order of shift and
    scale.

    * `components`: how many logistics;
    * `min_log_scale`: where their log-scales are cut, at most 0;
    * `max_log_scale`: m in `s = m * tanh(s_raw / m)`, or None for s as it is;
    * `tail_weight`: w of a standard logistic beside the components. The source has
      none: all components may be narrow, and then x far from them is multiplied by
      their slope in every coupling. With one, logit F adds at most log 2 - log w.

    Where F is all but flat, between components far apart, x cannot be told from z:
    float32 inverts to about `1e-7 / slope`. Raises ValueError for numbers out of range.
    """

    components: int = 8
    min_log_scale: float = -7.0
    max_log_scale: float | None = 2.0
    tail_weight: float = 0.0

    def __post_init__(self):
        whole_number("components", self.components, 1)
        if not real_number("min_log_scale", self.min_log_scale) <= 0:
            raise ValueError(
                f"min_log_scale must be at most 0, got {self.min_log_scale}: zeros of "
                "the st-network would not be the identity"
            )
        check_max_log_scale(self.max_log_scale)
        if not 0 <= real_number("tail_weight", self.tail_weight) < 1:
            raise ValueError(f"tail_weight must lie in [0, 1), got {self.tail_weight}")
        super().__post_init__()

    @property
    def numbers(self) -> int:
        return 3 * self.components + 2

    def _elementwise(self, x, raw, inverse):
        mixture = mixture_parameters(
            raw[..., :-2], self.min_log_scale, self.tail_weight
        )
        s, t = bounded_log_scale(raw[..., -2], self.max_log_scale), raw[..., -1]
        if inverse:
            x, log_slope = mixture_inverse(x * jnp.exp(-s) - t, mixture)
            return x, log_slope - s
        y, log_slope = mixture_forward(x, mixture)
        return (y + t) * jnp.exp(s), log_slope + s
