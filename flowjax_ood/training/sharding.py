"""Which axis of an array is sharded: one rule for parameters and optimiser state."""

import math

from jax.sharding import PartitionSpec

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
