"""The contract every bijector keeps, and a walk over nested ones.

An *event* is an array without its batch axis, or a tuple of arrays after a multi-scale
split. `forward` goes from data to latents, `inverse` back; both return the log absolute
determinant, in nats, of the map they just applied.
"""

import math
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Event = jax.Array | tuple[jax.Array, ...]
"""What a bijector maps: an array, or several, such as the latents of all scales."""
Shape = tuple[int, ...] | tuple[tuple[int, ...], ...]


class Bijector(nn.Module):
    """`z = f(x)`, with `inverse(forward(x)) = x` and `logdet = log |det dz/dx|`.

    Subclasses define `forward` and `inverse`, and `latent_shape` where the shape of the
    event changes. `cond` is an optional condition, a vector `[B, K]` or an image
    `[B, h, w, K]`; bijectors without a use for it ignore it.
    """

    def forward(self, x: Event, cond: jax.Array | None = None):
        """Data `[B, ...]` -> `(latents, logdet [B])`."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def inverse(self, z: Event, cond: jax.Array | None = None):
        """Latents -> `(data [B, ...], logdet [B])`."""
        raise NotImplementedError(f"{type(self).__name__} defines no inverse")

    def __call__(self, x: Event, cond: jax.Array | None = None):
        return self.forward(x, cond)

    @nn.nowrap
    def latent_shape(self, shape: Shape) -> Shape:
        """Shape of the latent event for a data event of `shape` (no batch axis).

        Raises ValueError where the bijector cannot take such an event.
        """
        return shape

    @nn.nowrap
    def data_shape(self, shape: Shape) -> Shape:
        """Shape of the data event for a latent event of `shape`."""
        return shape

    @nn.nowrap
    def children(self) -> tuple[tuple[str, "Bijector"], ...]:
        """`(name in the variables, bijector)` of the bijectors this one is made of."""
        return ()


def walk(bijector: Bijector, path: tuple[str, ...] = ()) -> Iterator[tuple]:
    """Yield `(path in the variables, leaf bijector)` in the order forward applies them.

    A path leads to the leaf's parameters: `params[path[0]][path[1]]...`.
    """
    children = bijector.children()
    if not children:
        yield path, bijector
    for name, child in children:
        yield from walk(child, (*path, name))


def leaves(event: Event) -> tuple[jax.Array, ...]:
    """The arrays of an event."""
    return event if isinstance(event, tuple) else (event,)


def zero_logdet(event: Event) -> jax.Array:
    """The log-determinant `[B]` of a volume-preserving map."""
    first = leaves(event)[0]
    return jnp.zeros(first.shape[0], logdet_dtype(first))


def sum_event(x: jax.Array) -> jax.Array:
    """Sum over everything but the batch axis, in float32 or wider: `[B]`."""
    return jnp.sum(x, axis=tuple(range(1, x.ndim)), dtype=logdet_dtype(x))


def logdet_dtype(x: jax.Array) -> Any:
    """float32, or float64 for float64 events: never narrower."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widened(event: Event, *dtypes) -> Event:
    """The event in the widest of float32, its own dtypes and `dtypes`."""
    own = (array.dtype for array in leaves(event))
    dtype = jnp.result_type(jnp.float32, *own, *dtypes)
    return jax.tree.map(lambda array: array.astype(dtype), event)


def event_size(shape: Shape) -> int:
    """Number of dimensions of an event."""
    return sum(map(math.prod, array_shapes(shape)))


def array_shapes(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """The shapes of an event's arrays: one, or those of a tuple."""
    several = tuple(s for s in shape if isinstance(s, tuple))
    return several or (tuple(n for n in shape if not isinstance(n, tuple)),)


def image_shape(shape: Shape, who: str) -> tuple[int, int, int]:
    """`shape` if it is an image's `(H, W, C)`, a clear error otherwise."""
    match shape:
        case (int(h), int(w), int(c)):
            return h, w, c
    raise ValueError(f"{who} takes images [B, H, W, C], got event shape {shape}")
