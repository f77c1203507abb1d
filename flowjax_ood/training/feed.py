"""Batches read ahead of the steps that need them, by threads or by processes.

A batch is a function of its step alone, so reading ahead changes when it is read and
nothing else: there is no state to keep in a checkpoint, and a run that goes on starts
reading at its own step.
"""

import logging
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import parent_process, resource_tracker
from typing import NamedTuple, TypeVar

import numpy as np

from flowjax_ood.runtime.shares import WHOLE, Share

Item = TypeVar("Item")
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
    read: Callable[[int], Item], start: int, ahead: int, threads: int, workers: int
) -> Iterator[Item]:
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


def without_signals(start: Callable[[], Item]) -> Item:
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


Batch = dict[str, np.ndarray]


class Feed:
    """`batches(start, part)`, `batches(start + 1, part)`, ..., in order.

    Args:
        batches: `batches(step, part)`, a dict of numpy arrays; a pure function, which
            for `workers` must pickle (closures do; an open file does not).
        start: the first step that is read.
        part: which part of every batch is read here.
        ahead: how many batches are read before they are asked for. 0 reads each as it
            is asked for, in the caller's thread, and needs no grain.
        threads: how many threads read, of each process that does.
        workers: how many processes read; 0 is this one alone. Python decodes with one
            core a process: more cores need workers. Each is sent a copy of `batches`.

    Used as a context manager; leaving it ends what reads ahead. Reading starts with
    the first batch asked for, and again, at the step it had come to, after an error.
    `waited` is how many seconds the caller has spent here for batches since
    `reset_wait` (reading itself, where nothing is read ahead).

    Raises ValueError for sizes that do not go together, ImportError without grain;
    what `batches` raises, in whatever thread or process, `take` and `peek` raise.
    """

    def __init__(
        self,
        batches: Callable[..., Batch],
        start: int,
        *,
        part: Share = WHOLE,
        ahead: int = 0,
        threads: int = 0,
        workers: int = 0,
    ):
        check_reading(ahead, threads, workers)
        if start < 0:
            raise ValueError(f"the first step cannot be {start}; steps begin at 0")
        self.step = start
        self.waited = 0.0
        self._read = _Read(batches, part)
        self._how = {"ahead": ahead, "threads": threads, "workers": workers}
        self._held: deque[Batch] = deque()
        self._iterator: Iterator[Batch] | None = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def take(self, count: int = 1) -> list[Batch]:
        """The batches of the next `count` steps, in order; the feed is past them."""
        self._hold(count)
        self.step += count
        return [self._held.popleft() for _ in range(count)]

    def peek(self) -> Batch:
        """The batch of the next step, which `take` will give again."""
        self._hold(1)
        return self._held[0]

    def reset_wait(self) -> None:
        """Count `waited` from here."""
        self.waited = 0.0

    def close(self) -> None:
        """End the threads and processes that read ahead; the feed may go on later."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            iterator.close()

    def _hold(self, count: int) -> None:
        began = time.perf_counter()
        try:
            while len(self._held) < count:
                self._held.append(self._next())
        except BaseException:
            # what was read ahead is of later steps: were the iterator asked again, it
            # would leave out the one that failed
            self.close()
            raise
        finally:
            self.waited += time.perf_counter() - began

    def _next(self) -> Batch:
        step = self.step + len(self._held)
        if not self._how["ahead"]:
            return self._read(step)
        if self._iterator is None:
            self._iterator = read_ahead(self._read, step, **self._how)
            first = partial(next, self._iterator)
            batch = without_signals(first) if self._how["workers"] else first()
        else:
            batch = next(self._iterator)
        if self._how["workers"]:
            # of workers it is in memory shared with them, which goes when grain's array
            # does, whatever still looks into it
            batch = {name: np.array(rows) for name, rows in batch.items()}
        return batch


class _Read(NamedTuple):
    """The batch of a step; picklable where `batches` is."""

    batches: Callable[..., Batch]
    part: Share

    def __call__(self, step: int) -> Batch:
        return self.batches(int(step), self.part)
