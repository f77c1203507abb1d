"""What a benchmark says while it runs: what it does, and how long it still takes."""

import statistics
import time

from experiments.benchmark_rows import rates
from experiments.benchmark_run import Run
from experiments.benchmark_table import number


class Progress:
    """A line for each case, and an estimate by the time the ones before it took."""

    def __init__(self, cases: int, repeats: int, seconds: float):
        self._cases, self._repeats = cases, repeats
        self._to_prepare, self._to_time = cases, cases * repeats
        self._prepare_seconds, self._round_seconds = [], [seconds]

    def preparing(self, name: str) -> None:
        """A case is about to be compiled."""
        at = self._cases - self._to_prepare + 1
        print(f"[{at}/{self._cases}] {name}: compiling", end="", flush=True)
        self._began = time.perf_counter()

    def prepared(self, run: Run) -> None:
        """It has been, or could not be."""
        seconds = time.perf_counter() - self._began
        self._prepare_seconds.append(seconds)
        self._to_prepare -= 1
        if run.error:
            self._to_time -= self._repeats
            print(f" failed, {run.error}")
        else:
            print(f" took {number(run.startup.first)} s, {self._left()}", flush=True)

    def timing(self) -> None:
        """A round of a case is about to be timed."""
        self._began = time.perf_counter()

    def timed(self, run: Run) -> None:
        """It has been, or ended the case."""
        self._round_seconds.append(time.perf_counter() - self._began)
        self._to_time -= 1
        if run.error:
            self._to_time -= self._repeats - len(run.rounds) - 1
            print(f"  failed, {run.error}")

    def round_done(self, at: int, runs: list[Run]) -> None:
        """All runs that are compared have been timed once more."""
        if len(runs) > 1:
            print(f"round {at} of {self._repeats} done, {self._left()}", flush=True)
        elif at == self._repeats and runs[0].rounds:
            found = rates(runs[0])
            spread = f"{number(min(found))}-{number(max(found))}"
            middle = number(statistics.median(found))
            print(f"  {middle} images/s ({spread}), {self._left()}", flush=True)

    def _left(self) -> str:
        compiling = statistics.mean(self._prepare_seconds) * self._to_prepare
        timing = statistics.mean(self._round_seconds) * self._to_time
        return f"about {duration(compiling + timing)} left"


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03`, or `3 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
