"""Apply functions of a batch to a whole set, with one shape for all batches.

The caller says where batches are computed: `with spread(...)`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple

import jax
import numpy as np

# images that go through a network together on CPU: the buffers of more pass the size up
# to which memory is kept for the next call, and to get it anew from the system took
# half the time of a LeNet's pass
CPU_IMAGES = 32


def compiled(function: Callable, **options) -> Callable:
    """`jax.jit` of a function whose matrix products are of full float32.

    Accelerators multiply float32 in fewer bits unless told otherwise. Programs are
    shared by all arguments of the same shapes and static parts: make them of functions
    of modules, never of closures, and pass numbers as arguments.
    """

    @wraps(function)
    def exact(*args, **named):
        with jax.default_matmul_precision("highest"):
            return function(*args, **named)

    return jax.jit(exact, **options)


def at_once(x, batch_size: int) -> int:
    """Choose how many rows of `x` go through a network together: up to `batch_size`."""
    images = np.ndim(x) == 4
    on_cpu = jax.default_backend() == "cpu"
    return min(batch_size, CPU_IMAGES) if images and on_cpu else batch_size


class _Placement(NamedTuple):
    put: Callable[[Any], Any] = lambda rows: rows
    get: Callable[[Any], Any] = jax.device_get
    multiple: int = 1


_PLACEMENT: ContextVar[_Placement | None] = ContextVar(
    "flowjax_ood_placement", default=None
)


@contextmanager
def spread(
    put: Callable[[Any], Any], get: Callable[[Any], Any], multiple: int
) -> Iterator[None]:
    """Spread every batch that a detector looks at over devices, in this with-block.

    For detectors on all devices of one or several processes, which all compute with the
    same rows, in the same order:

        parallel = Parallel("jit")
        with spread(parallel.place_rows, processes.fetch, len(parallel.devices)):
            scores = fitted.score(x)

    Args:
        put: a pytree of NumPy arrays `[B, ...]`, equal on all processes, to arrays that
            are split over all devices.
        get: such arrays, whole, as NumPy arrays on every process.
        multiple: batches are filled up to a multiple of it.

    Every row is scored once in all. Batches stay as they are but for the rows that fill
    them up, so scores do not depend on the devices, those of dropout included.

    Raises:
        ValueError: `multiple` is below 1.
    """
    if multiple < 1:
        raise ValueError(f"batches are of a multiple of 1 or more rows, not {multiple}")
    token = _PLACEMENT.set(_Placement(put, get, multiple))
    try:
        yield
    finally:
        _PLACEMENT.reset(token)


def batches(function: Callable[[Any], Any], x, batch_size: int) -> Iterator[Any]:
    """Yield `function` of every `batch_size` rows of `x [N, ...]`, in order, in NumPy.

    `x` may be a pytree of arrays of as many rows, as `Outputs` are. `function` takes
    `[batch_size, ...]` and returns arrays of as many rows. The last batch is filled up
    with its first row, which is thrown away again, so that one compiled program serves
    all; under `spread`, so is every one that does not divide over the devices. Raises
    ValueError for no rows or batches.
    """
    put, get, multiple = _PLACEMENT.get() or _Placement()
    count = len(jax.tree.leaves(x)[0])
    if count < 1:
        raise ValueError("there are no rows: give at least one")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    size = min(batch_size, count)
    width = -(-size // multiple) * multiple
    for start in range(0, count, size):
        present = min(size, count - start)
        part, at = slice(start, start + size), np.arange(width)
        at[present:] = 0
        rows = jax.tree.map(lambda a, p=part: np.asarray(a[p]), x)
        if present < width:
            rows = jax.tree.map(lambda a, at=at: a[at], rows)
        results = get(function(put(rows)))
        yield jax.tree.map(lambda a, n=present: a[:n], results)


def of_inputs(program: Callable[[Any], Any], x, batch_size: int) -> Any:
    """Concatenate what a program that runs a network makes of inputs `[N, ...]`."""
    return in_batches(program, x, at_once(x, batch_size))


def in_batches(function: Callable[[Any], Any], x, batch_size: int) -> Any:
    """Concatenate the results of `batches`: arrays `[N, ...]`."""
    parts = list(batches(function, x, batch_size))
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)


def in_blocks(function: Callable[[Any], Any], x: np.ndarray, size: int) -> Any:
    """`in_batches` of exactly `size` rows each, filled up by the first row of all.

    One compiled program serves any number of rows, and those of a row are the same
    alone and among others: programs of other shapes round otherwise.
    """
    missing = np.broadcast_to(x[:1], (-len(x) % size, *x.shape[1:]))
    found = in_batches(function, np.concatenate([x, missing]), size)
    return jax.tree.map(lambda a: a[: len(x)], found)
