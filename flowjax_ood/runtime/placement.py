"""Place arrays on devices: the axis to shard, and global arrays of local ones."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

# arrays below this many elements are copied: gathering costs more than they take
LEAST_SHARDED = 2**14


def sharded(shape: tuple[int, ...], axis: str, count: int) -> PartitionSpec:
    """Say how an array of `shape` is split over `count` devices, those of mesh `axis`.

    By its longest dimension that `count` divides (of equals the last, the channels of a
    kernel); not at all, if there is none or it has fewer than `LEAST_SHARDED` elements.
    One rule for parameters and optimiser state: moments have the shape of their
    parameter, so they are split alike.
    """
    fits = [i for i, n in enumerate(shape) if n % count == 0 and n > 0]
    if not fits or math.prod(shape) < LEAST_SHARDED:
        return PartitionSpec()
    longest = max(fits, key=lambda i: (shape[i], i))
    return PartitionSpec(*(axis if i == longest else None for i in range(longest + 1)))


def from_whole(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Make a global array of one of which every process holds all values."""
    return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])


def first_copy(array: jax.Array) -> jax.Array:
    """Take the first device's copy of an array that has one per device, on axis 0.

    `array[0]` would be a program of all devices for every array: so many in flight
    at a time starve each other on CPU.
    """
    return array.addressable_data(0)[0]


def copied(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Make a global array, whole on every device, of one that every process has."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    dtype: Any = getattr(leaf, "dtype", None)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        data = copied(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return from_whole(np.asarray(leaf), sharding)


def by_device(array: np.ndarray, n: int, axis: int) -> np.ndarray:
    """Reshape `[B, ...]` to `[n, B/n, ...]`, or `[K, B, ...]` to `[n, K, B/n, ...]`.

    `axis` is that of B, 0 or 1; `n` devices share it.
    """
    shape, each = array.shape, array.shape[axis] // n
    array = array.reshape(*shape[:axis], n, each, *shape[axis + 1 :])
    return np.moveaxis(array, axis, 0)
