"""`benchmark --data`: does the input keep up with the training step?

Measures the config's own input pipeline on this host alone: from its real images, in
memory or streamed, to batches in memory, with which nothing is computed. Compared
with the images a second that the training step takes, measured in the same run on the
devices here, or given by --need. input_table.py defines the numbers.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ml_collections import ConfigDict

from experiments.benchmark import requests
from experiments.benchmark.cases import Case
from experiments.benchmark.input_table import InputReport, Reading, Round, verdict
from experiments.benchmark.run import CaseRun
from experiments.benchmark.throughput import rates
from experiments.core import build
from experiments.core.environment import cores
from experiments.core.errors import UserError
from experiments.core.keys import Kind, flatten, kind, names
from experiments.core.sets import Sets, load_train
from flowjax_ood.training.feed import Feed

# how images are read, of which a step knows nothing; but for the first, neither does
# the set
READING = names("reading")


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --data`."""
    cases, facts = requests.cases(args, overrides, ["train"])
    for case in cases:
        check(case.config)
    readings = with_sets(cases)
    facts["cores"] = cores()
    facts["need_is"] = "given" if args.need else "measured on the devices here"
    report = InputReport(args.out, readings, facts)
    rate_of = {}
    for reading in readings:
        key = _without(reading.case.config, READING)
        if key not in rate_of:
            rate_of[key] = args.need or step_rate(reading.case, args)
        reading.need = rate_of[key]
    measure(readings, report, args)
    report.close(finished=True)


def check(config: ConfigDict) -> None:
    """Raise UserError for a config whose input is not that of a flow on images."""
    if kind(config) is not Kind.IMAGES:
        raise UserError("--data measures how flows are given images, and nothing else")
    if config.train.negative:
        raise UserError(
            "--data measures one set, and config.train.negative is a second: leave it "
            "out"
        )
    build.prefetch(config)


def with_sets(cases: Sequence[Case]) -> list[Reading]:
    """Every case with its images; sets in memory are read once for all cases."""
    sets, found = {}, []
    for case in cases:
        key = _only(case.config, ("data", "seed"), READING[1:])
        if key not in sets:
            sets[key] = load_train(case.config)
        options = build.prefetch(case.config)
        found.append(Reading(case, sets[key], options))
    return found


def step_rate(case: Case, args: argparse.Namespace) -> float:
    """Images a second of the training step, on images that are on the devices."""
    run = CaseRun(case, "", None)
    print("training step: compiling", flush=True)
    run.prepare()
    for _ in range(args.repeats):
        run.time(args.seconds)
    run.release()
    return statistics.median(rates(run))


def measure(
    readings: Sequence[Reading], report: InputReport, args: argparse.Namespace
) -> None:
    """Time all of them: one after the other, or by turns."""
    for group in [readings] if args.interleave else [[reading] for reading in readings]:
        with ExitStack() as opened:
            feeds = [opened.enter_context(_feed(reading)) for reading in group]
            turns = list(zip(group, feeds, strict=True))
            for number in range(args.repeats):
                # there and back: what drifts meanwhile is shared
                for reading, feed in turns if number % 2 == 0 else reversed(turns):
                    reading.rounds.append(time_feed(feed, reading, args.seconds))
                report.write()
        for reading in group:
            print(f"{report.label(reading)}: {verdict(reading)}", flush=True)


def time_feed(feed: Feed, reading: Reading, seconds: float) -> Round:
    """Batches taken one after another, until `seconds` are over.

    Batches that were read ahead of the first request are taken before.
    """
    feed.take(1 + 2 * reading.options.ahead + reading.options.workers)
    work, began, taken = processor_seconds(), time.perf_counter(), 0
    while not taken or time.perf_counter() - began < seconds:
        feed.take(1)
        taken += 1
    wall = time.perf_counter() - began
    if work is not None:
        work = processor_seconds() - work
    return Round(taken * reading.case.config.train.batch_size, wall, work)


def processor_seconds() -> float | None:
    """Seconds of cores used by this process and its workers; None if not known."""
    seconds = time.process_time()
    for worker in multiprocessing.active_children():
        try:
            stat = Path(f"/proc/{worker.pid}/stat").read_text()
        except OSError:
            return None
        # after the name, which may hold anything: fields 14 and 15
        user, system = stat.rpartition(")")[2].split()[11:13]
        seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def _feed(reading: Reading) -> Feed:
    batches = build.batches(
        reading.case.config, Sets(reading.images, reading.images, {})
    )
    return Feed(batches, 0, reading.options)


def _only(config: ConfigDict, rooms: tuple, but: tuple) -> tuple:
    flat = flatten(config).items()
    return tuple((k, v) for k, v in flat if k.split(".")[0] in rooms and k not in but)


def _without(config: ConfigDict, keys: tuple) -> tuple:
    return tuple((k, v) for k, v in flatten(config).items() if k not in keys)
