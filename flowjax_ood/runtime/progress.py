"""Show the progress of long work: a bar with ETA on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from flowjax_ood.runtime.messages import say
from flowjax_ood.runtime.processes import is_lead

# seconds between lines
INTERVAL = 15.0


class Progress:
    """`advance(done, **shown)` reports progress of `total` units called `unit`.

    On a terminal it is a bar; in a log file, a line every `INTERVAL` seconds, and one
    at the end, whether all was done or not. It begins at `done` units.
    """

    def __init__(self, label: str, total: int, unit: str, done: int, silent: bool):
        self.label, self.total, self.unit = label, total, unit
        self.offset, self.silent = done, silent
        self.start = self.printed = time.monotonic()
        self.pending, self.bar = "", None
        if silent or sys.stderr is None or not sys.stderr.isatty():
            return
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            # a label is a name somebody chose: brackets in it are no markup
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[shown]}", markup=False),
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
        """Say that `done` units are done in all, and what else to show, by name."""
        if self.silent:
            return
        text = "  ".join(f"{k} {v}" for k, v in shown.items())
        if self.bar is not None:
            self.bar.update(self.task, completed=done, shown=text)
            return
        now = time.monotonic()
        rate = (done - self.offset) / max(now - self.start, 1e-9)
        parts = [f"{self.label}: {done}/{self.total} {self.unit}", text]
        if rate > 0 and done < self.total:
            parts.append(f"ETA {timedelta(seconds=round((self.total - done) / rate))}")
        self.pending = "  ".join(part for part in parts if part)
        if now - self.printed >= INTERVAL or done >= self.total:
            self._print(now)

    def _print(self, now: float) -> None:
        say(self.pending)
        self.printed, self.pending = now, ""

    def close(self) -> None:
        """End the bar, or print a last line that is still due."""
        if self.bar is not None:
            self.bar.stop()
        elif self.pending:
            self._print(time.monotonic())


@contextmanager
def progress(
    label: str | None, total: int, unit: str, done: int = 0
) -> Iterator[Progress]:
    """Open a `Progress`, and close it however the work ends.

    Of several processes, the first one shows it; without a label, none.
    """
    silent = label is None or not is_lead()
    shown = Progress(label or "", total, unit, done, silent)
    try:
        yield shown
    finally:
        shown.close()
