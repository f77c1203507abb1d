"""`benchmark --config=FILE[:VARIANT]`: measure the throughput of any model.

Sweeps over modes and any key of the config, on fake images; prints a table, and writes
benchmark.json, .csv, .md and .png, whose numbers throughput.py defines.
"""

import argparse
from collections.abc import Sequence

from experiments.benchmark import MODES, requests
from experiments.benchmark.cases import varying
from experiments.benchmark.loop import checked, measure_and_report
from experiments.benchmark.run import CaseRun
from experiments.benchmark.throughput import ThroughputReport
from experiments.benchmark.timing import measured_peak
from experiments.core import build
from experiments.core.options import known_names
from flowjax_ood.interface.environment import no_compilation_cache
from flowjax_ood.precision import PRECISIONS


def run(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark`: of models, input, weak scaling, or what a program says."""
    requests.check(args)
    if args.data:
        # whoever times models has no use for data sets
        from experiments.benchmark.input import command
    elif args.compiled:
        from experiments.benchmark.compiled import command
    elif args.devices:
        from experiments.benchmark.scaling import command
    else:
        command = measure_models
    with no_compilation_cache():  # it times compilation
        command(args, overrides)


def measure_models(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Measure every combination of modes and settings that `args` ask for."""
    modes = known_names("mode", args.mode, MODES)
    cases, facts = requests.cases(args, overrides, modes)
    precisions = list(dict.fromkeys(c.settings["precision"] for c in cases))
    given = requests.peaks(args.peak, precisions)
    runs = checked(cases, varying([case.settings for case in cases]), CaseRun)
    facts["peak_is"] = "given" if given else "measured on this machine"
    parallel, peaks = build.parallel(cases[0].config), {}
    for name in precisions:  # FLOP/s of all devices, by what they were measured with
        if given:
            peaks[name] = {"given": given[name] * len(parallel.devices)}
        else:
            peaks[name] = measured_peak(parallel, PRECISIONS[name])
    measure_and_report(runs, ThroughputReport(args.out, runs, peaks, facts), args)
