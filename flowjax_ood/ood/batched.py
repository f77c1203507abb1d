"""Functions of a batch applied to a whole set, one shape for all batches."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_batches(function: Callable[[np.ndarray], Any], x, batch_size: int) -> Any:
    """`function` of every row of `x [N, ...]`, once and in order, as NumPy arrays.

    `x` may be a pytree of arrays of as many rows, as `Outputs` are. `function` takes
    `[batch_size, ...]` and returns arrays of as many rows. The last batch is filled up
    with its first row, which is thrown away again, so that one compiled program serves
    all. Raises ValueError for no rows or batches.
    """
    count = len(jax.tree.leaves(x)[0])
    if batch_size < 1 or count < 1:
        raise ValueError(
            f"need rows and batches, got {count} rows in batches of {batch_size}"
        )
    size, parts = min(batch_size, count), []
    for start in range(0, count, size):
        missing = max(0, start + size - count)

        def filled(a, start=start, missing=missing):
            rows = np.asarray(a[start : start + size])
            if not missing:
                return rows
            return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)])

        found = jax.device_get(function(jax.tree.map(filled, x)))
        parts.append(jax.tree.map(lambda a, n=size - missing: a[:n], found))
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)
