"""Progress of long work: a bar with ETA on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """`advance(done, **shown)` reports progress of `total` units called `unit`.

    On a terminal it is a bar; in a log file, a line every `interval` seconds.
    """

    def __init__(self, label: str, total: int, unit: str, interval: float = 15.0):
        self.label, self.total, self.unit = label, total, unit
        self.interval = interval
        self.start, self.offset = time.monotonic(), 0
        self.printed = self.start
        self.bar = self.task = None

    def open(self, done: int = 0) -> None:
        self.offset = done
        if not sys.stderr.isatty():
            return
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[shown]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("ETA"),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.bar.start()
        self.task = self.bar.add_task(
            self.label, total=self.total, completed=done, shown=""
        )

    def advance(self, done: int, **shown) -> None:
        text = "  ".join(f"{k} {v}" for k, v in shown.items())
        if self.bar is not None:
            self.bar.update(self.task, completed=done, shown=text)
            return
        now = time.monotonic()
        if now - self.printed < self.interval and done < self.total:
            return
        self.printed = now
        rate = (done - self.offset) / max(now - self.start, 1e-9)
        eta = (self.total - done) / rate if rate else float("inf")
        eta_text = f"  ETA {eta:.0f} s" if rate and done < self.total else ""
        line = f"{self.label}: {done}/{self.total} {self.unit}  {text}{eta_text}"
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


@contextmanager
def progress(label: str, total: int, unit: str, done: int = 0) -> Iterator[Progress]:
    """A `Progress` that is closed however the work ends."""
    shown = Progress(label, total, unit)
    shown.open(done)
    try:
        yield shown
    finally:
        shown.close()
