"""Which axis of an array is sharded: one rule for parameters and optimiser state."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

# arrays below this many elements are copied: gathering costs more than they take
LEAST = 2**14


def sharded(shape: tuple[int, ...], axis: str, count: int) -> PartitionSpec:
    """Where an array of `shape` is split over the `count` devices of mesh axis `axis`.

    Its longest dimension that `count` divides (of equals the last, the channels of a
    kernel); none, if there is none or it has fewer than `LEAST` elements. Moments of an
    optimiser have the shape of their parameter, so they are split alike.
    """
    fits = [i for i, n in enumerate(shape) if n % count == 0 and n > 0]
    if not fits or math.prod(shape) < LEAST:
        return PartitionSpec()
    longest = max(fits, key=lambda i: (shape[i], i))
    return PartitionSpec(*(axis if i == longest else None for i in range(longest + 1)))


def _from_whole(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """A global array of which every process holds all values."""
    return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])


def _first_copy(array: jax.Array) -> jax.Array:
    """Of copies along the first axis, a device each, the one on the first device.

    `array[0]` would be a program of all devices for every array: so many in flight
    at a time starve each other on CPU.
    """
    return array.addressable_data(0)[0]


def _copied(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """A global array, whole on every device, of one that every process has."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if jnp.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        data = _copied(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return _from_whole(np.asarray(leaf), sharding)


def _by_device(array: np.ndarray, n: int, axis: int) -> np.ndarray:
    """`[B, ...]` as `[n, B / n, ...]`, or `[K, B, ...]` as `[n, K, B / n, ...]`."""
    shape, each = array.shape, array.shape[axis] // n
    array = array.reshape(*shape[:axis], n, each, *shape[axis + 1 :])
    return np.moveaxis(array, axis, 0)
