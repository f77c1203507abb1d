"""Batches read ahead of the steps that need them, by threads or by processes.

A batch is a function of its step alone, so reading ahead changes when it is read and
nothing else: there is no state to keep in a checkpoint, and a resumed run starts
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
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import parent_process, resource_tracker
from typing import Protocol

import numpy as np

from flowjax_ood.runtime.shares import WHOLE, Share
from flowjax_ood.training.batches import Batches, HostBatch

# steps enough for any training, where reading is given no end
ENDLESS = 2**48
FOR_THE_TRAINER = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Prefetch:
    """How batches are read before the steps that need them.

    Args:
        ahead: how many batches are read before they are asked for. 0 reads each as it
            is asked for, in the caller's thread, and needs no grain.
        threads: how many threads read, of each process that does.
        workers: how many processes read; 0 is this one alone. Python decodes with one
            core a process: more cores need workers. Each is sent a copy of `batches`.

    Raises ValueError for sizes that do not go together, ImportError without grain.
    """

    ahead: int = 0
    threads: int = 0
    workers: int = 0

    def __post_init__(self):
        for name in ("ahead", "threads", "workers"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if self.ahead and not self.threads and not self.workers:
            raise ValueError(
                f"reading {self.ahead} batches ahead needs threads or workers, and "
                "there are 0 of both; give one, or ahead 0"
            )
        if not self.ahead and self.workers:
            raise ValueError(
                f"{self.workers} worker processes are of use only to read ahead; give "
                f"ahead at least {self.workers}, or workers 0"
            )
        if self.ahead and find_spec("grain") is None:
            raise ImportError(
                "batches are read ahead by grain, which is not installed: pip install "
                "-e '.[streaming]', or read none ahead"
            )


class Ahead(Iterator[HostBatch], Protocol):
    """Batches that are read ahead, until it is closed."""

    def close(self) -> None: ...


# each batch is read as it is asked for
IN_TURN = Prefetch()


class Feed:
    """`batches(start, part)`, `batches(start + 1, part)`, ..., in order.

    Args:
        batches: `batches(step, part)`, a dict of numpy arrays; a pure function, which
            for workers must pickle (closures do; an open file does not).
        start: the first step that is read.
        prefetch: how many batches are read ahead, and by whom; none unless given.
        part: the part of every batch that is read here.
        end: the step after the last one that is asked for: none is read beyond.

    Used as a context manager; leaving it ends what reads ahead. Reading starts with
    the first batch asked for, and again, at the step it had come to, after an error.
    `waited` is how many seconds the caller has spent here for batches (reading itself,
    where nothing is read ahead); it may be set back to 0.

    Raises ValueError for a negative `start`; what `batches` raises, in whatever thread
    or process, `take` and `peek` raise.
    """

    def __init__(
        self,
        batches: Batches,
        start: int,
        prefetch: Prefetch = IN_TURN,
        *,
        part: Share = WHOLE,
        end: int = ENDLESS,
    ):
        if start < 0:
            raise ValueError(f"the first step cannot be {start}; steps begin at 0")
        self.step, self._end = start, end
        self.waited = 0.0
        self._read = partial(_read, batches, part)
        self._prefetch = prefetch
        self._held: deque[HostBatch] = deque()
        self._iterator: Ahead | None = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def take(self, count: int = 1) -> list[HostBatch]:
        """The batches of the next `count` steps, in order; the feed is past them."""
        self._hold(count)
        self.step += count
        return [self._held.popleft() for _ in range(count)]

    def peek(self) -> HostBatch:
        """The batch of the next step, which `take` will give again."""
        self._hold(1)
        return self._held[0]

    def close(self) -> None:
        """End the threads and processes that read ahead; `take` may start others."""
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

    def _next(self) -> HostBatch:
        step = self.step + len(self._held)
        if not self._prefetch.ahead:
            return self._read(step)
        iterator, first = self._iterator, self._iterator is None
        if iterator is None:
            iterator = read_ahead(self._read, step, self._prefetch, self._end)
            self._iterator = iterator
        if not self._prefetch.workers:
            return next(iterator)
        read = partial(next, iterator)
        batch = without_signals(read) if first else read()
        # of workers it is in memory shared with them, which goes when grain's array
        # does, whatever still looks into it
        return {name: np.array(rows) for name, rows in batch.items()}


def _read(batches: Batches, part: Share, step: int) -> HostBatch:
    # grain counts steps in NumPy's integers
    return batches(int(step), part)


def read_ahead(
    read: Callable[[int], HostBatch], start: int, prefetch: Prefetch, end: int = ENDLESS
) -> Ahead:
    """`read(start)`, ..., `read(end - 1)`; its `close()` ends what reads ahead."""
    import grain
    from absl import flags

    threads, workers = prefetch.threads, prefetch.workers
    # of each process, which reads every `workers`-th step
    each = math.ceil(min(prefetch.ahead, end - start) / max(1, workers))
    steps = grain.MapDataset.range(start, end).map(read)
    options = grain.ReadOptions(
        num_threads=min(threads, each), prefetch_buffer_size=each if threads else 0
    )
    batches = steps.to_iter_dataset(options)
    if workers:
        # grain asks absl for flags of its own, which only absl's own programs parse
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        processes = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=1 if threads else each
        )
        batches = batches.mp_prefetch(processes, worker_init_fn=_as_worker)
    return iter(batches)


def without_signals(start: Callable[[], HostBatch]) -> HostBatch:
    """`start()`, whose processes and threads get no SIGINT and no SIGTERM.

    A worker takes seconds to come to `_as_worker`, and would die of them until then.
    What blocks them is inherited. This thread waits, and still gets them.
    """
    # this, too, would be started on the way, and unblocks them
    resource_tracker.ensure_running()
    with ThreadPoolExecutor(1) as pool:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_TRAINER)
        try:
            result = pool.submit(start)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return result.result()


def _as_worker(index: int, count: int) -> None:
    """Initialise a worker process, which reads for the one that trains."""
    # the trainer decides when to stop: it may want one more batch, to save by
    for number in FOR_THE_TRAINER:
        signal.signal(number, signal.SIG_IGN)
    # the trainer's own log says it already
    logging.getLogger("absl").setLevel(logging.ERROR)
    # never the trainer's accelerator
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.config.update("jax_platforms", "cpu")
    os.environ["JAX_PLATFORMS"] = "cpu"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with a trainer that is killed: its workers would wait for ever."""
    trainer = parent_process()
    assert trainer is not None, "a worker is a process of its own"
    trainer.join()
    os._exit(1)
