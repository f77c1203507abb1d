"""`benchmark --config=FILE[:VARIANT]`: throughput of any model on fake images.

Sweeps over modes and any key of the config; prints a table, and writes benchmark.json,
.csv, .md and .png. What the numbers are: benchmark_rows.py.
"""

import argparse
import gc
import re
from collections.abc import Sequence

from experiments import benchmark_arguments as asked
from experiments import build
from experiments.benchmark_cases import Case, label, sweep, varying
from experiments.benchmark_progress import Progress
from experiments.benchmark_report import Report
from experiments.benchmark_run import Run, peak_bytes, profile
from experiments.benchmark_work import count
from experiments.config import UserError, load_config
from experiments.timing import measured_peak
from flowjax_ood.precision import PRECISIONS


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark` as the command line asks for it."""
    asked.check_durations(args)
    asked.one_kind(args)
    asked.need(args)
    if args.data:
        # whoever times models has no use for data sets
        from experiments import benchmark_data

        benchmark_data.command(args, overrides)
        return
    if args.devices:
        from experiments import benchmark_scaling

        benchmark_scaling.command(args, overrides)
        return
    if args.expect:
        from experiments import expectation

        expectation.command(args, overrides)
        return
    modes = asked.known_names("mode", args.mode, asked.MODES)

    def load(more):
        return load_config(args.config, [*overrides, *more])

    cases = sweep(load, modes, asked.axes(args))
    precisions = list(dict.fromkeys(c.settings["precision"] for c in cases))
    given = asked.peaks(args.peak, precisions)
    runs = checked(cases)
    facts = {
        "config": load([]).to_dict(),
        **asked.timing(args),
        "peak_is": "given" if given else "measured on this machine",
    }
    peaks = {name: _peak(cases[0], name, given) for name in precisions}
    report = Report(args.out, runs, peaks, facts)
    finished = False
    try:
        measure(runs, report, args)
        finished = True
    finally:
        # stopped or not, what was measured is there
        report.close(finished)
    if all(run.error for run in runs):
        raise UserError(f"no case could be measured; the first: {runs[0].error}")


def checked(cases: Sequence[Case]) -> list[Run]:
    """Every case built and traced, before any is measured.

    Raises UserError naming the first that cannot be.
    """
    swept = varying([case.settings for case in cases])
    runs = []
    for case in cases:
        name = label(case.settings, swept)
        try:
            runs.append(Run(case, name, count(case)))
        except UserError as error:
            raise UserError(f"{name}: {error}" if swept else str(error)) from error
    return runs


def measure(runs: Sequence[Run], report: Report, args: argparse.Namespace) -> None:
    """Compile and time all runs: one after the other, or by turns."""
    progress = Progress(len(runs), args.repeats, args.seconds)
    for group in [runs] if args.interleave else [[run] for run in runs]:
        before = peak_bytes()
        for run in group:
            progress.preparing(run.name)
            with run.failures_kept():
                run.prepare()
                if args.profile:
                    profile(run.call, args.profile / _folder(run.name))
            progress.prepared(run)
            report.write()
        for number in range(args.repeats):
            alive = [run for run in group if not run.error]
            # there and back: what drifts meanwhile is shared
            for run in alive if number % 2 == 0 else reversed(alive):
                progress.timing()
                with run.failures_kept():
                    run.time(args.seconds)
                progress.timed(run)
            progress.round_done(number + 1, group)
            report.write()
        after = peak_bytes()
        # an allocator's peak never falls: a smaller case does not show one of its own
        if len(group) == 1 and after != before:
            group[0].device_peak = after
        for run in group:
            run.release()
        # compiled functions and what they hold refer to each other
        gc.collect()


def _peak(case: Case, precision: str, given: dict | None) -> dict[str, float]:
    """FLOP/s of all devices, by what they were measured with."""
    parallel = build.parallel(case.config)
    if given:
        return {"given": given[precision] * len(parallel.devices)}
    return measured_peak(parallel, PRECISIONS[precision])


def _folder(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name)
