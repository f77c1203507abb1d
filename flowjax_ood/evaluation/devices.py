"""Spread batches over all devices of this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from flowjax_ood.ood.batched import spread
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch


@contextmanager
def on_all_devices() -> Iterator[None]:
    """Compute batches on all devices inside; of one, as without."""
    parallel = Parallel("jit")
    if len(parallel.devices) == 1:
        yield
        return
    with spread(parallel.place_rows, fetch, len(parallel.devices)):
        yield
