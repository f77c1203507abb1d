"""Over which mapped axis a batch is spread, for layers that look at all of it.

Inside `shard_map` and `pmap` a layer sees one device's part of the batch. Whoever maps
a step says so while it is traced:

    def local_step(state, batch):
        with reducing_over("data"):
            return step(state, batch)

    jax.shard_map(local_step, ...)

Under a global-view `jit` there is nothing to say: there, arrays are whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_AXIS: ContextVar[str | None] = ContextVar("flowjax_ood_batch_axis", default=None)


@contextmanager
def reducing_over(axis_name: str | None) -> Iterator[None]:
    """While it is active, layers that are traced take batches to be spread over it.

    `axis_name`: of the enclosing `shard_map` or `pmap`, equal parts on all devices;
    None says that arrays are whole again.
    """
    token = _AXIS.set(axis_name)
    try:
        yield
    finally:
        _AXIS.reset(token)


def batch_axis() -> str | None:
    """The axis of the `reducing_over` that is active, None where arrays are whole."""
    return _AXIS.get()
