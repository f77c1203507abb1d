"""Batches read ahead of the steps that need them, by threads or by processes.

A batch is a function of its step alone, so reading ahead changes when it is read and
nothing else: there is no state to keep in a checkpoint, and a run that goes on starts
reading at its own step.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from flowjax_ood.data.batching import WHOLE, Part
from flowjax_ood.training.read_ahead import check_reading, read_ahead, without_signals

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
        part: Part = WHOLE,
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
    part: Part

    def __call__(self, step: int) -> Batch:
        return self.batches(int(step), self.part)
