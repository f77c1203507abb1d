"""Detectors on all devices of all processes: where networks and batches live."""

from contextlib import AbstractContextManager, nullcontext

from flowjax_ood.ood.batched import spread
from flowjax_ood.ood.network import Network
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.processes import fetch


def on_all_devices() -> AbstractContextManager:
    """While it is active, detectors spread every batch over all devices."""
    parallel = Parallel("jit")
    if len(parallel.devices) == 1:
        return nullcontext()
    return spread(parallel.place_rows, fetch, len(parallel.devices))


def network_on_all_devices(module, variables: dict) -> Network:
    """A network of variables, equal on all processes, of which each device has a copy.

    Once, not with every batch.
    """
    return Network.of(module, Parallel("jit").place_copies(variables))
