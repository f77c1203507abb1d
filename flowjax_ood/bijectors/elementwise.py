"""Maps of each value by itself, without parameters: scale and shift, and the curves."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import real_number
from flowjax_ood.bijectors.base import Bijector, sum_event

LOG_2 = math.log(2)


def tanh_log_slope(x: jax.Array) -> jax.Array:
    """`log d tanh(x) / dx`, elementwise; exact where tanh itself rounds to 1."""
    return 2 * (LOG_2 - x - jax.nn.softplus(-2 * x))


def tanh_inverse(z: jax.Array) -> jax.Array:
    """`artanh(z)`; that of the last number within (-1, 1) for -1 and 1, NaN beyond."""
    last = 1 - jnp.finfo(z.dtype).eps / 2
    return jnp.arctanh(jnp.where(jnp.abs(z) <= 1, jnp.clip(z, -last, last), jnp.nan))


def softplus_inverse(z: jax.Array) -> jax.Array:
    """`log(e^z - 1)` for z > 0, without overflow; NaN for others."""
    positive = jnp.where(z > 0, z, jnp.nan)
    return positive + jnp.log(-jnp.expm1(-positive))


class ElementAffine(Bijector):
    """`z = scale * x + shift`, two constants: [0, 1) to [-1, 1) with 2 and -1.

    Raises ValueError for a scale of 0, and for numbers that are not finite.
    """

    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self):
        real_number("shift", self.shift)
        if not real_number("scale", self.scale):
            raise ValueError("ElementAffine needs a scale that is not 0")
        super().__post_init__()

    def forward(self, x, cond=None):
        return self.scale * x + self.shift, self._logdet(x)

    def inverse(self, z, cond=None):
        return (z - self.shift) / self.scale, -self._logdet(z)

    def _logdet(self, x):
        return sum_event(jnp.full_like(x, math.log(abs(self.scale))))


class _Curve(Bijector):
    """A smooth increasing map whose values lie in an interval.

    `log dz/dx` of each value is sown as `log_slope` in `intermediates`.

    Of subclasses: `_map`, its inverse `_undo` and its `_log_slope`, elementwise;
    `_inside` tells whether NumPy values lie in `interval`, which is that in words.
    """

    def forward(self, x, cond=None):
        log_slope = self._log_slope(x)
        self.sow("intermediates", "log_slope", log_slope)
        return self._map(x), sum_event(log_slope)

    def inverse(self, z, cond=None):
        _check_inside(type(self).__name__, z, self._inside, self.interval)
        x = self._undo(z)
        return x, -sum_event(self._log_slope(x))


class Tanh(_Curve):
    """`z = tanh(x)`, to (-1, 1).

    float32 rounds tanh(x) to 1 from x = 9 on, and the inverse of 1 is finite: there x
    is lost, the log-determinant is not. Where the inverse is given values outside
    [-1, 1], it raises ValueError if it can see them; under jit they give NaN.
    """

    interval = "[-1, 1]"

    def _map(self, x):
        return jnp.tanh(x)

    def _undo(self, z):
        return tanh_inverse(z)

    def _log_slope(self, x):
        return tanh_log_slope(x)

    def _inside(self, z):
        return np.abs(z) <= 1


class Softplus(_Curve):
    """`z = log(1 + e^x)`, to the positive numbers; about x where x is large.

    Where the inverse is given values of 0 or less, such as float32's of x < -104, it
    raises ValueError if it can see them; under jit they give NaN.
    """

    interval = "the positive numbers"

    def _map(self, x):
        return jax.nn.softplus(x)

    def _undo(self, z):
        return softplus_inverse(z)

    def _log_slope(self, x):
        return -jax.nn.softplus(-x)

    def _inside(self, z):
        return z > 0


class Exp(_Curve):
    """`z = e^x`, to the positive numbers.

    Where the inverse is given values of 0 or less, it raises ValueError if it can see
    them; under jit they give NaN.
    """

    interval = "the positive numbers"

    def _map(self, x):
        return jnp.exp(x)

    def _undo(self, z):
        return jnp.log(jnp.where(z > 0, z, jnp.nan))

    def _log_slope(self, x):
        return x

    def _inside(self, z):
        return z > 0


def _check_inside(name: str, z, inside: Callable, interval: str) -> None:
    """Raise ValueError for values that are seen to have no inverse; NaN are let by."""
    if isinstance(z, jax.core.Tracer):
        return
    values = np.asarray(z, np.float64)
    outside = values[~(inside(values) | np.isnan(values))]
    if outside.size:
        raise ValueError(
            f"the inverse of {name} takes values in {interval}, got {outside[0]:g}"
        )
