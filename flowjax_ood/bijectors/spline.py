"""Monotonic rational-quadratic splines: a more flexible map than scale and shift."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from flowjax_ood.bijectors.base import sum_event
from flowjax_ood.bijectors.coupling import Coupling

MIN_SIZE = 1e-3
MIN_SLOPE = 1e-3


class Spline(NamedTuple):
    """Knots of a spline on `[-bound, bound]`, the identity outside.

    `x` and `y` `[..., K + 1]` increase from -bound to bound; `slope` `[..., K + 1]` is
    the positive derivative at the knots, 1 at both ends.
    """

    x: jax.Array
    y: jax.Array
    slope: jax.Array


def spline_knots(raw: jax.Array, bound: float) -> Spline:
    """A spline from unconstrained numbers `[..., 3 K - 1]`; zeros give the identity.

    In order: K widths and K heights (softmax, at least `MIN_SIZE` each) and K - 1 inner
    slopes (softplus, at least `MIN_SLOPE`).
    """
    bins = (raw.shape[-1] + 1) // 3
    if raw.shape[-1] != 3 * bins - 1 or bins < 1:
        raise ValueError(
            f"a spline needs 3 K - 1 numbers for K bins, got {raw.shape[-1]}"
        )
    # shifted so that raw 0 is slope 1
    shift = jnp.log(jnp.expm1(1 - MIN_SLOPE))
    inner = MIN_SLOPE + jax.nn.softplus(raw[..., 2 * bins :] + shift)
    slope = jnp.pad(inner, [(0, 0)] * (raw.ndim - 1) + [(1, 1)], constant_values=1.0)
    widths, heights = raw[..., :bins], raw[..., bins : 2 * bins]
    return Spline(_knots(widths, bound), _knots(heights, bound), slope)


def spline_forward(x: jax.Array, spline: Spline):
    """`(y, log dy/dx)` elementwise; knots have one more axis than x.

    Source: Durkan et al. 2019, equations (4) and (5); Gregory and Delbourgo 1982.
    """
    inside = (x > spline.x[..., 0]) & (x < spline.x[..., -1])
    at = _bin(spline.x, x)
    x0, w, y0, h, d0, d1 = _corner(spline, at)
    safe = jnp.where(inside, x, x0)
    theta = (safe - x0) / w
    s = h / w
    mixed = theta * (1 - theta)
    denominator = s + (d0 + d1 - 2 * s) * mixed
    y = y0 + h * (s * theta**2 + d0 * mixed) / denominator
    log_slope = _log_slope(theta, s, d0, d1, denominator)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def spline_inverse(y: jax.Array, spline: Spline):
    """`(x, log dx/dy)`: the root of a quadratic in each bin (equations (6) to (8))."""
    inside = (y > spline.y[..., 0]) & (y < spline.y[..., -1])
    at = _bin(spline.y, y)
    x0, w, y0, h, d0, d1 = _corner(spline, at)
    rise = jnp.where(inside, y, y0) - y0
    s = h / w
    bend = d0 + d1 - 2 * s
    a = h * (s - d0) + rise * bend
    b = h * d0 - rise * bend
    c = -s * rise
    # the form that stays exact where a is close to zero
    theta = 2 * c / (-b - jnp.sqrt(jnp.maximum(b * b - 4 * a * c, 0)))
    denominator = s + bend * theta * (1 - theta)
    x = x0 + theta * w
    log_slope = _log_slope(theta, s, d0, d1, denominator)
    return jnp.where(inside, x, y), jnp.where(inside, -log_slope, 0)


def _log_slope(theta, s, d0, d1, denominator):
    mixed = theta * (1 - theta)
    numerator = s**2 * (d1 * theta**2 + 2 * s * mixed + d0 * (1 - theta) ** 2)
    return jnp.log(numerator) - 2 * jnp.log(denominator)


def _knots(raw, bound):
    bins = raw.shape[-1]
    sizes = MIN_SIZE + (1 - MIN_SIZE * bins) * jax.nn.softmax(raw, axis=-1)
    inner = 2 * bound * jnp.cumsum(sizes[..., :-1], axis=-1) - bound
    pad = [(0, 0)] * (raw.ndim - 1)
    left = jnp.pad(inner, [*pad, (1, 0)], constant_values=-bound)
    return jnp.pad(left, [*pad, (0, 1)], constant_values=bound)


def _bin(knots, x):
    """Index of the bin that holds x, those outside counted to the last ones."""
    above = x[..., None] >= knots[..., 1:-1]
    return jnp.sum(above, axis=-1, dtype=jnp.int32)


def _corner(spline: Spline, at):
    def pick(values, offset):
        return jnp.take_along_axis(values, at[..., None] + offset, axis=-1)[..., 0]

    x0, x1 = pick(spline.x, 0), pick(spline.x, 1)
    y0, y1 = pick(spline.y, 0), pick(spline.y, 1)
    return x0, x1 - x0, y0, y1 - y0, pick(spline.slope, 0), pick(spline.slope, 1)


class SplineCoupling(Coupling):
    """`z = spline(x)` on the changed part, its knots computed from the seen part.

    A monotonic rational-quadratic spline with `bins` bins on `[-bound, bound]`, the
    identity outside; an st-network that starts at zero makes it the identity. The other
    arguments are those of every `Coupling`. Source: Durkan et al. 2019.
    """

    bins: int = 8
    bound: float = 5.0

    @property
    def numbers(self) -> int:
        return 3 * self.bins - 1

    def _transform(self, x, raw, changed, inverse):
        spline = spline_knots(raw.reshape(*x.shape, self.numbers), self.bound)
        z, log_slope = (spline_inverse if inverse else spline_forward)(x, spline)
        logdet = sum_event(jnp.where(changed, log_slope, 0))
        return jnp.where(changed, z, x), logdet
