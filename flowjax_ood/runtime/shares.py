"""Share out a batch: rows over processes, and a mesh axis over devices.

Inside `shard_map` and `pmap` a layer sees one device's part of the batch. Whoever maps
a step says so while it is traced, for layers that look at the whole batch:

    def local_step(state, batch):
        with reducing_over("data"):
            return step(state, batch)

    jax.shard_map(local_step, ...)

Under a global-view `jit` there is nothing to say: there, arrays are whole.

Imports nothing heavy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar


class Sliceable(Protocol):
    """A sequence or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


Rows = TypeVar("Rows", bound=Sliceable)

_AXIS: ContextVar[str | None] = ContextVar("flowjax_ood_batch_axis", default=None)


@dataclass(frozen=True)
class Share:
    """The part of a batch that a process reads: `index` of `count` equal ones."""

    index: int = 0
    count: int = 1

    def of(self, rows: Rows) -> Rows:
        """Take the rows of this part; ValueError where they do not divide evenly."""
        each, left = divmod(len(rows), self.count)
        if left:
            raise ValueError(
                f"{len(rows)} rows do not divide over {self.count} processes; use a "
                f"multiple of {self.count}"
            )
        return rows[each * self.index : each * (self.index + 1)]


WHOLE = Share()


@contextmanager
def reducing_over(axis_name: str | None) -> Iterator[None]:
    """Tell layers traced in this with-block that batches are spread over an axis.

    `axis_name` is that of the enclosing `shard_map` or `pmap`, with equal parts on all
    devices; None says that arrays are whole again.
    """
    token = _AXIS.set(axis_name)
    try:
        yield
    finally:
        _AXIS.reset(token)


def batch_axis() -> str | None:
    """Return the axis of the active `reducing_over`, None where arrays are whole."""
    return _AXIS.get()
