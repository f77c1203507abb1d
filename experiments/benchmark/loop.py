"""Measure all cases of a benchmark, and say how long it still takes."""

import argparse
import gc
import re
import statistics
import time
from collections.abc import Sequence
from typing import TypeVar

from experiments.benchmark.cases import Case, label
from experiments.benchmark.outputs import Report
from experiments.benchmark.profiles import profile
from experiments.benchmark.run import CaseRun, peak_bytes
from experiments.benchmark.throughput import rates
from experiments.benchmark.work import count
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.text import duration, number, number_range

R = TypeVar("R", bound=CaseRun)


class RemainingTime:
    """A line for each case, and an estimate by the time the ones before it took."""

    def __init__(self, cases: int, repeats: int, seconds: float):
        self._cases, self._repeats = cases, repeats
        self._to_prepare, self._to_time = cases, cases * repeats
        self._prepare_seconds: list[float] = []
        self._round_seconds = [seconds]

    def preparing(self, name: str) -> None:
        """A case is about to be compiled."""
        at = self._cases - self._to_prepare + 1
        print(f"[{at}/{self._cases}] {name}: compiling", end="", flush=True)
        self._began = time.perf_counter()

    def prepared(self, run: CaseRun) -> None:
        """It has been, or could not be."""
        seconds = time.perf_counter() - self._began
        self._prepare_seconds.append(seconds)
        self._to_prepare -= 1
        if run.error:
            self._to_time -= self._repeats
            print(f" failed, {run.error}")
        else:
            assert run.startup is not None
            took = number(run.startup.startup_seconds)
            print(f" took {took} s, {self._left()}", flush=True)

    def timing(self) -> None:
        """A round of a case is about to be timed."""
        self._began = time.perf_counter()

    def timed(self, run: CaseRun) -> None:
        """It has been, or ended the case."""
        self._round_seconds.append(time.perf_counter() - self._began)
        self._to_time -= 1
        if run.error:
            self._to_time -= self._repeats - len(run.rounds) - 1
            print(f"  failed, {run.error}")

    def round_done(self, at: int, runs: Sequence[CaseRun]) -> None:
        """All runs that are compared have been timed once more."""
        if len(runs) > 1:
            print(f"round {at} of {self._repeats} done, {self._left()}", flush=True)
        elif at == self._repeats and runs[0].rounds:
            own = rates(runs[0])
            said = f"{number(statistics.median(own))} images/s"
            ends = number_range(min(own), max(own))
            print(f"  {said} ({ends}), {self._left()}", flush=True)

    def _left(self) -> str:
        compiling = statistics.mean(self._prepare_seconds) * self._to_prepare
        timing = statistics.mean(self._round_seconds) * self._to_time
        return f"about {duration(compiling + timing)} left"


def checked(cases: Sequence[Case], swept: Sequence[str], kind: type[R]) -> list[R]:
    """Every case built and traced, named by its settings `swept`, and none measured.

    Raises UserError naming the first that cannot be.
    """
    runs = []
    for case in cases:
        name = label(case.settings, swept)
        try:
            runs.append(kind(case, name, count(case)))
        except UserError as error:
            raise UserError(f"{name}: {error}" if swept else str(error)) from error
    return runs


def measure_and_report(
    runs: Sequence[CaseRun], report: Report, args: argparse.Namespace
) -> None:
    """Measure all runs; UserError if none could be. Whatever was measured is kept."""
    finished = False
    try:
        measure(runs, report, args)
        finished = True
    finally:
        report.close(finished)
    if all(run.error for run in runs):
        raise UserError(f"no case could be measured; the first: {runs[0].error}")


def measure(runs: Sequence[CaseRun], report: Report, args: argparse.Namespace) -> None:
    """Compile and time all runs: one after the other, or by turns."""
    progress = RemainingTime(len(runs), args.repeats, args.seconds)
    for group in [runs] if args.interleave else [[run] for run in runs]:
        before = peak_bytes()
        for run in group:
            progress.preparing(run.name)
            with run.failures_kept():
                run.prepare()
                if args.profile:
                    folder = re.sub(r"[^\w.+-]+", "_", run.name)
                    profile(run, args.profile / folder)
            progress.prepared(run)
            report.write()
        for round_number in range(args.repeats):
            alive = [run for run in group if not run.error]
            # there and back: what drifts meanwhile is shared
            for run in alive if round_number % 2 == 0 else reversed(alive):
                progress.timing()
                with run.failures_kept():
                    run.time(args.seconds)
                progress.timed(run)
            progress.round_done(round_number + 1, group)
            report.write()
        after = peak_bytes()
        # an allocator's peak never falls: a smaller case does not show one of its own
        if len(group) == 1 and after != before:
            group[0].device_peak = after
        for run in group:
            run.release()
        # compiled functions and what they hold refer to each other
        gc.collect()
