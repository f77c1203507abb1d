"""Masked autoregressive maps: each value is moved by what those before it say."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.arguments import real_number, whole_number
from flowjax_ood.bijectors.base import Bijector, event_size, sum_event
from flowjax_ood.bijectors.coupling import (
    affine_forward,
    affine_inverse,
    bounded_log_scale,
    check_max_log_scale,
)
from flowjax_ood.bijectors.spline import Splines

ORDERS = ("raster", "reversed", "columns")
SOLVERS = ("jacobi", "sequential")


def autoregressive_order(
    order: str | int | tuple[int, ...], shape: tuple[int, ...]
) -> np.ndarray:
    """Which value of a flattened event of `shape` comes first, second, ...: `[D]`.

    "raster" is row by row, "reversed" its reverse, "columns" column by column of an
    image; a number is the seed of a random order, and a tuple the order itself. Raises
    ValueError for others.
    """
    size = event_size(shape)
    if order == "columns":
        if len(shape) < 2:
            raise ValueError(f"the order 'columns' is of images, got events {shape}")
        raster = np.arange(size).reshape(shape)
        return raster.swapaxes(0, 1).reshape(-1)
    if order in ("raster", "reversed"):
        return np.arange(size)[:: 1 if order == "raster" else -1].copy()
    if isinstance(order, tuple):
        if sorted(order) != list(range(size)):
            raise ValueError(
                f"order {order} is not a permutation of the {size} values of an event"
            )
        return np.asarray(order)
    if isinstance(order, str):
        raise ValueError(f"unknown order {order!r}; known: {', '.join(ORDERS)}")
    return np.random.default_rng(whole_number("order", order, 0)).permutation(size)


def solve_jacobi(
    step: Callable, z: jax.Array, tol: float
) -> tuple[jax.Array, jax.Array]:
    """Solve `x = step(x)` of an autoregressive step: `(x [B, D], rounds)`.

    After k rounds the first k values are exact, or tokens of `[B, D, C]`: it ends after
    D rounds, or before that once no value moves by more than `tol` times its size, or
    `tol`.
    """

    def moved(carry):
        number, x, before = carry
        size = jnp.maximum(jnp.abs(x), 1)
        # a NaN never settles: D rounds, and the NaN is the answer
        settled = jnp.all(jnp.abs(x - before) <= tol * size)
        return (number < z.shape[1]) & ~((number > 0) & settled)

    def one(carry):
        number, x, _ = carry
        return number + 1, step(x), x

    start = jnp.zeros_like(z)
    rounds, x, _ = lax.while_loop(moved, one, (jnp.asarray(0), start, start))
    return x, rounds


class Autoregressive(Bijector):
    """`z_i = f(x_i; net(x_1, ..., x_(i-1)))`: density in one pass, samples in many.

    What f is, subclasses say: `numbers` it takes per value, and `_elementwise`. Events
    have any shape; `cond` `[B, K]` is a condition. `log dz/dx` of each value is sown as
    `log_slope` in `intermediates`.

    * `net`: makes the conditioner, such as `partial(networks.MADE, (64,))`: a factory
      of Flax modules, called with `numbers` and `name`. Their `conditioner(dims, cond)`
      returns a pure function of values `[B, D]` in order, to `[B, D, numbers]`, of
      which row i sees the values before i alone;
    * `order`: which value is first (`autoregressive_order`);
    * `solver`: how the inverse is found. "jacobi" moves all values at once until they
      stand still within `tol`, usually long before D rounds; JAX cannot differentiate
      it backwards. "sequential" takes D rounds, and can be.

    `Inverse(...)` of it samples in one pass, and needs the rounds for a density: an
    inverse autoregressive flow. Source: Papamakarios et al. 2017.
    """

    net: Callable[..., nn.Module]
    order: str | int | tuple[int, ...] = "raster"
    solver: str = "jacobi"
    tol: float = 1e-6

    def __post_init__(self):
        if isinstance(self.order, (list, np.ndarray)):
            self.order = tuple(np.asarray(self.order).tolist())
        if self.solver not in SOLVERS:
            raise ValueError(
                f"unknown solver {self.solver!r}; known: {', '.join(SOLVERS)}"
            )
        if not real_number("tol", self.tol) >= 0:
            raise ValueError(f"tol must be at least 0, got {self.tol}")
        super().__post_init__()

    @property
    def numbers(self) -> int:
        """How many numbers the conditioner gives to `_elementwise` for each value."""
        raise NotImplementedError(f"{type(self).__name__} defines no numbers")

    def _elementwise(self, x, raw, inverse):
        """`(z, log dz/dx)` of `x [B, D]` by `raw [B, D, numbers]`; or of an inverse."""
        raise NotImplementedError(f"{type(self).__name__} defines no _elementwise")

    def forward(self, x, cond=None):
        conditioner = self._conditioner(x, cond)
        u, back = self._ordered(x)
        z, log_slope = self._elementwise(u, conditioner(u), inverse=False)
        self.sow("intermediates", "log_slope", back(log_slope))
        return back(z), sum_event(log_slope)

    def inverse(self, z, cond=None):
        conditioner = self._conditioner(z, cond)
        v, back = self._ordered(z)

        def step(x):
            return self._elementwise(v, conditioner(x), inverse=True)[0]

        if self.solver == "jacobi":
            u, _ = solve_jacobi(step, v, self.tol)
        else:
            start = jnp.zeros_like(v)
            u = lax.fori_loop(0, v.shape[1], lambda _, x: step(x), start)
        # by the values that are returned
        _, log_slope = self._elementwise(v, conditioner(u), inverse=True)
        return back(u), sum_event(log_slope)

    @nn.nowrap
    def latent_shape(self, shape):
        autoregressive_order(self.order, shape)
        return shape

    @nn.compact
    def _conditioner(self, x, cond) -> Callable:
        network = self.net(numbers=self.numbers, name="net")
        return network.conditioner(math.prod(x.shape[1:]), cond)

    @nn.nowrap
    def _ordered(self, x):
        """`(values in order [B, D], what puts them back where they came from)`."""
        order = autoregressive_order(self.order, x.shape[1:])
        places = np.argsort(order)
        flat = x.reshape(x.shape[0], -1)
        return flat[:, order], lambda u: u[:, places].reshape(x.shape)


class MaskedAffine(Autoregressive):
    """`z_i = (x_i + t_i) * exp(s_i)`, s and t from the values before.

    `max_log_scale`: m in `s = m * tanh(s_raw / m)`, so that |s| <= m; None leaves s as
    it is. The other arguments are those of every `Autoregressive`. The identity at the
    start. Source: Papamakarios et al. 2017, with our sign of t.
    """

    max_log_scale: float | None = 3.0
    numbers = 2

    def __post_init__(self):
        check_max_log_scale(self.max_log_scale)
        super().__post_init__()

    def _elementwise(self, x, raw, inverse):
        s, t = bounded_log_scale(raw[..., 0], self.max_log_scale), raw[..., 1]
        if inverse:
            return affine_inverse(x, s, t)[0], -s
        return affine_forward(x, s, t)[0], s


class MaskedSpline(Splines, Autoregressive):
    """`z_i = spline(x_i)`, its knots from the values before.

    The splines are those of `SplineCoupling`, with its `bins` and `bound`; the other
    arguments are those of every `Autoregressive`. The identity at the start. Source:
    Durkan et al. 2019.
    """
