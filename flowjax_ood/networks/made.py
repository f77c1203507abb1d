"""A network whose outputs for one dimension know the dimensions before it alone."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.networks.layers import check_condition, uniform_fan_in
from flowjax_ood.precision import FLOAT32, Precision


class Layer(NamedTuple):
    """A masked layer: `kernel [I, O]`, `bias [O]`, and `cond_kernel [K, O]` or None."""

    kernel: jax.Array
    bias: jax.Array
    cond_kernel: jax.Array | None = None


def made_masks(
    dims: int, hidden: Sequence[int], numbers: int, conditional: bool = False
) -> list[np.ndarray]:
    """Boolean masks `[I, O]` of the layers; O of the last is `dims * numbers`.

    An input has the degree of its place, 1 to `dims`; hidden units go through 1 to
    `dims - 1` in turn, with a condition from 0 on: units of degree 0 see it alone, and
    without them the first dimension would never hear of it. A hidden weight is kept
    where the degree does not fall, an output's where it rises. Without hidden layers
    outputs are linear. Source: Germain et al. 2015.

    Raises ValueError for layers too narrow to have a unit of each degree: they would
    cut off the dimensions whose degree is missing.
    """
    lowest = 0 if conditional or dims == 1 else 1
    units = dims - lowest
    if min(hidden, default=units) < units:
        raise ValueError(
            f"a MADE of {dims} dimensions{' with a condition' * conditional} needs "
            f"hidden layers of at least {units} units, got {tuple(hidden)}: with "
            "fewer, some dimensions would influence nothing"
        )
    before, masks = np.arange(1, dims + 1), []
    for width in hidden:
        degrees = lowest + np.arange(width) % units
        masks.append(before[:, None] <= degrees[None])
        before = degrees
    last = before[:, None] < np.arange(1, dims + 1)[None]
    return [*masks, np.repeat(last, numbers, axis=1)]


def made(
    layers: Sequence[Layer],
    masks: Sequence[np.ndarray],
    x: jax.Array,
    cond: jax.Array | None = None,
    precision: Precision = FLOAT32,
) -> jax.Array:
    """Evaluate a MADE with ReLU at `x [B, D]`: `[B, D, numbers]`.

    Row i of an output is a function of `x[:, :i]`, and of `cond [B, K]`, alone.
    """
    h = x
    for number, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
        if number:
            h = nn.relu(h)
        kernel = jnp.where(mask, layer.kernel, 0)
        h, kernel, bias = precision.cast(h, kernel, layer.bias)
        h = jnp.matmul(h, kernel, precision=precision.multiply) + bias[None]
        if layer.cond_kernel is not None:
            assert cond is not None, "a network made with a condition needs one"
            seen, weight = precision.cast(cond.astype(x.dtype), layer.cond_kernel)
            h = h + jnp.matmul(seen, weight, precision=precision.multiply)
    return h.reshape(*x.shape, -1).astype(x.dtype)


class MADE(nn.Module):
    """`[B, D]` to `[B, D, numbers]`, where dimension i knows those before it alone.

    * `hidden`: widths of the layers, each at least D - 1, with a condition D
      (`made_masks`); of none, outputs are linear. They start as torch starts them, the
      last layer at zero;
    * `numbers`: outputs per dimension;
    * `precision`: what it computes in.

    The network of `bijectors.Autoregressive`. Source: Germain et al. 2015.
    """

    hidden: tuple[int, ...] = (64,)
    numbers: int = 2
    precision: Precision = FLOAT32

    def __post_init__(self):
        self.hidden = tuple(whole_number("hidden", n, 1) for n in self.hidden)
        super().__post_init__()

    @nn.compact
    def conditioner(self, dims: int, cond: jax.Array | None = None) -> Callable:
        """The network as a pure function of `[B, dims]`, with `cond` `[B, K]` in it.

        For loops in which Flax modules cannot be called. Raises ValueError for a cond
        that is not `[B, K]`, and for none where it was initialised with one.
        """
        check_condition(self, cond, "cond_kernel")
        masks = made_masks(dims, self.hidden, self.numbers, cond is not None)
        layers = []
        for number, mask in enumerate(masks):
            last, name = number == len(masks) - 1, f"layer_{number}"
            start = nn.initializers.zeros if last else uniform_fan_in(mask.shape[0])
            kernel = self.param(f"{name}_kernel", start, mask.shape, jnp.float32)
            bias = self.param(f"{name}_bias", start, mask.shape[1:], jnp.float32)
            of_cond = None
            if number == 0 and cond is not None:
                shape = (cond.shape[1], mask.shape[1])
                of_cond = self.param("cond_kernel", start, shape, jnp.float32)
            layers.append(Layer(kernel, bias, of_cond))
        return lambda x: made(layers, masks, x, cond, self.precision)

    def __call__(self, x, cond=None):
        if x.ndim != 2:
            raise ValueError(f"MADE takes [B, D], got shape {x.shape}")
        return self.conditioner(x.shape[1], cond)(x)
