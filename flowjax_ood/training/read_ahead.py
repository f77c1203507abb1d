"""Reading batches ahead of the steps that need them, by threads or by processes.

Grain does it (optional: `pip install -e '.[streaming]'`).
"""

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing import parent_process, resource_tracker
from typing import TypeVar

Batch = TypeVar("Batch")
# steps enough for any training: reading has no end of its own
ENDLESS = 2**48
FOR_THE_TRAINER = (signal.SIGINT, signal.SIGTERM)


def check_reading(ahead: int, threads: int, workers: int) -> None:
    """Raise ValueError or ImportError unless `Feed` can read so."""
    sizes = {"ahead": ahead, "threads": threads, "workers": workers}
    for name, value in sizes.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    if ahead and not threads and not workers:
        raise ValueError(
            f"reading {ahead} batches ahead needs threads or workers, and there are 0 "
            "of both; give one, or ahead 0"
        )
    if not ahead and workers:
        raise ValueError(
            f"{workers} worker processes are of use only to read ahead; give ahead at "
            f"least {workers}, or workers 0"
        )
    if ahead and find_spec("grain") is None:
        raise ImportError(
            "batches are read ahead by grain, which is not installed: pip install -e "
            "'.[streaming]', or read none ahead"
        )


def read_ahead(
    read: Callable[[int], Batch], start: int, ahead: int, threads: int, workers: int
) -> Iterator[Batch]:
    """`read(start)`, `read(start + 1)`, ...; its `close()` ends what reads ahead."""
    import grain
    from absl import flags

    # of each process, which reads every `workers`-th step
    each = math.ceil(ahead / max(1, workers))
    steps = grain.MapDataset.range(start, start + ENDLESS).map(read)
    options = grain.ReadOptions(
        num_threads=min(threads, each), prefetch_buffer_size=each if threads else 0
    )
    found = steps.to_iter_dataset(options)
    if workers:
        # grain asks absl for flags of its own, which only absl's own programs parse
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        processes = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=1 if threads else each
        )
        found = found.mp_prefetch(processes, worker_init_fn=_as_worker)
    return iter(found)


def without_signals(start: Callable[[], Batch]) -> Batch:
    """What `start()` returns, whose processes and threads get no SIGINT and no SIGTERM.

    A worker takes seconds to come to `_as_worker`, and would die of them until then.
    What blocks them is inherited. This thread waits, and still gets them.
    """
    # this, too, would be started on the way, and unblocks them
    resource_tracker.ensure_running()
    with ThreadPoolExecutor(1) as pool:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_TRAINER)
        try:
            found = pool.submit(start)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return found.result()


def _as_worker(index: int, count: int) -> None:
    """Make of this process a servant of the one that trains."""
    # the trainer decides when to stop: it may want one more batch, to save by
    for number in FOR_THE_TRAINER:
        signal.signal(number, signal.SIG_IGN)
    # what is worth saying, the trainer has said
    logging.getLogger("absl").setLevel(logging.ERROR)
    # never the trainer's accelerator
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.config.update("jax_platforms", "cpu")
    os.environ["JAX_PLATFORMS"] = "cpu"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A trainer that is killed says nothing; its workers would wait for ever."""
    parent_process().join()
    os._exit(1)
