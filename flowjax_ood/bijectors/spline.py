"""Monotonic rational-quadratic splines: a more flexible map than scale and shift."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.coupling import ElementwiseCoupling

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
    lower, upper = _corners(spline, _bin(spline.x, x))
    w, h = upper.x - lower.x, upper.y - lower.y
    safe = jnp.where(inside, x, lower.x)
    theta, rest = (safe - lower.x) / w, (upper.x - safe) / w
    s = h / w
    mixed = theta * rest
    # sums of what is positive, and y from the nearer end: nothing cancels
    total = s * (theta**2 + rest**2) + (lower.slope + upper.slope) * mixed
    up = (s * theta**2 + lower.slope * mixed) / total
    down = (s * rest**2 + upper.slope * mixed) / total
    y = jnp.where(up < down, lower.y + h * up, upper.y - h * down)
    log_slope = _log_slope(theta, rest, s, lower.slope, upper.slope)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def spline_inverse(y: jax.Array, spline: Spline):
    """`(x, log dx/dy)`: the root of a quadratic in each bin.

    With r the fraction of its bin's height that y has climbed, and
    `b = d0 (1 - r) - d1 r + 2 s r`, equations (6) to (8) of Durkan et al. 2019 are

        theta = 2 s r / (b + D)    or    1 - theta = 2 s (1 - r) / (2 s - b + D),
        D^2 = (b - 2 s r)^2 + 4 s^2 r (1 - r).

    The form with the larger denominator, at least s, is used: there nothing cancels,
    and x stays in its bin however flat that is.
    """
    inside = (y > spline.y[..., 0]) & (y < spline.y[..., -1])
    lower, upper = _corners(spline, _bin(spline.y, y))
    w, h = upper.x - lower.x, upper.y - lower.y
    safe = jnp.where(inside, y, lower.y)
    r, rest = (safe - lower.y) / h, (upper.y - safe) / h
    s = h / w
    b = lower.slope * rest - upper.slope * r + 2 * s * r
    root = jnp.sqrt((b - 2 * s * r) ** 2 + 4 * s * s * r * rest)
    low = b >= s
    part = 2 * s * jnp.where(low, r, rest) / (jnp.where(low, b, 2 * s - b) + root)
    part = jnp.minimum(part, 1)
    x = jnp.where(low, lower.x + part * w, upper.x - part * w)
    theta, rest = jnp.where(low, part, 1 - part), jnp.where(low, 1 - part, part)
    log_slope = _log_slope(theta, rest, s, lower.slope, upper.slope)
    return jnp.where(inside, x, y), jnp.where(inside, -log_slope, 0)


def _log_slope(theta, rest, s, d0, d1):
    """Equation (5), `rest` being 1 - theta."""
    mixed = theta * rest
    total = s * (theta**2 + rest**2) + (d0 + d1) * mixed
    ends = d1 * theta**2 + 2 * s * mixed + d0 * rest**2
    return jnp.log(ends) + 2 * jnp.log(s / total)


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


def _corners(spline: Spline, at) -> tuple[Spline, Spline]:
    """The knots below and above bin `at`."""
    index = at[..., None]
    lower = (jnp.take_along_axis(a, index, axis=-1)[..., 0] for a in spline)
    upper = (jnp.take_along_axis(a, index + 1, axis=-1)[..., 0] for a in spline)
    return Spline(*lower), Spline(*upper)


def check_spline(bins: int, bound: float) -> None:
    """Raise ValueError for `bins` and `bound` that no spline has."""
    if not 1 <= whole_number("bins", bins) < 1 / MIN_SIZE:
        raise ValueError(f"a spline needs 1 <= bins < {1 / MIN_SIZE:.0f}, got {bins}")
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be positive and finite, got {bound}")


class Splines(nn.Module):
    """A monotonic rational-quadratic spline a value: `bins` on `[-bound, bound]`.

    The part that all bijectors of splines have in common. Raises ValueError for `bins`
    and `bound` out of range.
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self):
        check_spline(self.bins, self.bound)
        super().__post_init__()

    @property
    def numbers(self) -> int:
        return 3 * self.bins - 1

    def _elementwise(self, x, raw, inverse):
        spline = spline_knots(raw, self.bound)
        return (spline_inverse if inverse else spline_forward)(x, spline)


class SplineCoupling(Splines, ElementwiseCoupling):
    """`z = spline(x)` on the changed part, its knots computed from the seen part.

    A monotonic rational-quadratic spline with `bins` bins on `[-bound, bound]`, the
    identity outside; an st-network that starts at zero makes it the identity. The other
    arguments are those of every `Coupling`. Source: Durkan et al. 2019.

    In a flat bin between two steep knots the slope can be as small as 1e-7; float32
    inverts to about `1e-7 * bound / slope`. Raises ValueError for `bins` and `bound`
    out of range.
    """
